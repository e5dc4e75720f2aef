// SPDX-License-Identifier: MIT
// Ethernet over VXLAN (RFC 7348): this link is a tunnel end point (VTEP) of one segment.
//
// Frames for a MAC address that was heard from go to the end point that it was heard from; all
// others to each of the remotes, which are end points or a multicast group (RFC 7348 4.1, 4.2).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "host/failure.hpp"
#include "host/links/datagram_socket.hpp"
#include "host/links/device.hpp"
#include "host/links/udp_socket.hpp"
#include "host/random.hpp"
#include "host/switching/mac_table.hpp"

namespace vpollnet::host {

class Vxlan final : public Device {
 public:
  /// End points that a frame is copied to at most. Each copy is a datagram of one batch.
  static constexpr std::size_t kMostRemotes = 32;
  static constexpr std::size_t kMostPorts = 32;
  /// End points that are known at a time, those among the remotes and those that were heard.
  static constexpr std::size_t kMostEndPoints = 1024;
  static constexpr std::size_t kMostLearned = 4096;
  static constexpr Nanos kAgeing = 300 * kSecond;

  struct Options {
    std::uint32_t vni = 0;
    SocketAddress local;
    std::vector<SocketAddress> remotes;  ///< of the family of `local`; one of them may be a group
    UdpOptions udp;
    /// Source ports, over which flows are spread; 1: the local port.
    std::size_t ports = 1;
    /// Frames are taken from any end point. Always so with a group.
    bool any = false;
    std::uint32_t mtu = 0;  ///< largest IP packet in bytes; 0: what fits the path
  };

  static std::unique_ptr<Vxlan> open(const Options& options, Failure& failure);

  int fd() const override { return both_ ? both_.get() : input_->fd(); }
  int room_fd() const override { return full_->fd(); }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool gathers() const override { return true; }
  Errno flush(BlockPool& pool) override;
  bool is_gone(Errno) const override { return false; }

 private:
  explicit Vxlan(std::uint32_t vni) : vni_(vni) {}
  Failure open_sockets(const Options& options);
  Failure open_group(const Options& options);
  Failure open_senders(const Options& options);

  /// True when no more is there.
  bool read_from(DatagramSocket& socket, std::size_t limit, BlockPool& pool,
                 std::vector<Packet>& frames);
  bool is_own(const SocketAddress& from) const;
  /// The number of an end point that was heard from; kNoPort for one that is not known.
  MacTable::Port known(const SocketAddress& from) const;
  MacTable::Port add(const SocketAddress& from);
  DatagramSocket& sender_for(Packet& frame, BlockPool& pool);

  std::uint32_t vni_;
  std::vector<SocketAddress> remotes_;
  const SocketAddress* group_ = nullptr;  ///< one of remotes_
  bool any_ = false;
  std::uint16_t port_ = 0;      ///< of end points that are not among the remotes
  std::uint16_t own_port_ = 0;  ///< the local one
  SocketAddress own_;           ///< the address that frames go out from
  std::unique_ptr<DatagramSocket> input_;
  std::unique_ptr<DatagramSocket> group_input_;           ///< where input_ cannot hear the group
  Descriptor both_;                                       ///< epoll over the two
  std::vector<std::unique_ptr<DatagramSocket>> senders_;  ///< empty: input_ sends
  std::vector<std::uint16_t> sender_ports_;
  DatagramSocket* full_ = nullptr;  ///< the one that last had no room
  /// By number: the remotes, then those that were heard.
  std::vector<SocketAddress> end_points_;
  std::map<IpAddress, MacTable::Port> others_;  ///< the latter, by address
  std::size_t next_other_ = 0;                  ///< whose number is given away when none is left
  MacTable learned_{kMostLearned, kAgeing, random_secret()};
  LinkCapabilities capabilities_;
};

}  // namespace vpollnet::host
