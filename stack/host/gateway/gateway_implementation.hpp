// SPDX-License-Identifier: MIT
// The Gateway behind the interface: a member of the pump beside its network.
//
//   gateway.cpp         opening and closing, the run loop, what is listed and told
//   gateway_flows.cpp   flows begin, are decided, time out and end
//   gateway_tcp.cpp     connections
//   gateway_datagrams.cpp  UDP and echo
//   gateway_forwards.cpp   forwards
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "host/gateway/far_stack.hpp"
#include "host/gateway/gateway.hpp"
#include "host/gateway/gateway_flow.hpp"
#include "host/network_implementation.hpp"
#include "socket/interceptor.hpp"

namespace vpollnet::host {

/// What passes with time: descriptors, watches of epoll(7), memory, ports of our own.
inline bool is_shortage(Errno error) {
  return error == Errno::too_many_open || error == Errno(ENFILE) || error == Errno(ENOSPC) ||
         error == Errno::no_buffers || error == Errno::no_memory ||
         error == Errno::address_not_available;
}

/// A forward, and its ports.
struct Forward;

/// One port of a forward that listens on the far side.
struct ForwardPort final : EndOwner {
  ForwardPort(GatewayImplementation& its_gateway, Forward& its_forward)
      : gateway(its_gateway), forward(its_forward) {}
  void on_end_ready() override;

  GatewayImplementation& gateway;
  Forward& forward;
  std::unique_ptr<ForwardListener> listener;
  std::map<Endpoint, GatewayFlow*> peers;  ///< udp: the flow of each sender
  bool active = false;
  TimerEntry timer;  ///< for its listener's deadline
};

struct Forward {
  ForwardInfo info;
  std::vector<std::unique_ptr<ForwardPort>> ports;  ///< inward
};

class GatewayImplementation final : public Gateway,
                                    private PumpMember,
                                    private socket::Interceptor,
                                    private NetworkUser,
                                    private ForwardTaker {
 public:
  GatewayImplementation(std::shared_ptr<NetworkImplementation> network,
                        std::shared_ptr<NetworkImplementation> far_network,
                        const GatewayConfig& config);
  ~GatewayImplementation() override;

  /// With the pump's lock held, once.
  Failure begin(std::unique_ptr<FarStack> far);

  Errno set_rules(std::vector<GatewayRule> rules, Verdict otherwise) override;
  std::vector<GatewayEvent> take_events() override;
  void set_waker(std::shared_ptr<Wakeable> waker) override;
  void tell_flows(bool on) override;
  Errno decide(FlowId id, const Decision& decision) override;
  void decide_all(std::span<const std::pair<FlowId, Decision>> decisions) override;
  Result<std::shared_ptr<SocketHandle>> take(FlowId id) override;
  bool kill(FlowId id) override;
  std::vector<FlowInfo> flows() override;
  std::vector<FlowInfo> flows_after(FlowId after, std::size_t limit) override;
  GatewayCounters counters() override;
  Failure add_forward(const ForwardSpec& spec, ForwardId& id) override;
  bool remove_forward(ForwardId id) override;
  std::vector<ForwardInfo> forwards() override;
  void close() override;

  // For flows and forwards, with the pump's lock held.
  void activate(GatewayFlow& flow);
  void activate(ForwardPort& port);

 private:
  /// What waits for a decision of one flow of datagrams.
  static constexpr std::size_t kQueueDatagrams = 16;
  static constexpr std::size_t kQueueBytes = 64 * 1024;
  /// What a flow of datagrams moves at one turn.
  static constexpr int kDatagramsPerTurn = 32;
  /// As long as Linux tries a SYN, tcp(7) tcp_syn_retries, and a little.
  static constexpr Nanos kConnectTimeout = 135 * kSecond;
  /// A datagram flow that idled for this long gives way to a new one when the table is full.
  static constexpr Nanos kGivesWay = 30 * kSecond;
  /// A stream that finds no memory for its bytes tries again after this.
  static constexpr Nanos kStarved = 10 * kMillisecond;
  /// Who was decided against is not asked about again as long as it tries at least this often.
  static constexpr Nanos kRemembers = 30 * kSecond;
  static constexpr std::size_t kRemembered = 1024;
  /// Decisions carried out in one hold of the lock.
  static constexpr std::size_t kDecisionsPerHold = 32;
  static constexpr std::size_t kMaxForwards = 1024;
  static constexpr std::size_t kMaxForwardPorts = 16'384;

  // --- PumpMember, Interceptor, NetworkUser (gateway.cpp, gateway_flows.cpp) ---
  bool run(Nanos now, int& budget) override;
  Nanos next_deadline() const override { return std::min(timers_.next(), port_timers_.next()); }
  void on_syn(const socket::InterceptedSyn& syn, Nanos now) override;
  void on_datagram(const socket::IpMeta& meta, socket::Ports ports, Packet&& payload,
                   Nanos now) override;
  void on_echo(const socket::IpMeta& meta, std::uint16_t identifier, std::uint16_t sequence,
               Packet&& payload, Nanos now) override;
  void on_intercepted_error(const socket::IcmpError& error, Nanos now) override;
  void on_network_close(Nanos now) override;

  // --- flows (gateway_flows.cpp) ---
  GatewayFlow* begin_flow(FlowKind kind, FlowDirection direction, const Endpoint& source,
                          const Endpoint& destination, Nanos now);
  /// A flow that came to a forward; of `local` and `peer`, what the far stack knows.
  GatewayFlow* begin_forwarded(const ForwardPort& port, FlowKind kind, Endpoint peer,
                               Endpoint local, Nanos now);
  bool make_room(FlowKind kind, const IpAddress& source, Nanos now);
  void serve(GatewayFlow& flow, Nanos now, int& budget);
  void judge(GatewayFlow& flow, Nanos now);
  Decision match_rules(const GatewayFlow& flow) const;
  Errno decide_locked(FlowId id, const Decision& decision, Nanos now);
  void carry_out(GatewayFlow& flow, const Decision& decision, Nanos now);
  /// A decision against a flow holds for its further packets too.
  void remember(GatewayFlow& flow, FlowEnd why, Nanos now);
  void start(GatewayFlow& flow, Nanos now);
  void refuse(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now);
  void on_deadline(GatewayFlow& flow, Nanos now);
  void opened(GatewayFlow& flow, Nanos now);
  /// Ends the flow at its next turn: in the middle of stack processing no socket may be closed.
  void doom(GatewayFlow& flow, FlowEnd why);
  /// The flow is gone on return.
  void end(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now);
  /// With a reset to both sides; gone as well.
  void kill_flow(GatewayFlow& flow, Nanos now);
  void stop_asking(GatewayFlow& flow);
  /// False if nobody wants to know, or there is no room.
  bool tell(GatewayEvent::What what, const GatewayFlow& flow, Nanos now);
  FlowInfo describe(const GatewayFlow& flow, Nanos now) const;
  bool is_behind(const IpAddress& address) const;

  // --- tcp (gateway_tcp.cpp) ---
  void start_tcp(GatewayFlow& flow, Nanos now);
  void serve_tcp(GatewayFlow& flow, Nanos now, int& budget);
  void connected(GatewayFlow& flow, Nanos now);
  void connect_failed(GatewayFlow& flow, Errno error, Nanos now);
  void refuse_tcp(GatewayFlow& flow, FlowEnd why, Errno error, Nanos now);

  // --- udp, echo (gateway_datagrams.cpp) ---
  void take_in(GatewayFlow& flow, Packet&& datagram, Nanos now);
  void start_datagrams(GatewayFlow& flow, Nanos now);
  void serve_datagrams(GatewayFlow& flow, Nanos now, int& budget);
  void send_on(GatewayFlow& flow, Packet&& datagram, Nanos now);
  /// False if the flow is gone.
  bool on_datagram_error(GatewayFlow& flow, Errno error, Nanos now);
  void answer(GatewayFlow& flow, Packet&& datagram, Nanos now);
  void report_unreachable(GatewayFlow& flow, Errno why, Nanos now);
  Nanos idle_limit(const GatewayFlow& flow) const;
  void moved(GatewayFlow& flow, Nanos now);

  // --- forwards (gateway_forwards.cpp) ---
  Failure listen(Forward& forward);
  const ForwardSpec* outward_forward(const GatewayFlow& flow, std::uint16_t& index);
  void on_connection(std::uint16_t index, const Endpoint& peer, const Endpoint& local,
                     const Adopt& adopt, Nanos now) override;
  void on_shortage() override { counters_.drop(GatewayDrop::no_descriptors); }
  void on_forward_datagram(std::uint16_t index, const Endpoint& peer, const IpAddress& local,
                           Packet&& datagram, Nanos now) override;
  void close_forward(Forward& forward, Nanos now);

  bool closed() const { return far_ == nullptr; }
  void close_locked(Nanos now);

  const std::shared_ptr<NetworkImplementation> network_;
  const std::shared_ptr<NetworkImplementation> far_network_;  ///< null: BSD's calls
  // Guarded by the pump's lock.
  GatewayConfig config_;
  std::unique_ptr<FarStack> far_;  ///< null before begin() and once closed
  std::map<FlowId, std::unique_ptr<GatewayFlow>> flows_;
  std::array<std::unordered_map<socket::FlowKey, GatewayFlow*, socket::FlowKeyHash>, 3> by_key_;
  std::map<IpAddress, std::size_t> by_source_;
  std::list<GatewayFlow*> datagram_flows_;                               ///< the longest idle first
  std::map<Endpoint, std::pair<std::uint16_t, std::size_t>> udp_ports_;  ///< of outward sources
  std::list<GatewayFlow*> remembered_;                                   ///< the oldest first
  std::list<GatewayFlow*> active_;
  std::list<ForwardPort*> active_ports_;
  TimerQueue<GatewayFlow, &GatewayFlow::timer> timers_;
  TimerQueue<ForwardPort, &ForwardPort::timer> port_timers_;
  std::map<ForwardId, std::unique_ptr<Forward>> forwards_;
  ForwardPort* running_ = nullptr;  ///< whose listener is being run
  std::vector<GatewayEvent> events_;
  std::shared_ptr<Wakeable> waker_;
  GatewayCounters counters_;
  FlowId last_id_ = 0;
  ForwardId last_forward_ = 0;
};

}  // namespace vpollnet::host
