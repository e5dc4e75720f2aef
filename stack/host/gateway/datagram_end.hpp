// SPDX-License-Identifier: MIT
// One side of a flow of datagrams.
#pragma once

#include <cstdint>
#include <deque>

#include "host/gateway/stream_end.hpp"
#include "util/packet.hpp"
#include "util/result.hpp"
#include "util/time.hpp"

namespace vpollnet::host {

/// Datagrams between two fixed ends. Of an echo flow, the first two bytes of each are the sequence
/// number. No call waits; all come with the pump's lock held.
class DatagramEnd {
 public:
  /// What became of the datagrams that are off a queue.
  struct Sent {
    std::size_t datagrams = 0;
    std::size_t bytes = 0;
    Errno error = Errno::ok;  ///< not ok: one more is off the queue, and lost
    std::size_t lost_bytes = 0;
  };

  virtual ~DatagramEnd() = default;
  /// Errno::again: there is no room, and it is lost. Errno::refused, Errno::host_unreachable, ...:
  /// what became of an earlier one; this one may be lost too.
  virtual Errno send(Packet&& datagram, Nanos now) = 0;
  /// Sends from the front of `queue`, up to `limit`, with fewer system calls than one each where
  /// that can be had.
  virtual Sent send_some(std::deque<Packet>& queue, std::size_t limit, Nanos now);
  /// The next datagram that has come. Errno::again: none; other errors as of send().
  virtual Result<Packet> receive(Nanos now) = 0;
};

inline constexpr std::size_t kEchoSequence = 2;

}  // namespace vpollnet::host
