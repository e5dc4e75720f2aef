// SPDX-License-Identifier: MIT
// Forwards: ports of one side that lead to the other.
#include <algorithm>
#include <utility>

#include "host/gateway/core_far_stack.hpp"
#include "host/gateway/gateway_implementation.hpp"

namespace vpollnet::host {
namespace {

/// The port beside `port`; 0, which is any, and that of a path stay.
std::uint16_t beside(std::uint16_t port, std::uint16_t index) {
  return port == 0 ? port : static_cast<std::uint16_t>(port + index);
}

Failure check(const ForwardSpec& spec) {
  const auto invalid = [](std::string why) { return Failure{Errno::invalid, "", std::move(why)}; };
  if (spec.kind == FlowKind::echo) return invalid("a forward is of TCP or UDP");
  if (spec.kind == FlowKind::udp && (!spec.listen.path.empty() || !spec.to.path.empty())) {
    return invalid("a Unix socket is forwarded as a stream");
  }
  const bool inward = spec.direction == FlowDirection::inward;
  if (inward && !spec.to.path.empty()) return invalid("there are no paths behind a gateway");
  if (!inward && !spec.listen.path.empty()) {
    return invalid("a path is listened at on the far side");
  }
  if (spec.to.path.empty() &&
      (spec.to.endpoint.address.family() == Family::none || spec.to.endpoint.port == 0)) {
    return invalid("a forward leads to an address and a port");
  }
  if (spec.count == 0) return invalid("a range has at least one port");
  const auto past_end = [&](std::uint16_t port) { return port + spec.count - 1 > 65535; };
  if (past_end(spec.listen.endpoint.port) || past_end(spec.to.endpoint.port)) {
    return invalid("the range goes past port 65535");
  }
  const bool has_port = spec.listen.endpoint.port != 0;
  if (spec.count > 1 && (!has_port || !spec.listen.path.empty() || !spec.to.path.empty())) {
    return invalid("a range has port numbers on both sides");
  }
  if (!inward && !has_port) return invalid("an outward forward has a port");
  return {};
}

/// Whether what listens at `at` answers for `address`: without an address it does for all, as
/// 0.0.0.0 or :: for those of its family.
bool covers(const IpAddress& at, const IpAddress& address) {
  if (at.family() == Family::none) return true;
  return at == address || (at.is_unspecified() && at.family() == address.family());
}

bool overlap(const ForwardSpec& a, const ForwardSpec& b) {
  const int a_first = a.listen.endpoint.port;
  const int b_first = b.listen.endpoint.port;
  const IpAddress& a_address = a.listen.endpoint.address;
  const IpAddress& b_address = b.listen.endpoint.address;
  const bool same = covers(a_address, b_address) || covers(b_address, a_address);
  return a.kind == b.kind && same && a_first < b_first + b.count && b_first < a_first + a.count;
}

}  // namespace

Failure GatewayImplementation::add_forward(const ForwardSpec& spec, ForwardId& id) {
  Failure failure = check(spec);
  if (failure) return failure;
  Pump::Hold hold(network_->pump());
  if (closed()) return {Errno::bad_descriptor, "", "the gateway is closed"};
  std::size_t ports = spec.direction == FlowDirection::inward ? spec.count : 0;
  for (const auto& [other_id, other] : forwards_) ports += other->ports.size();
  if (forwards_.size() >= kMaxForwards || ports > kMaxForwardPorts) {
    return {Errno::no_buffers, "",
            "a gateway has at most " + std::to_string(kMaxForwards) + " forwards with " +
                std::to_string(kMaxForwardPorts) + " ports"};
  }
  auto forward = std::make_unique<Forward>();
  forward->info.id = last_forward_ + 1;
  forward->info.spec = spec;
  if (spec.direction == FlowDirection::inward) {
    failure = listen(*forward);
    if (failure) return failure;
  } else {
    const IpAddress& at = spec.listen.endpoint.address;
    const std::vector<AddressInfo> own = network_->stack()->addresses();
    const bool ours = std::any_of(own.begin(), own.end(), [&](const AddressInfo& info) {
      return info.address.address == at;
    });
    if (at.family() != Family::none && !at.is_unspecified() && !ours) {
      return {Errno::address_not_available, "",
              at.to_string() + " is no address of the gateway's stack"};
    }
    for (const auto& [other_id, other] : forwards_) {
      if (other->info.spec.direction == FlowDirection::outward && overlap(other->info.spec, spec)) {
        return {Errno::address_in_use, "",
                "forward " + std::to_string(other_id) + " has port " +
                    std::to_string(other->info.spec.listen.endpoint.port)};
      }
    }
  }
  id = ++last_forward_;
  forwards_.emplace(id, std::move(forward));
  network_->pump().touch(*this);
  return {};
}

Failure GatewayImplementation::listen(Forward& forward) {
  ForwardSpec& spec = forward.info.spec;
  for (std::uint16_t index = 0; index < spec.count; index++) {
    FlowTarget at = spec.listen;
    at.endpoint.port = beside(at.endpoint.port, index);
    auto port = std::make_unique<ForwardPort>(*this, forward);
    Failure failure;
    auto listener = far_->listen(spec.kind, at, index, *port, failure);
    if (!listener) {
      // The listeners of the ports before it may be on the list already.
      close_forward(forward, network_->pump().now());
      return failure;
    }
    port->listener = std::move(*listener);
    forward.ports.push_back(std::move(port));
  }
  if (spec.count == 1 && spec.listen.path.empty()) {
    spec.listen.endpoint.port = forward.ports[0]->listener->port();
  }
  return {};
}

void GatewayImplementation::close_forward(Forward& forward, Nanos) {
  for (const auto& port : forward.ports) {
    std::erase(active_ports_, port.get());
    port_timers_.cancel(*port);
    for (const auto& [peer, flow] : port->peers) flow->forward = nullptr;
  }
  forward.ports.clear();
}

bool GatewayImplementation::remove_forward(ForwardId id) {
  Pump::Hold hold(network_->pump());
  const auto found = forwards_.find(id);
  if (found == forwards_.end()) return false;
  // Without its port a flow of datagrams has no way back: it ends. Connections go on.
  for (const auto& port : found->second->ports) {
    while (!port->peers.empty()) {
      end(*port->peers.begin()->second, FlowEnd::finished, Errno::ok, hold.now());
    }
  }
  close_forward(*found->second, hold.now());
  forwards_.erase(found);
  return true;
}

std::vector<ForwardInfo> GatewayImplementation::forwards() {
  Pump::Hold hold(network_->pump());
  std::vector<ForwardInfo> all;
  for (const auto& [id, forward] : forwards_) all.push_back(forward->info);
  return all;
}

const ForwardSpec* GatewayImplementation::outward_forward(const GatewayFlow& flow,
                                                          std::uint16_t& index) {
  if (flow.meta.foreign) return nullptr;  // they are ports of the gateway's own addresses
  const Endpoint& to = flow.info.destination;
  for (const auto& [id, forward] : forwards_) {
    const ForwardSpec& spec = forward->info.spec;
    if (spec.direction != FlowDirection::outward || spec.kind != flow.info.kind) continue;
    const Endpoint& at = spec.listen.endpoint;
    if (!covers(at.address, to.address) || to.port < at.port || to.port - at.port >= spec.count)
      continue;
    index = static_cast<std::uint16_t>(to.port - at.port);
    forward->info.flows++;
    return &spec;
  }
  return nullptr;
}

GatewayFlow* GatewayImplementation::begin_forwarded(const ForwardPort& port, FlowKind kind,
                                                    Endpoint peer, Endpoint local, Nanos now) {
  const FlowTarget& listen = port.forward.info.spec.listen;
  local.port = port.listener->port();
  if (listen.path.empty()) {
    // Not every stack tells both: then it is where the forward listens, or any address.
    const auto fill = [](IpAddress& address, const IpAddress& from) {
      if (address.family() == Family::none) address = from;
    };
    fill(local.address, listen.endpoint.address);
    fill(local.address, IpAddress::any(peer.address.is_v6() ? Family::ipv6 : Family::ipv4));
    fill(peer.address, IpAddress::any(local.address.family()));
  }
  GatewayFlow* flow = begin_flow(kind, FlowDirection::inward, peer, local, now);
  if (flow == nullptr) return nullptr;
  flow->info.path = listen.path;
  flow->info.reach =
      listen.path.empty() ? far_->reach(local.address, now) : std::uint8_t{kReachHost};
  return flow;
}

void GatewayImplementation::on_connection(std::uint16_t index, const Endpoint& peer,
                                          const Endpoint& local, const Adopt& adopt, Nanos now) {
  Forward& forward = running_->forward;
  const ForwardSpec& spec = forward.info.spec;
  GatewayFlow* flow = begin_forwarded(*running_, FlowKind::tcp, peer, local, now);
  if (flow == nullptr) return;
  flow->info.target = spec.to;
  flow->info.target.endpoint.port = beside(spec.to.endpoint.port, index);
  auto stream = adopt(*flow);
  if (!stream) {
    counters_.drop(GatewayDrop::no_descriptors);
    return end(*flow, FlowEnd::limit, stream.error(), now);
  }
  flow->waiting = std::move(*stream);
  forward.info.flows++;
  start(*flow, now);
}

void GatewayImplementation::on_forward_datagram(std::uint16_t index, const Endpoint& peer,
                                                const IpAddress& local, Packet&& datagram,
                                                Nanos now) {
  ForwardPort& port = *running_;
  const auto found = port.peers.find(peer);
  GatewayFlow* flow = found != port.peers.end() ? found->second : nullptr;
  if (flow == nullptr) {
    const ForwardSpec& spec = port.forward.info.spec;
    flow = begin_forwarded(port, FlowKind::udp, peer, {local, 0, kAnyInterface}, now);
    if (flow == nullptr) return;
    flow->info.target = spec.to;
    flow->info.target.endpoint.port = beside(spec.to.endpoint.port, index);
    std::uint16_t any_port = 0;
    auto end_behind = CoreDatagrams::open(*network_, socket::Type::udp, flow->info.target.endpoint,
                                          any_port, *flow, now);
    if (!end_behind) {
      counters_.drop(GatewayDrop::unreachable);
      return end(*flow, FlowEnd::unreachable, end_behind.error(), now);
    }
    flow->end = std::move(*end_behind);
    flow->forward = &port;
    port.peers.emplace(peer, flow);
    port.forward.info.flows++;
    flow->info.state = FlowState::open;
    opened(*flow, now);
    timers_.arm(*flow, now + idle_limit(*flow));
  }
  flow->forward_address = local;
  take_in(*flow, std::move(datagram), now);
}

}  // namespace vpollnet::host
