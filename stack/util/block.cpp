// SPDX-License-Identifier: MIT
#include "util/block.hpp"

#include <new>

namespace vpollnet {

BlockPool::~BlockPool() {
  for (Block* block : kept_) ::operator delete(block);
}

Slice BlockPool::allocate(std::uint32_t capacity) {
  const bool large = capacity > kLargeCapacity / 4 && capacity <= kLargeCapacity;
  if (large) capacity = kLargeCapacity;
  Block* block = nullptr;
  if (large && !kept_.empty()) {
    block = kept_.back();
    kept_.pop_back();
  } else {
    block = static_cast<Block*>(::operator new(sizeof(Block) + capacity));
  }
  *block = Block{.references = 1, .capacity = capacity, .filled = 0, .pool = this};
  live_++;
  return Slice(block, 0, 0);
}

Slice BlockPool::copy(std::span<const std::uint8_t> bytes) {
  Slice slice = allocate(static_cast<std::uint32_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(slice.block()->data(), bytes.data(), bytes.size());
  slice.block()->filled = static_cast<std::uint32_t>(bytes.size());
  slice.extend(static_cast<std::uint32_t>(bytes.size()));
  return slice;
}

void BlockPool::recycle(Block* block) {
  live_--;
  if (block->capacity == kLargeCapacity && kept_.size() < kKept) {
    kept_.push_back(block);
  } else {
    ::operator delete(block);
  }
}

}  // namespace vpollnet
