// SPDX-License-Identifier: MIT
// How a TCP connection does, as tcp_info of Linux and the MIB of RFC 4898 tell it.
#pragma once

#include <string>

#include "tcp/info.hpp"

namespace vpollnet::socket {

/// Of a listener, and of a socket without a connection, only the first two mean something.
struct TcpInfo {
  const char* state = "CLOSED";  ///< as Socket::state()
  std::string congestion;        ///< Option::congestion; "" if that is not known
  std::uint32_t path_mtu = 0;    ///< largest IP packet on the path, in bytes; 0 if not known
  tcp::Info connection;
};

}  // namespace vpollnet::socket
