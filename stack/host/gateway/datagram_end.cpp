// SPDX-License-Identifier: MIT
#include "host/gateway/datagram_end.hpp"

#include <utility>

namespace vpollnet::host {

DatagramEnd::Sent DatagramEnd::send_some(std::deque<Packet>& queue, std::size_t limit, Nanos now) {
  Sent sent;
  for (; limit > 0 && !queue.empty(); limit--) {
    const std::size_t bytes = queue.front().size();
    sent.error = send(std::move(queue.front()), now);
    queue.pop_front();
    if (sent.error != Errno::ok) {
      sent.lost_bytes = bytes;
      return sent;
    }
    sent.datagrams++;
    sent.bytes += bytes;
  }
  return sent;
}

}  // namespace vpollnet::host
