// SPDX-License-Identifier: MIT
#include "util/byte_queue.hpp"

namespace vpollnet {
namespace {

/// From so many bytes on, a queue moves bulk, in large blocks.
constexpr std::size_t kBulk = 16 * 1024;

/// A slice may keep up to this many times its own size alive.
constexpr std::uint32_t kWaste = 2;

}  // namespace

void ByteQueue::append_copy(std::span<const std::uint8_t> bytes, BlockPool& pool) {
  while (!bytes.empty()) {
    Slice* tail = slices_.size() > first_ ? &slices_.back() : nullptr;
    Block* block = tail != nullptr ? tail->block() : nullptr;
    // Only who wrote the last filled byte may write on: others see nothing behind their slice.
    const bool writable =
        block != nullptr && block->room() > 0 && tail->offset() + tail->size() == block->filled;
    if (!writable) {
      const std::size_t wanted =
          bytes.size() + size_ > kBulk ? BlockPool::kLargeCapacity : BlockPool::kSmallCapacity;
      slices_.push_back(pool.allocate(static_cast<std::uint32_t>(
          std::max<std::size_t>(wanted, std::min(bytes.size(), kBulk)))));
      tail = &slices_.back();
      block = tail->block();
    }
    const std::uint32_t step =
        static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), block->room()));
    std::memcpy(block->data() + block->filled, bytes.data(), step);
    block->filled += step;
    tail->extend(step);
    size_ += step;
    bytes = bytes.subspan(step);
  }
}

void ByteQueue::append(Slice slice, BlockPool& pool) {
  if (slice.empty()) return;
  if (slice.size() < slice.block()->capacity / kWaste) {
    append_copy(slice.bytes(), pool);
    return;
  }
  size_ += slice.size();
  slices_.push_back(std::move(slice));
}

void ByteQueue::append_all(ByteQueue&& other) {
  for (std::size_t i = other.first_; i < other.slices_.size(); i++) {
    slices_.push_back(std::move(other.slices_[i]));
  }
  size_ += other.size_;
  other.clear();
}

std::size_t ByteQueue::locate(std::size_t& offset) const {
  if (hint_slice_ < first_ || hint_slice_ >= slices_.size() || offset < hint_bytes_) {
    hint_slice_ = first_;
    hint_bytes_ = 0;
  }
  while (hint_slice_ < slices_.size() && offset - hint_bytes_ >= slices_[hint_slice_].size()) {
    hint_bytes_ += slices_[hint_slice_].size();
    hint_slice_++;
  }
  offset -= hint_bytes_;
  return hint_slice_;
}

template <class Take>
std::size_t ByteQueue::share_parts(std::size_t offset, std::size_t length, Take take) const {
  if (offset >= size_) return 0;
  length = std::min(length, size_ - offset);
  std::size_t left = length;
  std::size_t at = locate(offset);
  while (left > 0) {
    Slice part =
        slices_[at].part(static_cast<std::uint32_t>(offset),
                         static_cast<std::uint32_t>(std::min<std::size_t>(left, UINT32_MAX)));
    left -= part.size();
    offset = 0;
    at++;
    take(std::move(part));
  }
  return length;
}

void ByteQueue::share(std::size_t offset, std::size_t length, Packet& packet) const {
  share_parts(offset, length, [&](Slice&& part) { packet.append(std::move(part)); });
}

std::size_t ByteQueue::share(std::size_t offset, std::size_t length,
                             std::vector<Slice>& out) const {
  return share_parts(offset, length, [&](Slice&& part) { out.push_back(std::move(part)); });
}

std::size_t ByteQueue::copy_out(std::size_t offset, std::span<std::uint8_t> out) const {
  if (offset >= size_) return 0;
  const std::size_t length = std::min(out.size(), size_ - offset);
  std::size_t at = locate(offset);
  std::size_t done = 0;
  while (done < length) {
    const std::span<const std::uint8_t> bytes = slices_[at].bytes().subspan(offset);
    const std::size_t step = std::min(bytes.size(), length - done);
    std::memcpy(out.data() + done, bytes.data(), step);
    done += step;
    offset = 0;
    at++;
  }
  return done;
}

void ByteQueue::trim_front(std::size_t count) {
  count = std::min(count, size_);
  size_ -= count;
  if (hint_bytes_ >= count && hint_slice_ > first_) {
    hint_bytes_ -= count;
  } else {
    hint_slice_ = SIZE_MAX;
    hint_bytes_ = 0;
  }
  while (count > 0) {
    Slice& front = slices_[first_];
    const std::uint32_t step =
        static_cast<std::uint32_t>(std::min<std::size_t>(count, front.size()));
    front.trim_front(step);
    count -= step;
    if (front.empty()) {
      front = Slice();
      first_++;
    }
  }
  if (size_ == 0) {
    clear();
  } else if (first_ > 32 && first_ > slices_.size() / 2) {
    slices_.erase(slices_.begin(), slices_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
    hint_slice_ = SIZE_MAX;
    hint_bytes_ = 0;
  }
}

void ByteQueue::truncate(std::size_t length) {
  while (size_ > length) {
    Slice& back = slices_.back();
    const std::size_t excess = size_ - length;
    if (back.size() <= excess) {
      size_ -= back.size();
      slices_.pop_back();
    } else {
      back.truncate(static_cast<std::uint32_t>(back.size() - excess));
      size_ = length;
    }
  }
  if (size_ == 0) clear();
}

void ByteQueue::clear() {
  // An idle stream holds no memory worth the name: a burst's vector is given back too.
  if (slices_.capacity() > 64) {
    slices_ = {};
  } else {
    slices_.clear();
  }
  first_ = 0;
  size_ = 0;
  hint_slice_ = 0;
  hint_bytes_ = 0;
}

}  // namespace vpollnet
