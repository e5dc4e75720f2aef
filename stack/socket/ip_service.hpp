// SPDX-License-Identifier: MIT
// What sockets need of the layers below them. The Stack implements it; tests can do so too.
#pragma once

#include <cstdint>

#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::socket {

/// IP protocol numbers that sockets use (IANA).
enum Protocol : std::uint8_t { kIcmp = 1, kIgmp = 2, kTcp = 6, kUdp = 17, kIcmpv6 = 58 };

class Interceptor;

/// How to reach a destination.
struct Path {
  IpAddress source;                       ///< what to put in the source field
  InterfaceId interface = kAnyInterface;  ///< where it goes out
  std::uint32_t mtu = 0;      ///< largest IP packet in bytes, path MTU discovery included
  bool segmentation = false;  ///< large TCP packets (gso_size) are cut up on the way out
  bool broadcast = false;     ///< the destination is a broadcast address of the interface
  IpAddress next_hop{};       ///< a gateway or the destination; none: to ourselves
};

/// The header fields of a packet, received or to be sent.
struct IpMeta {
  IpAddress source;
  IpAddress destination;
  InterfaceId interface = kAnyInterface;  ///< in: where it came from. out: force, or kAnyInterface
  std::uint8_t protocol = 0;
  std::uint8_t hop_limit = 64;
  std::uint8_t traffic_class = 0;
  bool dont_fragment = false;  ///< out: IPv4 DF, and no fragmenting at the source for IPv6
  bool loops = true;           ///< out: to a group, so that members of this stack hear it too
  bool to_group = false;       ///< in: the destination was broadcast or multicast (IP or link)
  bool foreign = false;        ///< in: the destination is not ours; `interceptor` answers for it
  Interceptor* interceptor = nullptr;  ///< in: who gets what no socket takes; null for nobody
};

/// An ICMP or ICMPv6 error about a packet that this stack sent, already checked for its own form.
struct IcmpError {
  Errno error = Errno::ok;  ///< the errno of RFC 1122 4.2.3.9's table as Linux has it
  bool hard = false;        ///< protocol or port unreachable, administratively prohibited
  bool too_big = false;     ///< Fragmentation Needed or Packet Too Big; `mtu` is set, floored
  std::uint32_t mtu = 0;
  IpAddress reporter{};   ///< who sent the error
  IpAddress source;       ///< of the quoted packet: ours
  IpAddress destination;  ///< of the quoted packet: the peer
  InterfaceId interface = kAnyInterface;
  std::uint8_t protocol = 0;
  std::span<const std::uint8_t> transport;  ///< the quoted bytes behind the IP header, at least 8
};

/// The layers below the sockets.
class IpService {
 public:
  /// The path from `source` (Family::none: choose by RFC 6724) to `destination` over `interface`
  /// (kAnyInterface: by the routes). A source that is not ours is good over an interface that is
  /// intercepted. ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT, ENODEV.
  virtual Result<Path> find_path(const IpAddress& destination, const IpAddress& source,
                                 InterfaceId interface) = 0;
  /// Changes whenever a route, an address, an interface or a path MTU does: a cached Path is good
  /// as long as this number stays.
  virtual std::uint64_t path_generation() const = 0;
  /// Puts an IP header before `transport` and sends it on its way. The transport checksum is in
  /// the packet already, or ChecksumState::partial. EMSGSIZE with `dont_fragment`, ENETUNREACH,
  /// ENOBUFS.
  virtual Errno send_ip(const IpMeta& meta, Packet&& transport, Nanos now) = 0;
  /// The same for a caller who keeps the Path of find_path: no lookup.
  virtual Errno send_ip(const IpMeta& meta, const Path& path, Packet&& transport, Nanos now) = 0;
  /// Forward progress on a connection over `path` to `destination`: its neighbour is reachable
  /// (RFC 4861 7.3.1).
  virtual void confirm_reachable(const IpAddress& destination, const Path& path, Nanos now) = 0;
  /// An address that a socket may be bound to: ours and not tentative.
  virtual bool is_local(const IpAddress& address, InterfaceId interface) const = 0;
  /// Limited or directed broadcast of any interface.
  virtual bool is_broadcast(const IpAddress& address) const = 0;

  /// The interface of a membership of `group`: `interface`, or for kAnyInterface the one by which
  /// packets to the group would go out. EINVAL, ENODEV, ENETUNREACH.
  virtual Result<InterfaceId> group_interface(const IpAddress& group, InterfaceId interface) = 0;
  /// A socket begins to listen to what `source` (Family::none: anybody) sends to a multicast group,
  /// on an interface that group_interface() gave. ENODEV, ENOBUFS.
  virtual Errno join_group(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                           Nanos now) = 0;
  /// One that had joined so no longer listens.
  virtual void leave_group(const IpAddress& group, const IpAddress& source, InterfaceId interface,
                           Nanos now) = 0;

  virtual BlockPool& pool() = 0;
  virtual Budget& budget() = 0;
  virtual Counters& counters() = 0;
  virtual KeyedRandom& random() = 0;

 protected:
  ~IpService() = default;
};

}  // namespace vpollnet::socket
