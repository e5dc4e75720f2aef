// SPDX-License-Identifier: MIT
// UDP and echo: a datagram is sent on as it is, and what comes back goes to who began.
#include <algorithm>
#include <utility>

#include "host/gateway/gateway_implementation.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"
#include "wire/udp.hpp"

namespace vpollnet::host {

void GatewayImplementation::moved(GatewayFlow& flow, Nanos now) {
  flow.last = now;
  datagram_flows_.splice(datagram_flows_.end(), datagram_flows_, flow.oldest);
}

Nanos GatewayImplementation::idle_limit(const GatewayFlow& flow) const {
  if (flow.info.kind == FlowKind::echo) return config_.echo_timeout;
  // RFC 4787 4.3: a well-known port may have a shorter one, as one question and one answer need.
  return flow.info.destination.port < 1024 ? config_.udp_service_timeout : config_.udp_timeout;
}

/// From who began the flow. In the middle of stack processing: it waits for the gateway's turn.
void GatewayImplementation::take_in(GatewayFlow& flow, Packet&& datagram, Nanos now) {
  // A flow that is open sends its queue at its next turn, which is soon; one that waits for a
  // decision keeps little.
  if (flow.remembered) {
    counters_.drop(flow.info.end == FlowEnd::dropped ? GatewayDrop::dropped : GatewayDrop::denied);
    moved(flow, now);
    return activate(flow);  // the sender may have to be told
  }
  const bool waits = flow.info.state == FlowState::asking;
  const std::size_t most = waits ? kQueueDatagrams : 16 * kQueueDatagrams;
  const std::size_t most_bytes = waits ? kQueueBytes : 16 * kQueueBytes;
  if (flow.queue.size() >= most || flow.queued_bytes + datagram.size() > most_bytes) {
    counters_.drop(GatewayDrop::datagram_queue_full);
    return;
  }
  flow.queued_bytes += datagram.size();
  if (waits) {  // not in the large block that it may have come in
    Packet compact;
    for (Slice& part : datagram.take_compact(network_->pump().pool())) {
      compact.append(std::move(part));
    }
    datagram = std::move(compact);
  }
  flow.queue.push_back(std::move(datagram));
  moved(flow, now);
  activate(flow);
}

void GatewayImplementation::start_datagrams(GatewayFlow& flow, Nanos now) {
  const Endpoint& to = flow.info.target.endpoint;
  Result<std::unique_ptr<DatagramEnd>> made = Errno::not_supported;
  if (flow.info.kind == FlowKind::echo) {
    made = far_->open_echo(to.address, flow, now);
  } else {
    const auto mapping = udp_ports_.find(flow.key.remote);
    flow.far_port = mapping != udp_ports_.end() ? mapping->second.first : std::uint16_t{0};
    made = far_->open_datagrams(to, flow.far_port, flow, now);
    if (made) {
      const auto entry =
          udp_ports_.try_emplace(flow.key.remote, flow.far_port, std::size_t{0}).first;
      entry->second.second++;
    } else {
      flow.far_port = 0;
    }
  }
  if (!made) {
    const Errno error = made.error();
    if (is_shortage(error)) {
      counters_.drop(GatewayDrop::no_descriptors);
      return end(flow, FlowEnd::limit, error, now);
    }
    const bool not_allowed = error == Errno::access_denied || error == Errno::not_permitted;
    counters_.drop(flow.info.kind == FlowKind::echo && not_allowed ? GatewayDrop::echo_not_allowed
                                                                   : GatewayDrop::unreachable);
    report_unreachable(flow, not_allowed ? Errno::access_denied : error, now);
    return end(flow, FlowEnd::unreachable, error, now);
  }
  flow.end = std::move(*made);
  flow.info.state = FlowState::open;
  opened(flow, now);
  timers_.arm(flow, now + idle_limit(flow));
  activate(flow);
}

void GatewayImplementation::serve_datagrams(GatewayFlow& flow, Nanos now, int& budget) {
  if (flow.end == nullptr) return;
  int turns = kDatagramsPerTurn;
  const std::size_t sequence = flow.info.kind == FlowKind::echo ? kEchoSequence : 0;
  while (!flow.queue.empty() && turns > 0 && budget > 0) {
    const auto most = static_cast<std::size_t>(std::min(turns, budget));
    const DatagramEnd::Sent sent = flow.end->send_some(flow.queue, most, now);
    flow.queued_bytes -= sent.bytes + sent.lost_bytes;
    flow.info.packets_out += sent.datagrams;
    flow.info.bytes_out += sent.bytes - sent.datagrams * sequence;
    counters_.bytes_out += sent.bytes - sent.datagrams * sequence;
    const int off = static_cast<int>(sent.datagrams) + (sent.error != Errno::ok ? 1 : 0);
    turns -= off;
    budget -= off;
    if (sent.error != Errno::ok && !on_datagram_error(flow, sent.error, now)) return;
  }
  for (; turns > -kDatagramsPerTurn && budget > 0; turns--, budget--) {
    Result<Packet> datagram = flow.end->receive(now);
    if (!datagram && datagram.error() == Errno::again) {
      if (!flow.queue.empty()) activate(flow);
      return;
    }
    if (datagram) {
      answer(flow, std::move(*datagram), now);
    } else if (!on_datagram_error(flow, datagram.error(), now)) {
      return;
    }
  }
  activate(flow);
}

bool GatewayImplementation::on_datagram_error(GatewayFlow& flow, Errno error, Nanos now) {
  switch (error) {
  case Errno::again:
  case Errno::no_buffers: counters_.drop(GatewayDrop::datagram_queue_full); return true;
  case Errno::message_size: counters_.drop(GatewayDrop::datagram_too_big); return true;
  case Errno::refused:
    counters_.drop(GatewayDrop::refused);
    report_unreachable(flow, error, now);
    return true;
  case Errno::host_unreachable:
  case Errno::network_unreachable:
  case Errno::access_denied:
    counters_.drop(GatewayDrop::unreachable);
    report_unreachable(flow, error, now);
    return true;
  case Errno::not_permitted:  // what a host's own packet filter says
    counters_.drop(GatewayDrop::unreachable);
    report_unreachable(flow, Errno::access_denied, now);
    return true;
  default: end(flow, FlowEnd::failed, error, now); return false;
  }
}

/// Towards who began the flow.
void GatewayImplementation::answer(GatewayFlow& flow, Packet&& datagram, Nanos now) {
  moved(flow, now);
  flow.info.packets_in++;
  const std::size_t bytes =
      datagram.size() - (flow.info.kind == FlowKind::echo ? kEchoSequence : 0);
  flow.info.bytes_in += bytes;
  counters_.bytes_in += bytes;
  if (flow.forward != nullptr) {
    const Errno error = flow.forward->listener->send_to(flow.info.source, flow.forward_address,
                                                        std::move(datagram), now);
    if (error != Errno::ok) counters_.drop(GatewayDrop::datagram_queue_full);
    return;
  }
  if (flow.info.direction == FlowDirection::inward) return;  // its forward has been removed
  Stack& stack = *network_->stack();
  network_->touch();
  if (flow.info.kind == FlowKind::echo) {
    std::array<std::uint8_t, kEchoSequence> sequence{};
    datagram.copy_out(0, sequence);
    datagram.trim_front(kEchoSequence);
    (void)stack.send_echo_reply(flow.meta, flow.key.remote.port,
                                static_cast<std::uint16_t>(sequence[0] << 8 | sequence[1]),
                                std::move(datagram), now);
    return;
  }
  (void)stack.send_datagram(flow.key.local, flow.key.remote, flow.meta.interface,
                            std::move(datagram), now);
}

void GatewayImplementation::report_unreachable(GatewayFlow& flow, Errno why, Nanos now) {
  if (flow.info.direction == FlowDirection::inward) return;  // an ordinary user cannot tell a host
  Packet header;
  if (flow.info.kind == FlowKind::echo) {
    const std::uint8_t type = flow.meta.source.is_v4() ? std::uint8_t{wire::kIcmpv4EchoRequest}
                                                       : std::uint8_t{wire::kIcmpv6EchoRequest};
    wire::emit_icmpv4(wire::IcmpHeader::echo(type, flow.key.remote.port, 0),
                      header.prepend(wire::kIcmpHeader));
  } else {
    wire::emit_udp({.source_port = flow.key.remote.port,
                    .destination_port = flow.key.local.port,
                    .length = wire::kUdpHeader},
                   header.prepend(wire::kUdpHeader));
  }
  network_->stack()->send_unreachable(flow.meta, why, std::move(header), now);
  network_->touch();
}

}  // namespace vpollnet::host
