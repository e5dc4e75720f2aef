// SPDX-License-Identifier: MIT
// A gateway: a network that answers for any address behind it, and carries TCP, UDP and ICMP echo
// to another stack. Start reading host/gateway/ here.
//
// The bytes move in the pump, between the network's sockets and the far stack's (relay.hpp,
// datagram_flow.hpp). A flow that no rule decides waits, its SYN unanswered, until somebody does.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "host/failure.hpp"
#include "host/gateway/gateway_types.hpp"
#include "host/network.hpp"
#include "host/pump.hpp"
#include "host/sockets/bsd_stack.hpp"

namespace vpollnet::host {

/// Every call takes the pump's lock; any thread may call. After close(), and after that of one of
/// its two stacks, calls do nothing and say EBADF.
class Gateway {
 public:
  /// To the host's kernel or a plug-in. EBADF, ENODEV; EEXIST where an interface has a gateway.
  static std::shared_ptr<Gateway> open(const std::shared_ptr<Network>& network,
                                       std::shared_ptr<BsdStack> to, const GatewayConfig& config,
                                       Failure& failure);
  /// To another network, which must be of the same pump (EXDEV).
  static std::shared_ptr<Gateway> open(const std::shared_ptr<Network>& network,
                                       const std::shared_ptr<Network>& to,
                                       const GatewayConfig& config, Failure& failure);
  virtual ~Gateway() = default;

  /// For flows that begin from now on. Those that are open stay.
  virtual Errno set_rules(std::vector<GatewayRule> rules, Verdict otherwise) = 0;

  /// What happened since the last call, in order; the oldest kEvents, and beyond them what is asked
  /// and taken back. `waker` is woken when there is something again.
  virtual std::vector<GatewayEvent> take_events() = 0;
  static constexpr std::size_t kEvents = 4096;
  virtual void set_waker(std::shared_ptr<Wakeable> waker) = 0;
  virtual void tell_flows(bool on) = 0;

  /// Decides a flow that is `asking`. ENOENT when it is not, or gone.
  virtual Errno decide(FlowId id, const Decision& decision) = 0;
  /// Many at once, in a few holds of the lock. What is gone is passed over.
  virtual void decide_all(std::span<const std::pair<FlowId, Decision>> decisions) = 0;
  /// Answers a flow that is `asking` with a socket of the network: local() is the destination,
  /// peer() the source. For tcp it connects as one that is accepted; for udp the datagrams that
  /// wait are in it. ENOENT; EOPNOTSUPP for echo; errors of SocketTable::accept.
  virtual Result<std::shared_ptr<SocketHandle>> take(FlowId id) = 0;

  /// Ends a flow, with a reset to both sides. False if there is none.
  virtual bool kill(FlowId id) = 0;
  virtual std::vector<FlowInfo> flows() = 0;
  /// The next flows by number, after `after`, up to `limit`: a table of any size in short holds.
  virtual std::vector<FlowInfo> flows_after(FlowId after, std::size_t limit) = 0;
  virtual GatewayCounters counters() = 0;

  /// EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL, ... with the port or path in `detail`. Nothing is
  /// left of a range of which one port cannot be had.
  virtual Failure add_forward(const ForwardSpec& spec, ForwardId& id) = 0;
  /// Its flows go on. False if there is none.
  virtual bool remove_forward(ForwardId id) = 0;
  virtual std::vector<ForwardInfo> forwards() = 0;

  /// Ends all flows with a reset, and all forwards. Idempotent.
  virtual void close() = 0;
};

}  // namespace vpollnet::host
