// SPDX-License-Identifier: MIT
#include "host/links/socket_address.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace vpollnet::host {

static_assert(SocketAddress::kCapacity >= sizeof(sockaddr_un));

SocketAddress::SocketAddress(const Endpoint& endpoint, unsigned device) {
  const auto bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&storage_, &in, size_ = sizeof in);
  } else if (endpoint.address.is_v6()) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, bytes.data(), bytes.size());
    if (endpoint.address.is_link_local() || endpoint.address.is_link_local_multicast()) {
      in.sin6_scope_id = device;
    }
    std::memcpy(&storage_, &in, size_ = sizeof in);
  }
}

Failure SocketAddress::of_path(const std::string& path, SocketAddress& address) {
  sockaddr_un un{};
  if (path.empty() || path.size() >= sizeof un.sun_path || path.find('\0') != std::string::npos) {
    return {Errno::invalid, "", "the path of a Unix socket has 1 to 107 bytes, not '" + path + "'"};
  }
  un.sun_family = AF_UNIX;
  path.copy(un.sun_path, path.size());
  address = SocketAddress();
  std::memcpy(&address.storage_, &un, sizeof un);
  address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return {};
}

Endpoint SocketAddress::endpoint() const {
  Endpoint endpoint;
  const auto* start = reinterpret_cast<const std::uint8_t*>(&storage_);
  if (family() == AF_INET) {
    endpoint.address = IpAddress::from_bytes({start + offsetof(sockaddr_in, sin_addr), 4});
    endpoint.port = ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  } else if (family() == AF_INET6) {
    endpoint.address = IpAddress::from_bytes({start + offsetof(sockaddr_in6, sin6_addr), 16});
    endpoint.port = ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  }
  return endpoint;
}

std::string SocketAddress::to_string() const {
  if (family() != AF_UNIX) return endpoint().to_string();
  return reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path;
}

bool SocketAddress::same_host(const SocketAddress& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET) {
    return std::memcmp(&reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr,
                       &reinterpret_cast<const sockaddr_in*>(&other.storage_)->sin_addr, 4) == 0;
  }
  if (family() == AF_INET6) {
    const auto& mine = reinterpret_cast<const sockaddr_in6&>(storage_);
    const auto& its = reinterpret_cast<const sockaddr_in6&>(other.storage_);
    return std::memcmp(&mine.sin6_addr, &its.sin6_addr, 16) == 0 &&
           mine.sin6_scope_id == its.sin6_scope_id;
  }
  return to_string() == other.to_string();
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  return same_host(other) && (family() == AF_UNIX || endpoint().port == other.endpoint().port);
}

void SocketAddress::set_port(std::uint16_t port) {
  if (family() == AF_INET) reinterpret_cast<sockaddr_in*>(&storage_)->sin_port = htons(port);
  if (family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&storage_)->sin6_port = htons(port);
}

Descriptor open_socket(int family, int type, Failure& failure) {
  Descriptor socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) failure = {Errno(errno), "socket", ""};
  return socket;
}

Failure find_device(const std::string& name, unsigned& index) {
  index = name.empty() ? 0 : if_nametoindex(name.c_str());
  if (index != 0 || name.empty()) return {};
  return {Errno::no_such_device, "", "this machine has no network interface '" + name + "'"};
}

Failure find_path_to(const SocketAddress& peer, const SocketAddress& local, unsigned device,
                     PathTo& path) {
  Failure failure;
  const Descriptor socket = open_socket(peer.family(), SOCK_DGRAM, failure);
  if (!socket) return failure;
  const bool v6 = peer.family() == AF_INET6;
  // The port is left out: it may be in use, by the link itself.
  const Endpoint from{.address = local.endpoint().address, .port = 0, .scope = kAnyInterface};
  if (from.address.family() != Family::none && !from.address.is_unspecified()) {
    const SocketAddress own(from, device);
    if (::bind(socket.get(), own.get(), own.size()) != 0) {
      return {Errno(errno), "bind", from.address.to_string() + " is no address of this machine"};
    }
  }
  if (device != 0 && v6) {
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &device, sizeof device);
  } else if (device != 0) {
    ip_mreqn choice{};
    choice.imr_ifindex = static_cast<int>(device);
    setsockopt(socket.get(), IPPROTO_IP, IP_MULTICAST_IF, &choice, sizeof choice);
  }
  if (::connect(socket.get(), peer.get(), peer.size()) != 0) {
    return {Errno(errno), "connect", "no way to " + peer.to_string()};
  }
  int mtu = 0;
  socklen_t size = sizeof mtu;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (getsockopt(socket.get(), level, v6 ? IPV6_MTU : IP_MTU, &mtu, &size) == 0 && mtu > 0) {
    path.mtu = static_cast<std::uint32_t>(mtu);
  }
  socklen_t length = SocketAddress::kCapacity;
  if (getsockname(socket.get(), path.own.fill(), &length) == 0) path.own.set_size(length);
  return {};
}

}  // namespace vpollnet::host
