// SPDX-License-Identifier: MIT
#include "host/links/frame_stream.hpp"

#include <cstring>

#include "wire/bytes.hpp"

namespace vpollnet::host {

std::span<std::uint8_t> FrameParser::room() {
  auto& all = bytes_->all;
  // At most one frame that is not whole is moved, and only when half of the room is used up.
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ > all.size() / 2) {
    std::memmove(all.data(), all.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return {all.data() + end_, all.size() - end_};
}

Result<std::optional<std::span<const std::uint8_t>>> FrameParser::next() {
  using Frame = std::optional<std::span<const std::uint8_t>>;
  if (end_ - begin_ < kFramePrefix) return Frame();
  const std::uint8_t* at = bytes_->all.data() + begin_;
  const std::size_t length = wire::load32(at);
  if (length == 0 || length > kMostFrame) return Errno::protocol;
  if (end_ - begin_ - kFramePrefix < length) return Frame();
  begin_ += kFramePrefix + length;
  return Frame(std::span(at + kFramePrefix, length));
}

}  // namespace vpollnet::host
