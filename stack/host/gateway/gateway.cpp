// SPDX-License-Identifier: MIT
#include "host/gateway/gateway.hpp"

#include <algorithm>
#include <utility>

#include "host/gateway/bsd_far_stack.hpp"
#include "host/gateway/core_far_stack.hpp"
#include "host/gateway/gateway_implementation.hpp"
#include "host/random.hpp"

namespace vpollnet::host {
namespace {

std::shared_ptr<NetworkImplementation> implementation(const std::shared_ptr<Network>& network) {
  return std::static_pointer_cast<NetworkImplementation>(network);
}

}  // namespace

std::shared_ptr<Gateway> Gateway::open(const std::shared_ptr<Network>& network,
                                       std::shared_ptr<BsdStack> to, const GatewayConfig& config,
                                       Failure& failure) {
  auto made = std::make_shared<GatewayImplementation>(implementation(network), nullptr, config);
  Pump& pump = implementation(network)->pump();
  if (to->calls() == nullptr) {
    failure = {Errno::bad_descriptor, "", "the stack that it leads to is closed"};
    return nullptr;
  }
  Pump::Hold hold(pump);
  failure = made->begin(std::make_unique<BsdFarStack>(to, pump));
  return failure ? nullptr : made;
}

std::shared_ptr<Gateway> Gateway::open(const std::shared_ptr<Network>& network,
                                       const std::shared_ptr<Network>& to,
                                       const GatewayConfig& config, Failure& failure) {
  const auto near_network = implementation(network);
  const auto far_network = implementation(to);
  if (near_network == far_network) {
    failure = {Errno::invalid, "", "a stack cannot be the far side of its own gateway"};
    return nullptr;
  }
  if (&near_network->pump() != &far_network->pump()) {
    failure = {Errno(EXDEV), "", "both stacks have to be of one pump"};
    return nullptr;
  }
  auto made = std::make_shared<GatewayImplementation>(near_network, far_network, config);
  Pump::Hold hold(near_network->pump());
  if (far_network->stack() == nullptr) {
    failure = {Errno::bad_descriptor, "", "the stack that it leads to is closed"};
    return nullptr;
  }
  failure = made->begin(std::make_unique<CoreFarStack>(*far_network));
  return failure ? nullptr : made;
}

GatewayImplementation::GatewayImplementation(std::shared_ptr<NetworkImplementation> network,
                                             std::shared_ptr<NetworkImplementation> far_network,
                                             const GatewayConfig& config)
    : network_(std::move(network)), far_network_(std::move(far_network)), config_(config) {
  using Map = std::unordered_map<socket::FlowKey, GatewayFlow*, socket::FlowKeyHash>;
  for (Map& map : by_key_) map = Map(16, socket::FlowKeyHash{random_secret()});
}

GatewayImplementation::~GatewayImplementation() { close(); }

Failure GatewayImplementation::begin(std::unique_ptr<FarStack> far) {
  Stack* stack = network_->stack();
  if (stack == nullptr) return {Errno::bad_descriptor, "", "the stack is closed"};
  const std::vector<InterfaceInfo> present = stack->interfaces();
  std::vector<InterfaceId>& interfaces = config_.interfaces;
  if (interfaces.empty()) {
    for (const InterfaceInfo& info : present) {
      if (info.config.name != "lo") interfaces.push_back(info.id);
    }
  }
  for (const InterfaceId id : interfaces) {
    if (stack->is_intercepted(id)) {
      return {Errno::exists, "", "interface " + std::to_string(id) + " has a gateway already"};
    }
  }
  for (const InterfaceId id : interfaces) {
    const Errno error = stack->intercept(id, this);
    if (error == Errno::ok) continue;
    stack->stop_intercepting(*this, network_->pump().now());
    return {error, "", "interface " + std::to_string(id)};
  }
  far_ = std::move(far);
  network_->add_user(*this);
  if (far_network_ != nullptr) far_network_->add_user(*this);
  return {};
}

// --- run by the pump ---

void GatewayImplementation::activate(GatewayFlow& flow) {
  if (!flow.active) flow.active = active_.insert(active_.end(), &flow);
  network_->pump().touch(*this);
}

void GatewayImplementation::activate(ForwardPort& port) {
  if (!port.active) active_ports_.push_back(&port);
  port.active = true;
  network_->pump().touch(*this);
}

void GatewayFlow::on_end_ready() { gateway.activate(*this); }
void ForwardPort::on_end_ready() { gateway.activate(*this); }

bool GatewayImplementation::run(Nanos now, int& budget) {
  if (closed()) return true;
  while (GatewayFlow* flow = timers_.pop_due(now)) on_deadline(*flow, now);
  while (ForwardPort* port = port_timers_.pop_due(now)) activate(*port);
  for (std::size_t turns = active_ports_.size(); turns > 0 && budget > 0; turns--) {
    ForwardPort& port = *active_ports_.front();
    active_ports_.pop_front();
    port.active = false;
    running_ = &port;
    if (port.listener->run(*this, now, budget)) activate(port);
    port_timers_.arm(port, port.listener->next_deadline());
    running_ = nullptr;
  }
  while (!active_.empty() && budget > 0) {
    GatewayFlow& flow = *active_.front();
    active_.pop_front();
    flow.active.reset();
    budget--;
    serve(flow, now, budget);
  }
  return active_.empty() && active_ports_.empty();
}

// --- closing ---

void GatewayImplementation::close() {
  Pump::Hold hold(network_->pump());
  if (closed()) return;
  network_->remove_user(*this);
  if (far_network_ != nullptr) far_network_->remove_user(*this);
  close_locked(hold.now());
}

void GatewayImplementation::on_network_close(Nanos now) {
  // One of the two is about to go, and has forgotten this already; the other has not.
  network_->remove_user(*this);
  if (far_network_ != nullptr) far_network_->remove_user(*this);
  close_locked(now);
}

void GatewayImplementation::close_locked(Nanos now) {
  while (!flows_.empty()) {
    kill_flow(*flows_.begin()->second, now);
  }
  // After the flows, whose resets go out in the name of others. So do those of sockets that were
  // taken.
  network_->stack()->stop_intercepting(*this, now);
  network_->touch();
  for (const auto& [id, forward] : forwards_) close_forward(*forward, now);
  forwards_.clear();
  active_ports_.clear();
  far_ = nullptr;
  network_->pump().remove(*this);
  if (waker_ != nullptr) network_->pump().wake_after_hold(std::exchange(waker_, nullptr));
}

// --- what others ask and are told ---

Errno GatewayImplementation::set_rules(std::vector<GatewayRule> rules, Verdict otherwise) {
  Pump::Hold hold(network_->pump());
  if (closed()) return Errno::bad_descriptor;
  config_.rules = std::move(rules);
  config_.otherwise = otherwise;
  // Flows that were decided against have ended: what their senders still send is judged by these.
  while (!remembered_.empty()) {
    GatewayFlow& flow = *remembered_.front();
    end(flow, flow.info.end, flow.info.error, hold.now());
  }
  return Errno::ok;
}

std::vector<GatewayEvent> GatewayImplementation::take_events() {
  Pump::Hold hold(network_->pump());
  return std::exchange(events_, {});
}

void GatewayImplementation::set_waker(std::shared_ptr<Wakeable> waker) {
  std::shared_ptr<Wakeable> former;  // outlives the hold: it may be somebody's last
  Pump::Hold hold(network_->pump());
  former = std::exchange(waker_, std::move(waker));
  if (waker_ != nullptr && !events_.empty()) network_->pump().wake_after_hold(waker_);
}

void GatewayImplementation::tell_flows(bool on) {
  Pump::Hold hold(network_->pump());
  config_.tell_flows = on;
}

bool GatewayImplementation::tell(GatewayEvent::What what, const GatewayFlow& flow, Nanos now) {
  // Whoever was asked hears always that it is too late: there are no more of these than of the
  // questions that are here or being worked on.
  const bool answers = what == GatewayEvent::What::closed && flow.told;
  const bool asks = what == GatewayEvent::What::asked;
  if (!asks && !answers && !config_.tell_flows) return false;
  // Questions have room of their own, so that reports do not crowd them out.
  if (events_.size() >= (asks ? 2 * kEvents : kEvents) && !answers) {
    counters_.drop(GatewayDrop::events_lost);
    return false;
  }
  events_.push_back({what, describe(flow, now)});
  if (events_.size() == 1 && waker_ != nullptr) network_->pump().wake_after_hold(waker_);
  return true;
}

FlowInfo GatewayImplementation::describe(const GatewayFlow& flow, Nanos now) const {
  FlowInfo info = flow.info;
  if (flow.relay) {
    info.bytes_out = flow.relay->bytes_out();
    info.bytes_in = flow.relay->bytes_in();
    if (info.state == FlowState::open && flow.relay->half_closed()) {
      info.state = FlowState::closing;
    }
  }
  info.age = now - flow.began;
  info.idle = now - flow.last;
  return info;
}

std::vector<FlowInfo> GatewayImplementation::flows() {
  std::vector<FlowInfo> all;
  constexpr std::size_t kPart = 256;
  for (;;) {
    const std::vector<FlowInfo> part = flows_after(all.empty() ? 0 : all.back().id, kPart);
    all.insert(all.end(), part.begin(), part.end());
    if (part.size() < kPart) return all;
  }
}

std::vector<FlowInfo> GatewayImplementation::flows_after(FlowId after, std::size_t limit) {
  Pump::Hold hold(network_->pump());
  std::vector<FlowInfo> part;
  for (auto at = flows_.upper_bound(after); at != flows_.end() && part.size() < limit; ++at) {
    if (at->second->remembered) continue;
    part.push_back(describe(*at->second, hold.now()));
  }
  return part;
}

GatewayCounters GatewayImplementation::counters() {
  Pump::Hold hold(network_->pump());
  GatewayCounters counters = counters_;
  counters.open_flows = flows_.size() - remembered_.size();
  return counters;
}

}  // namespace vpollnet::host
