// SPDX-License-Identifier: MIT
// Reference-counted memory for payload bytes, and slices of it.
//
// The counts are not atomic: every block of a pool is touched only by whoever holds the pump's
// lock (docs/architecture.md, "One lock").
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace vpollnet {

class BlockPool;

/// A run of bytes with a reference count. Made by a BlockPool, freed when the last Slice goes.
struct Block {
  std::uint32_t references;
  std::uint32_t capacity;  ///< usable bytes at data()
  std::uint32_t filled;    ///< bytes from the front that some slice may refer to
  BlockPool* pool;

  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  std::uint32_t room() const { return capacity - filled; }
};

/// A range of a block. Copies share the bytes; whoever shares a block must not write below
/// `filled`.
class Slice {
 public:
  Slice() = default;
  /// Takes over one reference to `block`.
  Slice(Block* block, std::uint32_t offset, std::uint32_t length)
      : block_(block), offset_(offset), length_(length) {}
  Slice(const Slice& other) : block_(other.block_), offset_(other.offset_), length_(other.length_) {
    if (block_ != nullptr) block_->references++;
  }
  Slice(Slice&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), offset_(other.offset_),
        length_(other.length_) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(block_, other.block_);
    offset_ = other.offset_;
    length_ = other.length_;
    return *this;
  }
  ~Slice() { release(); }

  std::uint32_t size() const { return length_; }
  bool empty() const { return length_ == 0; }
  std::span<const std::uint8_t> bytes() const {
    return block_ == nullptr ? std::span<const std::uint8_t>{}
                             : std::span<const std::uint8_t>{block_->data() + offset_, length_};
  }
  Block* block() const { return block_; }
  std::uint32_t offset() const { return offset_; }

  /// The `length` bytes from `offset` on, sharing the block. Both are clamped to this slice.
  Slice part(std::uint32_t offset, std::uint32_t length) const {
    Slice result(*this);
    offset = std::min(offset, length_);
    result.offset_ += offset;
    result.length_ = std::min(length, length_ - offset);
    return result;
  }
  void trim_front(std::uint32_t count) {
    count = std::min(count, length_);
    offset_ += count;
    length_ -= count;
  }
  void truncate(std::uint32_t length) { length_ = std::min(length_, length); }
  /// Lengthens the slice over bytes that its owner has just filled in behind it.
  void extend(std::uint32_t count) { length_ += count; }

 private:
  inline void release();

  Block* block_ = nullptr;
  std::uint32_t offset_ = 0;
  std::uint32_t length_ = 0;
};

/// Makes blocks and keeps a bounded number of the two sizes that most have warm, so that transfer
/// reuses memory that is still in the cache. Not thread-safe. Must outlive every Slice made from
/// it.
class BlockPool {
 public:
  /// Holds a 64 KiB IP packet and its link headers.
  static constexpr std::uint32_t kLargeCapacity = 66 * 1024;
  /// For a stream that moves little at a time.
  static constexpr std::uint32_t kSmallCapacity = 2 * 1024;
  /// Bound the memory that an idle pool keeps: 32 * 66 KiB + 64 * 2 KiB, about 2.2 MiB.
  static constexpr std::size_t kKeptLarge = 32;
  static constexpr std::size_t kKeptSmall = 64;

  BlockPool() = default;
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;
  ~BlockPool();

  /// A slice of length 0 at the front of a block with at least `capacity` usable bytes.
  /// Throws std::bad_alloc only when the process has no memory left.
  Slice allocate(std::uint32_t capacity);
  /// A slice that holds a copy of `bytes`.
  Slice copy(std::span<const std::uint8_t> bytes);

  /// Blocks that are in use now. For leak tests.
  std::size_t live() const { return live_; }

 private:
  friend class Slice;
  void recycle(Block* block);

  std::vector<Block*> kept_large_;
  std::vector<Block*> kept_small_;
  std::size_t live_ = 0;
};

inline void Slice::release() {
  if (block_ != nullptr && --block_->references == 0) block_->pool->recycle(block_);
}

}  // namespace vpollnet
