// SPDX-License-Identifier: MIT
// Who answers for addresses that are not the stack's own, on the interfaces for which
// Stack::intercept() has named somebody: a gateway.
#pragma once

#include <cstdint>

#include "socket/ip_service.hpp"
#include "util/packet.hpp"
#include "util/time.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::socket {

/// A request for a connection that no listener took. It is unanswered: SocketTable::accept() or
/// refuse() answers it, now or later; nothing at all does not. Sent again, it comes again.
struct InterceptedSyn {
  IpMeta meta;             ///< `destination` is whom the client means, `source` the client
  wire::TcpHeader header;  ///< of the SYN, options included
};

/// Two ports, as UDP has them.
struct Ports {
  std::uint16_t source = 0;
  std::uint16_t destination = 0;
};

/// Gets what comes over an intercepted interface for an address that is not the stack's, or for one
/// that is, where no socket takes it. Called with the pump's lock held in the middle of stack
/// processing: must not call back into the stack before it has returned.
class Interceptor {
 public:
  virtual void on_syn(const InterceptedSyn& syn, Nanos now) = 0;
  /// A UDP datagram for which there is no connected socket, its checksum verified.
  virtual void on_datagram(const IpMeta& meta, Ports ports, Packet&& payload, Nanos now) = 0;
  /// An echo request for an address that is not the stack's.
  virtual void on_echo(const IpMeta& meta, std::uint16_t identifier, std::uint16_t sequence,
                       Packet&& payload, Nanos now) = 0;
  /// An error about a datagram or echo reply that was sent in the name of `error.source`.
  virtual void on_intercepted_error(const IcmpError& error, Nanos now) = 0;

 protected:
  ~Interceptor() = default;
};

}  // namespace vpollnet::socket
