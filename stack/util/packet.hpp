// SPDX-License-Identifier: MIT
// One packet on its way through the stack: a head that grows to the front as headers are put on
// and shrinks as they are taken off, and a body of shared slices. A segment's payload is never
// copied between the send call of one side and the receive call of the other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "util/block.hpp"

namespace vpollnet {

/// What is known of the transport checksum.
enum class ChecksumState : std::uint8_t {
  unverified,  ///< whatever the bytes say; the receiver has to check it
  valid,       ///< checked by the device, or cannot be wrong
  partial,     ///< the field holds the folded pseudo-header sum; who sends it on a wire without
               ///< checksum offload completes it. On the receiving side it counts as valid.
};

/// A packet owns its head and shares its body. Movable, and cheap to move.
class Packet {
 public:
  /// Ethernet with a VLAN tag, IPv4 with options or IPv6, TCP with options: 18 + 60 + 60, rounded
  /// up.
  static constexpr std::size_t kHeadCapacity = 160;

  Packet() = default;
  /// A packet whose bytes are all in `body`, as a device delivers it.
  explicit Packet(Slice body);

  /// All bytes, head and body.
  std::size_t size() const { return head_size() + body_size_; }
  std::size_t head_size() const { return kHeadCapacity - begin_; }
  std::size_t body_size() const { return body_size_; }
  std::span<const std::uint8_t> head() const { return {head_.data() + begin_, head_size()}; }
  std::span<const Slice> body() const { return body_; }

  /// Room for `count` more bytes in front, to be filled in by the caller. `count` must fit: the
  /// head has room for each header that this stack writes (see kHeadCapacity).
  std::span<std::uint8_t> prepend(std::size_t count);
  /// Puts `slice` behind the last byte. Empty slices are left out.
  void append(Slice slice);

  /// The first `count` bytes in one piece, or an empty span if the packet is shorter. Moves bytes
  /// between body and head where it has to; the span lives until the packet is next changed.
  std::span<const std::uint8_t> contiguous(std::size_t count, BlockPool& pool);
  /// The same bytes for writing. Copies them out of a shared block first.
  std::span<std::uint8_t> writable(std::size_t count, BlockPool& pool);
  /// All bytes in one piece; copies a body of several slices into one block of `pool`.
  std::span<const std::uint8_t> linear(BlockPool& pool) { return contiguous(size(), pool); }

  /// Takes `count` bytes off the front (at most all).
  void trim_front(std::size_t count);
  /// Cuts the packet to `length` bytes, if it is longer.
  void truncate(std::size_t length);
  /// Copies bytes [offset, offset + out.size()) to `out`; returns how many there were.
  std::size_t copy_out(std::size_t offset, std::span<std::uint8_t> out) const;
  /// Slices over bytes [offset, offset + length), which must lie in the body, sharing them.
  Packet body_part(std::size_t offset, std::size_t length) const;
  /// A packet of bytes [offset, offset + length) of this one, as many of them as there are, all in
  /// its body: those in the head are copied into a block of `pool`, those in the body are shared.
  Packet range(std::size_t offset, std::size_t length, BlockPool& pool) const;
  /// Like take_body(), for a queue that keeps the bytes: what fills less than a quarter of the
  /// blocks it lies in is copied into one of its own size, so that a queue of small packets does
  /// not hold on to much more memory than it is charged for.
  std::vector<Slice> take_compact(BlockPool& pool);
  /// Hands the body over and leaves the packet empty. Bytes that are still in the head come first,
  /// copied into a block of `pool`.
  std::vector<Slice> take_body(BlockPool& pool);
  /// A copy that shares the body. Written out because an accidental copy of a packet is a defect.
  Packet clone() const { return Packet(*this); }

  Packet(Packet&& other) noexcept { *this = std::move(other); }
  Packet& operator=(Packet&& other) noexcept;

  /// Payload bytes of each segment when this is a large TCP or UDP packet that the edge of the
  /// stack cuts up (generic segmentation offload); 0 for a packet that goes as it is.
  std::uint16_t gso_size = 0;
  ChecksumState checksum = ChecksumState::unverified;
  /// With ChecksumState::partial: where the sum begins, counted from the END of the packet (so that
  /// headers put on or taken off leave it true), and the field's place from there.
  std::uint32_t checksum_from_end = 0;
  std::uint16_t checksum_field = 0;

 private:
  Packet(const Packet& other);

  std::array<std::uint8_t, kHeadCapacity> head_;
  std::size_t begin_ = kHeadCapacity;
  std::size_t body_size_ = 0;
  std::vector<Slice> body_;
};

}  // namespace vpollnet
