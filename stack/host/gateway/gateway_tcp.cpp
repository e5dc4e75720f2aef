// SPDX-License-Identifier: MIT
// Connections. The far side answers first: only then is the SYN from behind answered, so that a
// refusal is a refusal there too.
#include <utility>

#include "host/gateway/core_far_stack.hpp"
#include "host/gateway/core_stream.hpp"
#include "host/gateway/gateway_implementation.hpp"

namespace vpollnet::host {
void GatewayImplementation::start_tcp(GatewayFlow& flow, Nanos now) {
  auto connecting = flow.info.direction == FlowDirection::outward
                        ? far_->connect(flow.info.target, flow, now)
                        : connect_core(*network_, flow.info.target.endpoint, flow, now);
  if (!connecting) return connect_failed(flow, connecting.error(), now);
  flow.connecting = std::move(*connecting);
  flow.deadline = now + kConnectTimeout;
  timers_.arm(flow, flow.deadline);
  activate(flow);
}

void GatewayImplementation::serve_tcp(GatewayFlow& flow, Nanos now, int& budget) {
  if (flow.connecting != nullptr) {
    const Errno progress = flow.connecting->progress(now);
    if (progress == Errno::in_progress) {
      // Who asked for it may have gone meanwhile.
      if (flow.waiting == nullptr || flow.waiting->failure(now) == Errno::ok) return;
      return end(flow, FlowEnd::reset_by_source, Errno::reset, now);
    }
    if (progress != Errno::ok) return connect_failed(flow, progress, now);
    connected(flow, now);
    return;
  }
  if (!flow.relay) return;
  const std::uint64_t out_before = flow.relay->bytes_out();
  const std::uint64_t in_before = flow.relay->bytes_in();
  const bool more = flow.relay->run(now, budget);
  const std::uint64_t out = flow.relay->bytes_out() - out_before;
  const std::uint64_t in = flow.relay->bytes_in() - in_before;
  if (out + in > 0) flow.last = now;
  counters_.bytes_out += out;
  counters_.bytes_in += in;
  if (flow.relay->broken() != Relay::Broken::none) {
    return end(flow,
               flow.relay->broken() == Relay::Broken::source ? FlowEnd::reset_by_source
                                                             : FlowEnd::reset_by_target,
               flow.relay->error(), now);
  }
  if (flow.relay->finished()) return end(flow, FlowEnd::finished, Errno::ok, now);
  if (more) return activate(flow);
  if (flow.relay->starved()) timers_.arm(flow, now + kStarved);
}

void GatewayImplementation::connected(GatewayFlow& flow, Nanos now) {
  flow.deadline = kNever;
  if (flow.info.direction == FlowDirection::outward) {
    const auto accepted = network_->stack()->sockets().accept({flow.meta, *flow.syn}, now);
    if (!accepted) {
      flow.connecting->reset(now);
      counters_.drop(GatewayDrop::flow_limit);
      return end(flow, FlowEnd::limit, accepted.error(), now);
    }
    flow.syn.reset();
    flow.relay.emplace(std::make_unique<CoreStream>(*network_, **accepted, flow),
                       std::move(flow.connecting));
  } else {
    flow.relay.emplace(std::move(flow.waiting), std::move(flow.connecting));
  }
  flow.info.state = FlowState::open;
  opened(flow, now);
  activate(flow);
}

void GatewayImplementation::connect_failed(GatewayFlow& flow, Errno error, Nanos now) {
  flow.connecting.reset();
  if (is_shortage(error)) {
    // Nothing is said: the SYN comes again, perhaps at a better time.
    counters_.drop(GatewayDrop::no_descriptors);
    if (flow.waiting != nullptr) flow.waiting->reset(now);
    return end(flow, FlowEnd::limit, error, now);
  }
  const bool refused = error == Errno::refused || error == Errno::reset || error == Errno(ENOENT) ||
                       error == Errno::again;  // unix(7)
  counters_.drop(refused ? GatewayDrop::refused : GatewayDrop::unreachable);
  refuse_tcp(flow, refused ? FlowEnd::refused : FlowEnd::unreachable, error, now);
}

void GatewayImplementation::refuse_tcp(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now) {
  if (flow.waiting != nullptr) flow.waiting->reset(now);
  if (flow.syn) {
    Stack& stack = *network_->stack();
    if (why == FlowEnd::unreachable) {
      Packet header;
      wire::emit_tcp(*flow.syn, header.prepend(wire::tcp_size(*flow.syn)));
      const bool prohibited = error == Errno::access_denied || error == Errno::not_permitted;
      const Errno told = prohibited                            ? Errno::access_denied
                         : error == Errno::network_unreachable ? error
                                                               : Errno::host_unreachable;
      stack.send_unreachable(flow.meta, told, std::move(header), now);
    } else {
      stack.sockets().refuse({flow.meta, *flow.syn}, now);
    }
    network_->touch();
  }
  end(flow, why, error, now);
}

}  // namespace vpollnet::host
