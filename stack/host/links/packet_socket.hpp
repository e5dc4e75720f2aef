// SPDX-License-Identifier: MIT
// An existing Ethernet interface of Linux, beside the kernel's own use of it (packet(7)), with the
// ring that the kernel writes received frames to (Documentation/networking/packet_mmap.rst).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/failure.hpp"
#include "host/links/device.hpp"
#include "host/links/vnet_header.hpp"

namespace vpollnet::host {

/// Frames come by the ring, each as the kernel has it: after GRO, so up to 64 KiB, and before the
/// checksum, if the sender is on this machine. PACKET_VNET_HDR tells that of each.
///
/// The ring is TPACKET_V2's, which tells of each frame at once. V3 hands over a block of frames
/// when it is full or a timer of at least a clock tick ends, and would make each round trip wait
/// for that. A slot of the ring holds a frame of the interface's MTU; what is larger, after GRO, is
/// queued in the socket too (PACKET_COPY_THRESH) and read from there.
///
/// Frames go by sendmsg(2): one call for up to 64 KiB. The sending ring would save a copy, but its
/// slots are the memory of the packets, in order: one that a receiver on this machine leaves in a
/// socket's queue would keep all others from being sent.
class PacketSocket final : public Device {
 public:
  /// Uses the interface `name`, promiscuously. `mac` is the address whose frames are wanted, beside
  /// groups; zero: all frames. Null and `failure` filled in if that is not possible.
  static std::unique_ptr<PacketSocket> open(const std::string& name, const MacAddress& mac,
                                            bool offloads, Failure& failure);
  ~PacketSocket() override;
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  int fd() const override { return fd_; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool is_gone(Errno error) const override;

 private:
  /// An 802.1Q tag that the kernel took out of the frame.
  struct Tag {
    bool present = false;
    std::uint16_t protocol = 0;
    std::uint16_t control = 0;
  };

  explicit PacketSocket(int fd) : fd_(fd) {}

  bool set_up(const std::string& name, const MacAddress& mac, Failure& failure);
  bool map_ring(Failure& failure);
  void take(std::uint8_t* slot, std::uint32_t status, BlockPool& pool, std::vector<Packet>& frames);
  void take_queued(const Tag& tag, BlockPool& pool, std::vector<Packet>& frames);
  void deliver(Slice&& room, std::size_t size, const Tag& tag, VnetHeader header, BlockPool& pool,
               std::vector<Packet>& frames);
  void count_lost();

  int fd_;
  LinkCapabilities capabilities_;
  std::uint8_t* ring_ = nullptr;
  std::size_t ring_size_ = 0;
  std::size_t slot_size_ = 0;
  std::size_t slots_ = 0;
  std::size_t next_ = 0;  ///< the slot that the kernel fills next, or has filled
};

}  // namespace vpollnet::host
