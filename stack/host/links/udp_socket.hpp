// SPDX-License-Identifier: MIT
// UDP sockets for links: bound, in groups, with an MTU that fits the way.
#pragma once

#include <cstdint>

#include "host/failure.hpp"
#include "host/links/descriptor.hpp"
#include "host/links/socket_address.hpp"

namespace vpollnet::host {

struct UdpOptions {
  unsigned device = 0;  ///< index of the interface of groups and link-local addresses; 0: any
  std::uint8_t group_hops = 1;  ///< TTL of what is sent to a group (RFC 1112 6.1)
  bool fragment = true;         ///< false: a datagram larger than the path is EMSGSIZE
};

/// A socket bound to `local`. EADDRINUSE, EADDRNOTAVAIL, EACCES, with what to do.
Failure open_udp(const SocketAddress& local, const UdpOptions& options, Descriptor& socket);

/// A socket that hears what is sent to `group`, bound to it; others of this machine may be too.
/// `own` chooses the interface (IPv4) where `options` names none.
Failure open_udp_group(const SocketAddress& group, const SocketAddress& own,
                       const UdpOptions& options, Descriptor& socket);
/// Makes a bound socket hear `group` too.
Failure join_group(const Descriptor& socket, const SocketAddress& group, const SocketAddress& own,
                   const UdpOptions& options);

/// What IP, IPv6 and UDP put around a datagram, in bytes.
std::uint32_t udp_overhead(int family);

/// The address that a socket is bound to.
SocketAddress bound_address(const Descriptor& socket);

/// UDP over IPv6 without a checksum is taken, too, as tunnels send it (RFC 6935, RFC 7348 4.1).
void accept_zero_checksum(const Descriptor& socket);

/// No more than the least is kept of what comes: for sockets that only send.
void refuse_input(const Descriptor& socket);

}  // namespace vpollnet::host
