// SPDX-License-Identifier: MIT
// The bytes of one direction of a stream, as slices of shared blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "util/block.hpp"
#include "util/packet.hpp"

namespace vpollnet {

/// A first-in-first-out queue of bytes. The sending side copies bytes in and shares ranges of them
/// with packets; the receiving side takes slices in and copies bytes out.
class ByteQueue {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// Copies `bytes` to the end.
  void append_copy(std::span<const std::uint8_t> bytes, BlockPool& pool);
  /// Puts `slice` at the end. A slice that would hold a much larger block in memory is copied.
  void append(Slice slice, BlockPool& pool);
  /// Moves all of `other` to the end.
  void append_all(ByteQueue&& other);
  /// Adds bytes [offset, offset + length) to the body of `packet` without copying them.
  void share(std::size_t offset, std::size_t length, Packet& packet) const;
  /// The same into `out`, behind what it has. Returns how many bytes there were.
  std::size_t share(std::size_t offset, std::size_t length, std::vector<Slice>& out) const;
  /// Copies up to out.size() bytes from `offset` on; returns how many.
  std::size_t copy_out(std::size_t offset, std::span<std::uint8_t> out) const;
  /// Drops `count` bytes (at most all) at the front.
  void trim_front(std::size_t count);
  /// Keeps the first `length` bytes.
  void truncate(std::size_t length);
  void clear();

 private:
  template <class Take>
  std::size_t share_parts(std::size_t offset, std::size_t length, Take take) const;
  /// The slice that holds byte `offset` and how far into it; moves the hint there.
  std::size_t locate(std::size_t& offset) const;

  std::vector<Slice> slices_;
  std::size_t first_ = 0;  ///< slices before this one are spent
  std::size_t size_ = 0;
  /// Where the last range began, since ranges are asked for in order: slice index and the bytes
  /// before it.
  mutable std::size_t hint_slice_ = 0;
  mutable std::size_t hint_bytes_ = 0;
};

}  // namespace vpollnet
