// SPDX-License-Identifier: MIT
// Our socket options as setsockopt(2) and getsockopt(2) have them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "host/sockets/bsd_calls.hpp"
#include "socket/socket.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

/// A socket as the options need to know it.
struct BsdDescriptor {
  const BsdCalls* calls;
  int fd;
  int domain;  ///< AF_INET or AF_INET6
  socket::Type type;
};

/// As socket::Socket::set_option: ENOPROTOOPT for what this type of socket has not, and for what
/// can only be read. What is there for both families is set for both on a socket of AF_INET6.
Errno set_bsd_option(const BsdDescriptor& socket, socket::Option option, std::int64_t value);

/// The same for a text. Option::congestion: any name that the implementation knows; "newreno" is
/// what Linux calls reno.
Errno set_bsd_text_option(const BsdDescriptor& socket, socket::Option option,
                          std::string_view value);
Result<std::string> bsd_text_option(const BsdDescriptor& socket, socket::Option option);

/// As socket::Socket::option, but for ipv6_only, which Linux shows as set on a socket that is bound
/// to an IPv6 address: what was set is for the caller to know. SO_SNDBUF and SO_RCVBUF of Linux's
/// sockets come back twice as large as they were set (socket(7)); here half of that is given, the
/// bytes of data.
Result<std::int64_t> bsd_option(const BsdDescriptor& socket, socket::Option option);

}  // namespace vpollnet::host
