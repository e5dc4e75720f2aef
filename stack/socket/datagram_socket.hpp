// SPDX-License-Identifier: MIT
// One UDP or echo socket.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "socket/ip_service.hpp"
#include "socket/socket.hpp"
#include "udp/endpoint.hpp"

namespace vpollnet::socket {

class DatagramSockets;

/// Owned by its DatagramSockets, which finds it by the members that it reads here.
class DatagramSocket final : public Socket {
 public:
  static constexpr std::size_t kDefaultBuffer = 256 * 1024;
  static constexpr std::size_t kBufferMin = 2 * 1024;
  static constexpr std::size_t kBufferMax = 64u << 20;
  static constexpr std::size_t kMaxMemberships = 64;
  /// Of one membership, as Linux has it (igmp_max_msf, mld_max_msf).
  static constexpr std::size_t kMaxSources4 = 10;
  static constexpr std::size_t kMaxSources6 = 64;

  DatagramSocket(Type type, DatagramSockets& table, IpService& ip);

  Errno bind(const Endpoint& local, Nanos now) override;
  Errno connect(const Endpoint& peer, Nanos now) override;
  Errno listen(int backlog, Nanos now) override;
  Result<Socket*> accept(Nanos now) override;
  Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags,
                           Nanos now) override;
  Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                              std::uint32_t flags, Nanos now) override;
  Result<Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags, Nanos now) override;
  Errno shutdown(Shutdown how, Nanos now) override;
  void close(Nanos now) override;
  Errno set_membership(const IpAddress& group, InterfaceId interface, bool member,
                       Nanos now) override;
  Errno set_source_membership(const IpAddress& group, const IpAddress& source,
                              InterfaceId interface, bool member, Nanos now) override;
  Errno set_option(Option option, std::int64_t value, Nanos now) override;
  Result<std::int64_t> option(Option option) override;
  Endpoint local() const override { return local_; }
  Result<Endpoint> peer() const override;
  Endpoint remote() const override { return peer_; }
  const char* state() const override { return "OPEN"; }

  bool is_bound() const { return local_.port != 0; }
  bool is_connected() const { return peer_.address.family() != Family::none; }
  const Endpoint& peer_endpoint() const { return peer_; }
  bool reuses_address() const { return reuse_address_; }
  InterfaceId interface() const { return bind_interface_; }
  std::size_t unread_bytes() const { return queue_.bytes(); }

  /// True if the local address, as it is bound, stands for addresses of `family`.
  bool takes(Family family) const;
  /// How well a packet for `destination` that came in over `from_interface` fits: 0 not at all,
  /// else the higher the more is bound. The peer is not looked at.
  unsigned match(const IpAddress& destination, InterfaceId from_interface) const;
  /// True if the socket is not connected, or to the sender of such a packet.
  bool accepts_from(const IpAddress& source, std::uint16_t port, InterfaceId from_interface) const;

  /// Instead of bind() and connect(): both ends at once, of which `local` need not be ours. To be
  /// entered into the table by the caller.
  void stand_between(const Endpoint& local, const Endpoint& peer, InterfaceId interface);
  bool stands_between() const { return stands_between_; }

  enum class Hearing : std::uint8_t { yes, no_member, other_source };
  /// Whether what is sent to a multicast group is for the socket: all-nodes and 224.0.0.1 are
  /// everybody's. Yes for what is sent to no group.
  Hearing hears(const IpAddress& source, const IpAddress& destination,
                InterfaceId from_interface) const;

  /// Queues a payload. False, and the drop counted, if it cannot.
  bool deliver(const Endpoint& from, Packet&& payload);
  /// An error that the next call reports.
  void fail(Errno error);
  bool wants_size_errors() const { return dont_fragment_; }
  bool shows_sequence() const { return echo_sequence_; }

  std::list<std::unique_ptr<DatagramSocket>>::iterator self;  ///< for its table

 private:
  Errno take_error();
  void update();
  bool family_allowed(Family family) const;
  /// The path to `to`, remembered as long as nothing below changes.
  Result<Path> find_path(const Endpoint& to, const IpAddress& source);
  Errno transmit(std::span<const std::uint8_t> data, const Endpoint& to, const Path& path,
                 Nanos now);
  Packet build_udp(std::span<const std::uint8_t> data, const Endpoint& to, const Path& path);
  Packet build_echo(std::span<const std::uint8_t> data, const Endpoint& to, const Path& path);

  DatagramSockets& table_;
  IpService& ip_;
  udp::ReceiveQueue queue_;
  Endpoint local_;            ///< in use: the source address of a connection, or what was bound
  IpAddress bound_;           ///< what was bound
  IpAddress source_;          ///< the same if it can be the source of a packet: no group, not any
  bool group_bound_ = false;  ///< to a multicast or broadcast address: it stays so when connected
  Endpoint peer_;
  Errno error_ = Errno::ok;
  bool read_shut_ = false;
  bool write_shut_ = false;
  std::uint16_t next_sequence_ = 0;

  bool reuse_address_ = false;
  bool broadcast_ = false;
  bool ipv6_only_ = false;
  bool dont_fragment_ = false;
  bool echo_sequence_ = false;
  std::uint8_t hop_limit_ = 64;           // RFC 1122 3.2.1.7, as assigned by IANA
  std::uint8_t multicast_hop_limit_ = 1;  // RFC 1112 6.1
  bool multicast_loop_ = true;            // RFC 1112 6.1: the default
  InterfaceId multicast_interface_ = kAnyInterface;
  std::uint8_t traffic_class_ = 0;
  InterfaceId bind_interface_ = kAnyInterface;
  bool stands_between_ = false;  ///< its address is somebody else's
  std::size_t send_buffer_ = kDefaultBuffer;

  struct CachedPath {
    IpAddress destination;
    IpAddress source;
    InterfaceId interface = kAnyInterface;
    std::uint64_t generation = 0;
    Path path;
  };
  std::optional<CachedPath> cached_;

  struct Membership {
    IpAddress group;
    InterfaceId interface = kAnyInterface;
    std::vector<IpAddress> sources{};  ///< none: any (EXCLUDE({}), else INCLUDE: RFC 3376 3.1)

    bool names(const IpAddress& source) const;
  };
  using Memberships = std::vector<Membership>;
  Memberships::iterator find_membership(const IpAddress& group, InterfaceId interface);
  Errno add_source(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                   Nanos now);
  Errno drop_source(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                    Nanos now);
  void leave(const Membership& membership, Nanos now);

  Memberships memberships_;
};

}  // namespace vpollnet::socket
