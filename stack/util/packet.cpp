// SPDX-License-Identifier: MIT
#include "util/packet.hpp"

#include <cassert>

namespace vpollnet {

Packet::Packet(Slice body) : body_size_(body.size()) {
  if (!body.empty()) body_.push_back(std::move(body));
}

Packet::Packet(const Packet& other)
    : gso_size(other.gso_size), checksum(other.checksum),
      checksum_from_end(other.checksum_from_end), checksum_field(other.checksum_field),
      begin_(other.begin_), body_size_(other.body_size_), body_(other.body_) {
  std::memcpy(head_.data() + begin_, other.head_.data() + begin_, head_size());
}

Packet& Packet::operator=(Packet&& other) noexcept {
  if (this == &other) return *this;
  gso_size = other.gso_size;
  checksum = other.checksum;
  checksum_from_end = other.checksum_from_end;
  checksum_field = other.checksum_field;
  begin_ = std::exchange(other.begin_, kHeadCapacity);
  body_size_ = std::exchange(other.body_size_, 0);
  body_ = std::move(other.body_);
  other.body_.clear();
  // Only the bytes in use: a head is mostly headroom.
  std::memcpy(head_.data() + begin_, other.head_.data() + begin_, head_size());
  return *this;
}

std::span<std::uint8_t> Packet::prepend(std::size_t count) {
  assert(count <= begin_);
  begin_ -= count;
  return {head_.data() + begin_, count};
}

void Packet::append(Slice slice) {
  if (slice.empty()) return;
  body_size_ += slice.size();
  body_.push_back(std::move(slice));
}

std::span<const std::uint8_t> Packet::contiguous(std::size_t count, BlockPool& pool) {
  if (count > size()) return {};
  if (count <= head_size()) return {head_.data() + begin_, count};
  if (head_size() == 0 && body_.front().size() >= count) return body_.front().bytes().first(count);
  if (count <= kHeadCapacity) {
    // Pull the missing bytes up behind the head, which moves to the front of its array's end.
    const std::size_t have = head_size();
    const std::size_t missing = count - have;
    std::memmove(head_.data() + kHeadCapacity - count, head_.data() + begin_, have);
    copy_out(have, {head_.data() + kHeadCapacity - missing, missing});
    // copy_out counts from the old head, so the body is trimmed only now.
    std::size_t left = missing;
    while (left > 0) {
      const std::uint32_t step =
          static_cast<std::uint32_t>(std::min<std::size_t>(left, body_.front().size()));
      body_.front().trim_front(step);
      if (body_.front().empty()) body_.erase(body_.begin());
      left -= step;
    }
    body_size_ -= missing;
    begin_ = kHeadCapacity - count;
    return {head_.data() + begin_, count};
  }
  Slice whole = pool.allocate(static_cast<std::uint32_t>(size()));
  const std::size_t total = copy_out(0, {whole.block()->data(), size()});
  whole.block()->filled = static_cast<std::uint32_t>(total);
  whole.extend(static_cast<std::uint32_t>(total));
  begin_ = kHeadCapacity;
  body_.clear();
  body_size_ = total;
  body_.push_back(std::move(whole));
  return body_.front().bytes().first(count);
}

std::span<std::uint8_t> Packet::writable(std::size_t count, BlockPool& pool) {
  if (count > size()) return {};
  if (count > head_size()) {
    if (count <= kHeadCapacity) {
      // Bytes in the head belong to this packet alone: pull there even what is contiguous already.
      if (head_size() == 0) {
        Slice& first = body_.front();
        const std::size_t step = std::min<std::size_t>(count, first.size());
        std::memcpy(prepend(step).data(), first.bytes().data(), step);
        first.trim_front(static_cast<std::uint32_t>(step));
        body_size_ -= step;
        if (first.empty()) body_.erase(body_.begin());
      }
      contiguous(count, pool);
    } else {
      Slice whole = pool.allocate(static_cast<std::uint32_t>(size()));
      const std::size_t total = copy_out(0, {whole.block()->data(), size()});
      whole.block()->filled = static_cast<std::uint32_t>(total);
      whole.extend(static_cast<std::uint32_t>(total));
      begin_ = kHeadCapacity;
      body_.clear();
      body_.push_back(std::move(whole));
      body_size_ = total;
      return {body_.front().block()->data() + body_.front().offset(), count};
    }
  }
  return {head_.data() + begin_, count};
}

void Packet::trim_front(std::size_t count) {
  const std::size_t from_head = std::min(count, head_size());
  begin_ += from_head;
  count = std::min(count - from_head, body_size_);
  body_size_ -= count;
  std::size_t gone = 0;
  while (count > 0) {
    const std::uint32_t step =
        static_cast<std::uint32_t>(std::min<std::size_t>(count, body_[gone].size()));
    body_[gone].trim_front(step);
    count -= step;
    if (body_[gone].empty()) gone++;
  }
  body_.erase(body_.begin(), body_.begin() + static_cast<std::ptrdiff_t>(gone));
}

void Packet::truncate(std::size_t length) {
  if (length >= size()) return;
  // A partial checksum is located from the end; a shorter packet has another end.
  if (checksum == ChecksumState::partial) {
    const std::size_t cut = size() - length;
    checksum_from_end =
        checksum_from_end > cut ? checksum_from_end - static_cast<std::uint32_t>(cut) : 0;
  }
  if (length <= head_size()) {
    std::memmove(head_.data() + kHeadCapacity - length, head_.data() + begin_, length);
    begin_ = kHeadCapacity - length;
    body_.clear();
    body_size_ = 0;
    return;
  }
  std::size_t left = length - head_size();
  body_size_ = left;
  std::size_t keep = 0;
  while (left > 0) {
    body_[keep].truncate(
        static_cast<std::uint32_t>(std::min<std::size_t>(left, body_[keep].size())));
    left -= body_[keep].size();
    keep++;
  }
  body_.resize(keep);
}

std::size_t Packet::copy_out(std::size_t offset, std::span<std::uint8_t> out) const {
  std::size_t done = 0;
  const auto take = [&](std::span<const std::uint8_t> bytes) {
    if (offset >= bytes.size()) {
      offset -= bytes.size();
      return;
    }
    const std::size_t step = std::min(bytes.size() - offset, out.size() - done);
    if (step > 0) std::memcpy(out.data() + done, bytes.data() + offset, step);
    done += step;
    offset = 0;
  };
  take(head());
  for (const Slice& slice : body_) {
    if (done == out.size()) break;
    take(slice.bytes());
  }
  return done;
}

Packet Packet::body_part(std::size_t offset, std::size_t length) const {
  Packet result;
  for (const Slice& slice : body_) {
    if (length == 0) break;
    if (offset >= slice.size()) {
      offset -= slice.size();
      continue;
    }
    Slice part =
        slice.part(static_cast<std::uint32_t>(offset),
                   static_cast<std::uint32_t>(std::min<std::size_t>(length, slice.size())));
    offset = 0;
    length -= part.size();
    result.append(std::move(part));
  }
  return result;
}

Packet Packet::range(std::size_t offset, std::size_t length, BlockPool& pool) const {
  offset = std::min(offset, size());
  length = std::min(length, size() - offset);
  Packet result;
  if (offset < head_size()) {
    const std::size_t from_head = std::min(length, head_size() - offset);
    result.append(pool.copy(head().subspan(offset, from_head)));
    offset += from_head;
    length -= from_head;
  }
  std::size_t skip = offset - head_size();
  for (std::size_t i = 0; length > 0; i++) {
    const std::size_t there = body_[i].size();
    if (skip >= there) {
      skip -= there;
      continue;
    }
    const std::size_t step = std::min(length, there - skip);
    result.append(
        body_[i].part(static_cast<std::uint32_t>(skip), static_cast<std::uint32_t>(step)));
    length -= step;
    skip = 0;
  }
  return result;
}

std::vector<Slice> Packet::take_compact(BlockPool& pool) {
  std::size_t held = 0;
  const Block* last = nullptr;
  for (const Slice& slice : body_) {
    if (slice.block() != last) held += slice.block()->capacity;
    last = slice.block();
  }
  // Above a quarter of a large block a copy would take a large block again.
  const std::size_t total = size();
  if (total >= held / 4 || total > BlockPool::kLargeCapacity / 4) return take_body(pool);
  Slice own = pool.allocate(static_cast<std::uint32_t>(total));
  copy_out(0, {own.block()->data(), total});
  own.block()->filled = static_cast<std::uint32_t>(total);
  own.extend(static_cast<std::uint32_t>(total));
  body_.clear();
  begin_ = kHeadCapacity;
  body_size_ = 0;
  std::vector<Slice> result;
  if (total > 0) result.push_back(std::move(own));
  return result;
}

std::vector<Slice> Packet::take_body(BlockPool& pool) {
  std::vector<Slice> result = std::move(body_);
  body_.clear();
  if (head_size() > 0) result.insert(result.begin(), pool.copy(head()));
  begin_ = kHeadCapacity;
  body_size_ = 0;
  return result;
}

}  // namespace vpollnet
