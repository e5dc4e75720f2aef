// SPDX-License-Identifier: MIT
// Endpoints as the BSD calls take them, and back.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "wire/address.hpp"

namespace vpollnet::host {

/// A sockaddr of either family; filled in by a call, room for any. links/socket_address.hpp is
/// another: it owns text forms and paths, and knows no v4-mapped addresses.
struct BsdAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// For a socket of `domain` (AF_INET, AF_INET6): on one of AF_INET6 an IPv4 address is v4-mapped
/// (RFC 4291 2.5.5.2), and no address is "::", or 0.0.0.0 on one of AF_INET. The scope becomes
/// sin6_scope_id.
BsdAddress to_bsd_address(const Endpoint& endpoint, int domain);

/// A v4-mapped address becomes IPv4.
IpAddress to_address(const in6_addr& address);

/// The same; other families than the two become Family::none.
Endpoint to_endpoint(const BsdAddress& address);

}  // namespace vpollnet::host
