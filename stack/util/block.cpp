// SPDX-License-Identifier: MIT
#include "util/block.hpp"

#include <new>

namespace vpollnet {

BlockPool::~BlockPool() {
  for (Block* block : kept_large_) ::operator delete(block);
  for (Block* block : kept_small_) ::operator delete(block);
}

Slice BlockPool::allocate(std::uint32_t capacity) {
  std::vector<Block*>* kept = nullptr;
  if (capacity > kLargeCapacity / 4 && capacity <= kLargeCapacity) {
    capacity = kLargeCapacity;
    kept = &kept_large_;
  } else if (capacity == kSmallCapacity) {
    kept = &kept_small_;
  }
  Block* block = nullptr;
  if (kept != nullptr && !kept->empty()) {
    block = kept->back();
    kept->pop_back();
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
  if (block->capacity == kLargeCapacity && kept_large_.size() < kKeptLarge) {
    kept_large_.push_back(block);
  } else if (block->capacity == kSmallCapacity && kept_small_.size() < kKeptSmall) {
    kept_small_.push_back(block);
  } else {
    ::operator delete(block);
  }
}

}  // namespace vpollnet
