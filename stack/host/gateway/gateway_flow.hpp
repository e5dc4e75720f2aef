// SPDX-License-Identifier: MIT
// One flow of a gateway: whose it is, where it leads, what moves its bytes.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <optional>

#include "host/gateway/datagram_end.hpp"
#include "host/gateway/gateway_types.hpp"
#include "host/gateway/relay.hpp"
#include "host/gateway/stream_end.hpp"
#include "socket/interceptor.hpp"
#include "socket/tcp_flow.hpp"
#include "util/timer_queue.hpp"

namespace vpollnet::host {

class GatewayImplementation;
struct ForwardPort;

struct GatewayFlow final : EndOwner {
  GatewayFlow(GatewayImplementation& its_gateway, FlowKind kind, FlowDirection direction, Nanos now)
      : gateway(its_gateway), began(now), last(now) {
    info.kind = kind;
    info.direction = direction;
  }
  void on_end_ready() override;

  GatewayImplementation& gateway;
  FlowInfo info;  ///< its counts and times are filled in when somebody asks
  Nanos began;
  Nanos last;                     ///< when something last moved
  socket::FlowKey key;            ///< outward: local is the destination, remote the source
  socket::IpMeta meta;            ///< outward: of the packet that began it
  Nanos deadline = kNever;        ///< of the decision, or of the far side's answer
  std::optional<FlowEnd> doomed;  ///< it ends at its next turn
  bool asked = false;             ///< it waits for a decision, and is counted in `asking`
  bool told = false;              ///< whoever decides knows of it

  // tcp
  std::optional<wire::TcpHeader> syn;     ///< outward, until it is answered
  std::unique_ptr<StreamEnd> waiting;     ///< inward: who connected, until the target has answered
  std::unique_ptr<StreamEnd> connecting;  ///< to the target
  std::optional<Relay> relay;

  // udp, echo
  std::unique_ptr<DatagramEnd> end;  ///< towards the target
  std::deque<Packet> queue;          ///< while nobody has decided
  std::size_t queued_bytes = 0;
  std::uint16_t far_port = 0;
  ForwardPort* forward = nullptr;              ///< inward udp: whose port the source sent to
  IpAddress forward_address;                   ///< and which of its addresses
  std::list<GatewayFlow*>::iterator oldest{};  ///< in the gateway's list of datagram flows
  /// In the gateway's list of those that somebody decided against; their state is `closed`.
  std::optional<std::list<GatewayFlow*>::iterator> remembered;

  std::optional<std::list<GatewayFlow*>::iterator> active;  ///< in the list of those to be served
  TimerEntry timer;
};

}  // namespace vpollnet::host
