// SPDX-License-Identifier: MIT
// The TCP half of the socket table: which segment belongs to which connection or listener.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "socket/syn_cookie.hpp"
#include "socket/table.hpp"
#include "socket/tcp_flow.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::socket {

class TcpSocket;

class TcpSockets {
 public:
  /// Sockets and connections of one stack, in all states.
  static constexpr std::size_t kMaxSockets = 65'536;
  static constexpr std::size_t kMaxFlows = 131'072;
  /// Connections that nobody owns any more, TIME-WAIT above all; the oldest gives way (security
  /// case T24).
  static constexpr std::size_t kMaxOrphans = 16'384;

  /// `congestion` is what sockets have from the start.
  TcpSockets(IpService& ip, tcp::Algorithm congestion);
  ~TcpSockets();

  Result<Socket*> open();
  Result<Socket*> accept(const InterceptedSyn& syn, Nanos now);
  void send_reset(const IpMeta& meta, const tcp::Segment& segment, Nanos now);
  void on_segment(const IpMeta& meta, Packet&& segment, Nanos now);
  bool is_plausible(const IcmpError& error) const;
  void on_icmp_error(const IcmpError& error, Nanos now);
  void on_address_removed(const IpAddress& address, Nanos now);
  bool uses_port(std::uint16_t port) const {
    return bound_.contains(port) || flow_ports_.contains(port);
  }
  bool has_connection(const Endpoint& local, const Endpoint& remote) const {
    return flows_.contains({local, remote});
  }
  void on_interception_end(InterfaceId over, Nanos now);
  void advance(Nanos now);
  Nanos next_deadline() const { return timers_.next(); }
  /// Sockets without a connection, and connections. Both list from `place` on, which they move, and
  /// return false at the end.
  bool list_sockets(std::size_t& place, std::size_t size, std::vector<SocketInfo>& out) const;
  bool list_flows(std::size_t& place, std::size_t size, std::vector<SocketInfo>& out) const;
  std::size_t size() const { return sockets_.size(); }

  // For TcpSocket.
  IpService& ip() { return ip_; }
  tcp::Resources resources() { return {ip_.pool(), ip_.budget(), ip_.counters()}; }
  Errno bind(TcpSocket& socket, const Endpoint& local);
  void unbind(TcpSocket& socket);
  /// A connection from `socket` to `remote`, its SYN sent.
  Result<std::shared_ptr<Flow>> connect(TcpSocket& socket, const Endpoint& remote, Nanos now);
  /// A socket for a connection that its listener hands out.
  Result<TcpSocket*> adopt(const std::shared_ptr<Flow>& flow, const TcpSocket& listener);
  /// False if another listener has the port on an overlapping address.
  bool may_listen(const TcpSocket& socket) const;
  /// Ends everything that nobody accepted.
  void close_listener(TcpSocket& listener, Nanos now);
  /// Sends what the connection has to send, and follows its state: readiness, timer, table.
  void service(Flow& flow, Nanos now);
  /// The owner or listener let go of the flow: it ends on its own.
  void release(Flow& flow, Nanos now);
  void abort(Flow& flow, Nanos now);
  void destroy(TcpSocket& socket);

 private:
  std::shared_ptr<Flow> find(const FlowKey& key) const;
  std::shared_ptr<Flow> find_quoted(const IcmpError& error) const;
  TcpSocket* find_listener(const FlowKey& key, InterfaceId interface) const;
  static FlowKey key_of(const Endpoint& local, const Endpoint& remote, InterfaceId interface);
  enum class Outcome : std::uint8_t { done, reset, try_listener };
  Outcome on_flow_segment(Flow& flow, const IpMeta& meta, tcp::Segment& segment, Nanos now);
  Outcome on_listener_segment(TcpSocket& listener, const FlowKey& key, const IpMeta& meta,
                              tcp::Segment& segment, Nanos now);
  void on_syn(TcpSocket& listener, const FlowKey& key, const IpMeta& meta,
              const wire::TcpHeader& syn, Nanos now);
  bool on_cookie(TcpSocket& listener, const FlowKey& key, const IpMeta& meta, tcp::Segment& segment,
                 Nanos now);
  std::shared_ptr<Flow> make_flow(const FlowKey& key, const TcpSocket& socket, const Path& path);
  tcp::Connection::Start start_of(const FlowKey& key, const Path& path, Nanos now) const;
  std::uint32_t initial_sequence(const FlowKey& key, Nanos now) const;
  void insert(const std::shared_ptr<Flow>& flow);
  void remove(Flow& flow);
  void limit_orphans(Nanos now);
  void leave_listener(Flow& flow);
  void transmit(const Flow& flow, tcp::Outgoing&& out, Nanos now);
  static void put_header(const wire::TcpHeader& header, const IpAddress& source,
                         const IpAddress& destination, Packet& packet);
  void send_cookie(const FlowKey& key, const TcpSocket& listener, const Path& path,
                   const wire::TcpHeader& syn, Nanos now);
  bool refresh_path(Flow& flow);

  IpService& ip_;
  tcp::Settings defaults_;  ///< what a new socket has
  SecretKey sequence_secret_;
  SecretKey timestamp_secret_;
  SynCookies cookies_;
  FlowMap flows_;
  std::unordered_map<std::uint16_t, std::uint32_t> flow_ports_;  ///< connections by local port
  std::unordered_map<std::uint16_t, std::vector<TcpSocket*>> bound_;
  std::unordered_map<TcpSocket*, std::unique_ptr<TcpSocket>> sockets_;
  std::list<Flow*> orphans_;  ///< the oldest first
  TimerQueue<Flow, &Flow::timer> timers_;
  Nanos cookie_sent_at_ =
      kNever;  ///< kNever: none yet; cookies are believed only for a while after one was sent
};

}  // namespace vpollnet::socket
