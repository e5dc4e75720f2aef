// SPDX-License-Identifier: MIT
#include "host/links/udp_socket.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "wire/udp.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kIpv4Header = 20;
constexpr std::uint32_t kIpv6Header = 40;

void set(const Descriptor& socket, int level, int option, int value) {
  setsockopt(socket.get(), level, option, &value, sizeof value);
}

std::string advice(int error, const SocketAddress& local) {
  const std::string where = local.to_string();
  switch (error) {
  case EADDRINUSE: return where + " is in use by another socket; choose another one by local=";
  case EADDRNOTAVAIL: return where + " is no address of this machine";
  case EACCES: return where + ": ports below 1024 need CAP_NET_BIND_SERVICE";
  default: return where;
  }
}

Failure prepare(const SocketAddress& local, const UdpOptions& options, Descriptor& socket) {
  Failure failure;
  socket = open_socket(local.family(), SOCK_DGRAM, failure);
  if (failure) return failure;
  const int device = static_cast<int>(options.device);
  if (local.family() == AF_INET6) {
    set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, options.group_hops);
    if (device != 0) set(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, device);
    if (!options.fragment) set(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
    return {};
  }
  set(socket, IPPROTO_IP, IP_MULTICAST_TTL, options.group_hops);
  // Only the groups that this socket joined, not those of the whole machine.
  set(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  if (device != 0) {
    ip_mreqn choice{};
    choice.imr_ifindex = device;
    setsockopt(socket.get(), IPPROTO_IP, IP_MULTICAST_IF, &choice, sizeof choice);
  }
  if (!options.fragment) set(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
  return {};
}

Failure bind_to(const SocketAddress& local, const Descriptor& socket) {
  if (::bind(socket.get(), local.get(), local.size()) == 0) return {};
  const int error = errno;
  return {Errno(error), "bind", advice(error, local)};
}

}  // namespace

Failure open_udp(const SocketAddress& local, const UdpOptions& options, Descriptor& socket) {
  Failure failure = prepare(local, options, socket);
  if (!failure) failure = bind_to(local, socket);
  return failure;
}

Failure open_udp_group(const SocketAddress& group, const SocketAddress& own,
                       const UdpOptions& options, Descriptor& socket) {
  Failure failure = prepare(group, options, socket);
  if (failure) return failure;
  set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  failure = bind_to(group, socket);
  if (!failure) failure = join_group(socket, group, own, options);
  return failure;
}

Failure join_group(const Descriptor& socket, const SocketAddress& group, const SocketAddress& own,
                   const UdpOptions& options) {
  int result = 0;
  if (group.family() == AF_INET6) {
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr;
    request.ipv6mr_interface = options.device;
    result = setsockopt(socket.get(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request);
  } else {
    ip_mreqn request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr;
    request.imr_ifindex = static_cast<int>(options.device);
    if (own.family() == AF_INET) {
      request.imr_address = reinterpret_cast<const sockaddr_in*>(own.get())->sin_addr;
    }
    result = setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
  }
  if (result == 0) return {};
  return {Errno(errno), "setsockopt(IP_ADD_MEMBERSHIP)",
          group.endpoint().address.to_string() + ": name the interface of the group by dev="};
}

std::uint32_t udp_overhead(int family) {
  return (family == AF_INET6 ? kIpv6Header : kIpv4Header) +
         static_cast<std::uint32_t>(wire::kUdpHeader);
}

SocketAddress bound_address(const Descriptor& socket) {
  SocketAddress address;
  socklen_t size = SocketAddress::kCapacity;
  if (getsockname(socket.get(), address.fill(), &size) == 0) address.set_size(size);
  return address;
}

void accept_zero_checksum(const Descriptor& socket) {
  set(socket, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
}

void refuse_input(const Descriptor& socket) { set(socket, SOL_SOCKET, SO_RCVBUF, 0); }

}  // namespace vpollnet::host
