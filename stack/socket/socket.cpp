// SPDX-License-Identifier: MIT
#include "socket/socket.hpp"

namespace vpollnet::socket {

Result<std::size_t> Socket::peek_slices(std::size_t, std::vector<Slice>&) {
  return Errno::not_supported;
}

void Socket::consume(std::size_t, Nanos) {}

std::size_t Socket::send_room() const { return 0; }

Errno Socket::info(TcpInfo&) const { return Errno::not_supported; }

Errno Socket::send_slices(std::vector<Slice>&&, Nanos) { return Errno::not_supported; }

}  // namespace vpollnet::socket
