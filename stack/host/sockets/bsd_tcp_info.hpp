// SPDX-License-Identifier: MIT
// TCP_INFO of Linux, as socket::TcpInfo.
#pragma once

#include "host/sockets/bsd_options.hpp"
#include "socket/tcp_info.hpp"

namespace vpollnet::host {

/// What getsockopt(2) with TCP_INFO and TCP_CONGESTION says. What an older kernel does not tell is
/// left as it is in a fresh TcpInfo. EOPNOTSUPP for an implementation that has no TCP_INFO.
Errno bsd_tcp_info(const BsdDescriptor& socket, socket::TcpInfo& out);

}  // namespace vpollnet::host
