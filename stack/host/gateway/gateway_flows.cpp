// SPDX-License-Identifier: MIT
// Flows begin, are decided, time out and end.
#include <algorithm>
#include <utility>

#include "host/gateway/gateway_implementation.hpp"
#include "host/socket_handle.hpp"

namespace vpollnet::host {
namespace {

bool fits(const GatewayRule& rule, const GatewayFlow& flow) {
  const FlowInfo& info = flow.info;
  if (rule.kind && *rule.kind != info.kind) return false;
  if (rule.source && !rule.source->contains(info.source.address)) return false;
  if (rule.destination && !rule.destination->contains(info.destination.address)) return false;
  const std::uint16_t port = info.destination.port;
  return port >= rule.first_port && port <= rule.last_port && (rule.reach & info.reach) != 0;
}

bool leads_elsewhere(const FlowTarget& target) {
  return !target.path.empty() || target.endpoint.address.family() != Family::none;
}

}  // namespace

// --- begin ---

/// Null, and counted, if there is no room.
GatewayFlow* GatewayImplementation::begin_flow(FlowKind kind, FlowDirection direction,
                                               const Endpoint& source, const Endpoint& destination,
                                               Nanos now) {
  if (!make_room(kind, source.address, now)) return nullptr;
  auto made = std::make_unique<GatewayFlow>(*this, kind, direction, now);
  GatewayFlow& flow = *made;
  flow.info.id = ++last_id_;
  flow.info.source = source;
  flow.info.destination = destination;
  if (kind == FlowKind::echo) flow.info.source.port = 0;
  by_source_[source.address]++;
  if (kind != FlowKind::tcp) {
    flow.oldest = datagram_flows_.insert(datagram_flows_.end(), &flow);
  }
  flows_.emplace(flow.info.id, std::move(made));
  activate(flow);
  return &flow;
}

bool GatewayImplementation::make_room(FlowKind, const IpAddress& source, Nanos now) {
  const auto of_source = by_source_.find(source);
  if (of_source != by_source_.end() && of_source->second >= config_.max_flows_per_source) {
    counters_.drop(GatewayDrop::source_limit);
    return false;
  }
  if (flows_.size() < config_.max_flows) return true;
  // Datagrams have no end of their own: who has been silent for long makes room.
  if (!datagram_flows_.empty() && now - datagram_flows_.front()->last >= kGivesWay) {
    GatewayFlow& oldest = *datagram_flows_.front();
    moved(oldest, now);
    doom(oldest, FlowEnd::expired);
    return true;
  }
  counters_.drop(GatewayDrop::flow_limit);
  return false;
}

void GatewayImplementation::on_syn(const socket::InterceptedSyn& syn, Nanos now) {
  const Endpoint source{syn.meta.source, syn.header.source_port, kAnyInterface};
  const Endpoint destination{syn.meta.destination, syn.header.destination_port, kAnyInterface};
  const socket::FlowKey key{destination, source};
  auto& known = by_key_[static_cast<std::size_t>(FlowKind::tcp)];
  if (const auto found = known.find(key); found != known.end()) {
    GatewayFlow& flow = *found->second;
    if (flow.syn) {
      // Sent again, and being worked on; or the client has begun anew, and this is what counts.
      flow.syn = syn.header;
      flow.meta = syn.meta;
      if (flow.remembered) {
        counters_.drop(GatewayDrop::dropped);
        flow.last = now;
      }
      return;
    }
    // The stack has let go of the former connection between these ends. What is left of it ends by
    // itself: the far side may still have to get its last bytes.
    known.erase(found);
  }
  GatewayFlow* flow = begin_flow(FlowKind::tcp, FlowDirection::outward, source, destination, now);
  if (flow == nullptr) return;
  flow->key = key;
  flow->meta = syn.meta;
  flow->syn = syn.header;
  flow->info.interface = syn.meta.interface;
  known.emplace(key, flow);
}

void GatewayImplementation::on_datagram(const socket::IpMeta& meta, socket::Ports ports,
                                        Packet&& payload, Nanos now) {
  const socket::FlowKey key{{meta.destination, ports.destination, kAnyInterface},
                            {meta.source, ports.source, kAnyInterface}};
  auto& known = by_key_[static_cast<std::size_t>(FlowKind::udp)];
  const auto found = known.find(key);
  GatewayFlow* flow = found != known.end() ? found->second : nullptr;
  if (flow == nullptr) {
    flow = begin_flow(FlowKind::udp, FlowDirection::outward, key.remote, key.local, now);
    if (flow == nullptr) return;
    flow->key = key;
    flow->meta = meta;
    flow->info.interface = meta.interface;
    known.emplace(key, flow);
  }
  take_in(*flow, std::move(payload), now);
}

void GatewayImplementation::on_echo(const socket::IpMeta& meta, std::uint16_t identifier,
                                    std::uint16_t sequence, Packet&& payload, Nanos now) {
  const socket::FlowKey key{{meta.destination, 0, kAnyInterface},
                            {meta.source, identifier, kAnyInterface}};
  auto& known = by_key_[static_cast<std::size_t>(FlowKind::echo)];
  const auto found = known.find(key);
  GatewayFlow* flow = found != known.end() ? found->second : nullptr;
  if (flow == nullptr) {
    flow = begin_flow(FlowKind::echo, FlowDirection::outward, key.remote, key.local, now);
    if (flow == nullptr) return;
    flow->key = key;
    flow->meta = meta;
    flow->info.interface = meta.interface;
    known.emplace(key, flow);
  }
  const std::span<std::uint8_t> front = payload.prepend(kEchoSequence);
  front[0] = static_cast<std::uint8_t>(sequence >> 8);
  front[1] = static_cast<std::uint8_t>(sequence);
  take_in(*flow, std::move(payload), now);
}

void GatewayImplementation::on_intercepted_error(const socket::IcmpError& error, Nanos) {
  // Only a host itself knows that nobody has the port (RFC 1122 3.2.2.1).
  const bool closed = error.error == Errno::refused && error.reporter == error.destination;
  if (error.protocol != socket::kUdp || !closed) return;
  const auto port = [&](std::size_t at) {
    return static_cast<std::uint16_t>(error.transport[at] << 8 | error.transport[at + 1]);
  };
  // The quoted datagram is ours: from the flow's destination to its source.
  const socket::FlowKey key{{error.source, port(0), kAnyInterface},
                            {error.destination, port(2), kAnyInterface}};
  auto& known = by_key_[static_cast<std::size_t>(FlowKind::udp)];
  const auto found = known.find(key);
  if (found == known.end()) return;
  // The far side cannot be told by an ordinary user. With our socket closed its next datagram finds
  // nobody, and its stack says so.
  found->second->info.error = error.error;
  doom(*found->second, FlowEnd::reset_by_source);
}

// --- serve, decide ---

void GatewayImplementation::serve(GatewayFlow& flow, Nanos now, int& budget) {
  if (flow.doomed) {
    if (flow.relay) flow.relay->reset(now);
    return end(flow, *flow.doomed, flow.info.error, now);
  }
  if (flow.info.state == FlowState::asking) {
    if (!flow.asked) judge(flow, now);
    return;
  }
  if (flow.remembered) {
    if (flow.info.kind != FlowKind::tcp && flow.info.end == FlowEnd::denied) {
      report_unreachable(flow, Errno::access_denied, now);
    }
    return;
  }
  if (flow.info.kind == FlowKind::tcp) {
    serve_tcp(flow, now, budget);
  } else {
    serve_datagrams(flow, now, budget);
  }
}

bool GatewayImplementation::is_behind(const IpAddress& address) const {
  for (const AddressInfo& own : network_->stack()->addresses()) {
    if (own.address.contains(address)) return true;
  }
  return false;
}

Decision GatewayImplementation::match_rules(const GatewayFlow& flow) const {
  for (const GatewayRule& rule : config_.rules) {
    if (fits(rule, flow)) return rule.decision;
  }
  return {config_.otherwise, {}};
}

/// A flow that has just come from behind.
void GatewayImplementation::judge(GatewayFlow& flow, Nanos now) {
  flow.info.reach = far_->reach(flow.info.destination.address, now);
  Decision decision;
  std::uint16_t index = 0;
  if (const ForwardSpec* forward = outward_forward(flow, index)) {
    decision = {Verdict::allow, forward->to};
    if (decision.target.endpoint.port != 0) {
      decision.target.endpoint.port = static_cast<std::uint16_t>(forward->to.endpoint.port + index);
    }
  } else {
    decision = match_rules(flow);
  }
  if (decision.verdict != Verdict::ask) return carry_out(flow, decision, now);
  if (counters_.asking >= config_.max_asking) {
    counters_.drop(GatewayDrop::asking_limit);
    return end(flow, FlowEnd::limit, Errno::ok, now);
  }
  flow.asked = true;
  counters_.asking++;
  flow.deadline = now + config_.ask_timeout;
  timers_.arm(flow, flow.deadline);
  flow.told = tell(GatewayEvent::What::asked, flow, now);
}

void GatewayImplementation::stop_asking(GatewayFlow& flow) {
  if (flow.asked) counters_.asking--;
  flow.asked = false;
  flow.deadline = kNever;
}

void GatewayImplementation::carry_out(GatewayFlow& flow, const Decision& decision, Nanos now) {
  stop_asking(flow);
  flow.told = false;
  switch (decision.verdict) {
  case Verdict::allow: break;
  case Verdict::drop:
    counters_.drop(GatewayDrop::dropped);
    return end(flow, FlowEnd::dropped, Errno::ok, now);
  default:
    counters_.drop(GatewayDrop::denied);
    return refuse(flow, FlowEnd::denied, Errno::access_denied, now);
  }
  flow.info.target = decision.target;
  Endpoint& to = flow.info.target.endpoint;
  if (flow.info.target.path.empty()) {
    // An address of the gateway, or of its own links, means nothing on the far side, where somebody
    // else may have it.
    if (!leads_elsewhere(decision.target) && !flow.meta.foreign) {  // a port where nobody listens
      counters_.drop(GatewayDrop::refused);
      return refuse(flow, FlowEnd::refused, Errno::refused, now);
    }
    if (!leads_elsewhere(decision.target) && is_behind(flow.info.destination.address)) {
      counters_.drop(GatewayDrop::unreachable);
      return refuse(flow, FlowEnd::unreachable, Errno::host_unreachable, now);
    }
    if (to.address.family() == Family::none) {
      const std::uint16_t port = to.port;
      to = flow.info.destination;
      if (port != 0) to.port = port;
    } else if (to.port == 0) {
      to.port = flow.info.destination.port;
    }
  } else if (flow.info.kind != FlowKind::tcp) {
    counters_.drop(GatewayDrop::unreachable);
    return refuse(flow, FlowEnd::failed, Errno::not_supported, now);
  }
  start(flow, now);
}

void GatewayImplementation::start(GatewayFlow& flow, Nanos now) {
  flow.info.state = FlowState::connecting;
  if (flow.info.kind == FlowKind::tcp) {
    start_tcp(flow, now);
  } else {
    start_datagrams(flow, now);
  }
}

void GatewayImplementation::refuse(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now) {
  if (flow.info.kind == FlowKind::tcp) return refuse_tcp(flow, why, error, now);
  report_unreachable(flow, error, now);
  end(flow, why, error, now);
}

Errno GatewayImplementation::decide(FlowId id, const Decision& decision) {
  Pump::Hold hold(network_->pump());
  return decide_locked(id, decision, hold.now());
}

void GatewayImplementation::decide_all(std::span<const std::pair<FlowId, Decision>> decisions) {
  while (!decisions.empty()) {
    Pump::Hold hold(network_->pump());
    const std::size_t count = std::min(decisions.size(), kDecisionsPerHold);
    for (const auto& [id, decision] : decisions.first(count)) {
      (void)decide_locked(id, decision, hold.now());
    }
    decisions = decisions.subspan(count);
  }
}

Errno GatewayImplementation::decide_locked(FlowId id, const Decision& decision, Nanos now) {
  const auto found = flows_.find(id);
  if (found == flows_.end() || !found->second->asked) return Errno(ENOENT);
  GatewayFlow& flow = *found->second;
  const bool dropped = decision.verdict == Verdict::drop;
  // A client whose SYN is answered with RST does not send it again.
  if (dropped || (decision.verdict == Verdict::refuse && flow.info.kind != FlowKind::tcp)) {
    remember(flow, dropped ? FlowEnd::dropped : FlowEnd::denied, now);
  } else {
    carry_out(flow, decision, now);
  }
  network_->pump().touch(*this);
  return Errno::ok;
}

void GatewayImplementation::remember(GatewayFlow& flow, FlowEnd why, Nanos now) {
  stop_asking(flow);
  flow.told = false;
  counters_.drop(why == FlowEnd::dropped ? GatewayDrop::dropped : GatewayDrop::denied);
  if (why == FlowEnd::denied) report_unreachable(flow, Errno::access_denied, now);
  flow.queue.clear();
  flow.queued_bytes = 0;
  flow.info.state = FlowState::closed;
  flow.info.end = why;
  flow.last = now;
  tell(GatewayEvent::What::closed, flow, now);
  if (remembered_.size() >= kRemembered) {
    end(*remembered_.front(), remembered_.front()->info.end, Errno::ok, now);
  }
  flow.remembered = remembered_.insert(remembered_.end(), &flow);
  timers_.arm(flow, now + kRemembers);
}

Result<std::shared_ptr<SocketHandle>> GatewayImplementation::take(FlowId id) {
  std::shared_ptr<SocketHandle> handle;  // outlives the hold: its destructor takes the lock
  Pump::Hold hold(network_->pump());
  const Nanos now = hold.now();
  const auto found = flows_.find(id);
  if (found == flows_.end() || !found->second->asked) return Errno(ENOENT);
  GatewayFlow& flow = *found->second;
  socket::SocketTable& sockets = network_->stack()->sockets();
  Result<socket::Socket*> made = Errno::not_supported;
  if (flow.info.kind == FlowKind::tcp) {
    made = sockets.accept({flow.meta, *flow.syn}, now);
  } else if (flow.info.kind == FlowKind::udp) {
    made = sockets.open_intercepted(flow.meta, {flow.key.remote.port, flow.key.local.port});
    if (made) {
      for (Packet& datagram : flow.queue) {
        socket::SocketTable::deliver_intercepted(**made, std::move(datagram));
      }
    }
  }
  if (!made) return made.error();
  network_->touch();
  handle = std::make_shared<SocketHandleImplementation>(network_, **made);
  flow.info.state = FlowState::taken;
  opened(flow, now);
  end(flow, FlowEnd::none, Errno::ok, now);
  return handle;
}

// --- time ---

void GatewayImplementation::on_deadline(GatewayFlow& flow, Nanos now) {
  switch (flow.info.state) {
  case FlowState::asking:
    if (now < flow.deadline) return timers_.arm(flow, flow.deadline);
    counters_.drop(GatewayDrop::undecided);
    stop_asking(flow);
    return refuse(flow, FlowEnd::undecided, Errno::access_denied, now);
  case FlowState::connecting:
    if (now < flow.deadline) return timers_.arm(flow, flow.deadline);
    return connect_failed(flow, Errno::timed_out, now);
  default: break;
  }
  if (flow.remembered) {
    if (now - flow.last >= kRemembers) return end(flow, flow.info.end, Errno::ok, now);
    return timers_.arm(flow, flow.last + kRemembers);
  }
  if (flow.info.kind == FlowKind::tcp) return activate(flow);  // it was starved
  const Nanos limit = idle_limit(flow);
  if (now - flow.last >= limit) return end(flow, FlowEnd::expired, Errno::ok, now);
  timers_.arm(flow, flow.last + limit);
}

// --- end ---

void GatewayImplementation::doom(GatewayFlow& flow, FlowEnd why) {
  flow.doomed = why;
  activate(flow);
}

void GatewayImplementation::opened(GatewayFlow& flow, Nanos now) {
  counters_.flows++;
  flow.last = now;
  tell(GatewayEvent::What::opened, flow, now);
}

void GatewayImplementation::end(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now) {
  stop_asking(flow);
  flow.info.end = why;
  flow.info.error = error;
  if (flow.remembered) {
    remembered_.erase(*flow.remembered);
  } else if (flow.info.state != FlowState::taken) {
    flow.info.state = FlowState::closed;
    tell(GatewayEvent::What::closed, flow, now);
  }
  if (flow.active) active_.erase(*flow.active);
  timers_.cancel(flow);
  const auto of_source = by_source_.find(flow.info.source.address);
  if (--of_source->second == 0) by_source_.erase(of_source);
  if (flow.info.kind != FlowKind::tcp) datagram_flows_.erase(flow.oldest);
  if (flow.info.direction == FlowDirection::outward) {
    auto& known = by_key_[static_cast<std::size_t>(flow.info.kind)];
    if (const auto own = known.find(flow.key); own != known.end() && own->second == &flow) {
      known.erase(own);
    }
    const auto port =
        flow.info.kind == FlowKind::udp ? udp_ports_.find(flow.key.remote) : udp_ports_.end();
    if (flow.far_port != 0 && port != udp_ports_.end() && --port->second.second == 0) {
      udp_ports_.erase(port);
    }
  }
  if (flow.forward != nullptr) flow.forward->peers.erase(flow.info.source);
  flows_.erase(FlowId(flow.info.id));
}

void GatewayImplementation::kill_flow(GatewayFlow& flow, Nanos now) {
  if (flow.relay) flow.relay->reset(now);
  if (flow.waiting != nullptr) flow.waiting->reset(now);
  if (flow.connecting != nullptr) flow.connecting->reset(now);
  if (flow.syn && !flow.remembered) {
    refuse_tcp(flow, FlowEnd::killed, Errno::ok, now);
  } else {
    end(flow, FlowEnd::killed, Errno::ok, now);
  }
}

bool GatewayImplementation::kill(FlowId id) {
  Pump::Hold hold(network_->pump());
  const auto found = flows_.find(id);
  if (found == flows_.end()) return false;
  kill_flow(*found->second, hold.now());
  network_->pump().touch(*this);
  return true;
}

}  // namespace vpollnet::host
