// SPDX-License-Identifier: MIT
// A TCP segment on its way to its connection or listener (RFC 9293 3.10.7).
#include <algorithm>

#include "socket/tcp_socket.hpp"
#include "socket/tcp_sockets.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::socket {
namespace {

/// A cookie comes back within the two periods that it is good for, or never.
constexpr Nanos kCookieLife = 128 * kSecond;

bool asks_for_connection(const wire::TcpHeader& header) {
  return header.has(wire::kSyn) && !header.has(wire::kAck) && !header.has(wire::kRst) &&
         !header.has(wire::kFin);
}

}  // namespace

void TcpSockets::on_segment(const IpMeta& meta, Packet&& packet, Nanos now) {
  Counters& counters = ip_.counters();
  counters.tcp_segments_in++;
  const std::optional<std::size_t> claimed = wire::tcp_header_length(
      packet.contiguous(std::min(packet.size(), wire::kTcpHeaderMin), ip_.pool()));
  const std::optional<wire::ParsedTcp> parsed =
      claimed ? wire::parse_tcp(packet.contiguous(*claimed, ip_.pool())) : std::nullopt;
  if (!parsed || parsed->header.source_port == 0 || parsed->header.destination_port == 0) {
    counters.drop(Drop::tcp_malformed);
    return;
  }
  if (packet.checksum == ChecksumState::unverified &&
      !wire::transport_checksum_ok(packet, meta.source, meta.destination, kTcp)) {
    counters.drop(Drop::tcp_bad_checksum);  // RFC 9293 MUST-3
    return;
  }
  const Endpoint local{meta.destination, parsed->header.destination_port, kAnyInterface};
  const Endpoint remote{meta.source, parsed->header.source_port, kAnyInterface};
  // RFC 9293 MUST-57: nothing from or to a group. Security case T07: nothing from itself.
  if (meta.to_group || meta.source.is_multicast() || meta.source.is_unspecified() ||
      ip_.is_broadcast(meta.source) || local == remote) {
    counters.drop(Drop::tcp_bad_address);
    return;
  }
  const FlowKey key = key_of(local, remote, meta.interface);

  tcp::Segment segment;
  segment.header = parsed->header;
  segment.gso_size = packet.gso_size;
  packet.trim_front(parsed->length);
  segment.length = static_cast<std::uint32_t>(packet.size());
  segment.payload = packet.take_body(ip_.pool());

  Outcome outcome = Outcome::try_listener;
  if (const std::shared_ptr<Flow> flow = find(key))
    outcome = on_flow_segment(*flow, meta, segment, now);
  if (outcome == Outcome::try_listener) {
    TcpSocket* listener = meta.foreign ? nullptr : find_listener(key, meta.interface);
    if (listener == nullptr && meta.interceptor != nullptr && asks_for_connection(segment.header)) {
      meta.interceptor->on_syn({meta, segment.header}, now);
      return;
    }
    outcome = listener != nullptr ? on_listener_segment(*listener, key, meta, segment, now)
                                  : Outcome::reset;
  }
  if (outcome == Outcome::reset) {
    counters.drop(Drop::tcp_no_connection);
    send_reset(meta, segment, now);
  }
}

TcpSockets::Outcome TcpSockets::on_flow_segment(Flow& flow, const IpMeta& meta,
                                                tcp::Segment& segment, Nanos now) {
  tcp::Connection& connection = flow.connection;
  const wire::TcpHeader& header = segment.header;
  const bool opens = header.has(wire::kSyn) && !header.has(wire::kAck) && !header.has(wire::kRst);
  if (connection.state() == tcp::State::time_wait && opens) {
    // RFC 6191 2: a new incarnation, if it can't be an old duplicate; and if someone listens.
    const std::optional<std::uint32_t> recent = connection.recent_timestamp();
    const std::int32_t ticks = recent && header.timestamps
                                   ? static_cast<std::int32_t>(header.timestamps->value - *recent)
                                   : 0;
    // Within one tick of the peer's clock, and without timestamps, the sequence number decides.
    const bool newer =
        ticks > 0 ||
        (ticks == 0 && static_cast<std::int32_t>(header.sequence - connection.receive_next()) > 0);
    const bool taken =
        meta.interceptor != nullptr || find_listener(flow.key, meta.interface) != nullptr;
    if (newer && taken) {
      const std::shared_ptr<Flow> held = flow.shared_from_this();
      connection.fail(Errno::ok);
      service(flow, now);
      return Outcome::try_listener;
    }
  }
  if (flow.half_open && header.has(wire::kAck) && !header.has(wire::kRst) &&
      flow.listener->accept_queue_full()) {
    ip_.counters().drop(Drop::tcp_accept_queue_full);  // our SYN-ACK goes again, and so does this
    return Outcome::done;
  }
  const tcp::Answer answer = connection.on_segment(std::move(segment), now);
  service(flow, now);
  return answer == tcp::Answer::reset ? Outcome::reset : Outcome::done;
}

TcpSocket* TcpSockets::find_listener(const FlowKey& key, InterfaceId interface) const {
  const auto users = bound_.find(key.local.port);
  if (users == bound_.end()) return nullptr;
  TcpSocket* wildcard = nullptr;
  for (TcpSocket* socket : users->second) {
    if (!socket->listener_) continue;
    if (socket->interface_ != kAnyInterface && socket->interface_ != interface) continue;
    const IpAddress& address = socket->bound_.address;
    if (address == key.local.address) {
      if (socket->bound_.scope == kAnyInterface || !address.is_link_local() ||
          socket->bound_.scope == interface) {
        return socket;
      }
      continue;
    }
    const bool takes =
        address.family() == Family::none ||
        (address.is_unspecified() && (address.family() == key.local.address.family() ||
                                      (address.is_v6() && !socket->ipv6_only_)));
    if (takes) wildcard = socket;
  }
  return wildcard;
}

TcpSockets::Outcome TcpSockets::on_listener_segment(TcpSocket& listener, const FlowKey& key,
                                                    const IpMeta& meta, tcp::Segment& segment,
                                                    Nanos now) {
  // RFC 9293 3.10.7.2: RST is ignored, an ACK is answered with RST, a SYN begins a connection.
  const wire::TcpHeader& header = segment.header;
  if (header.has(wire::kRst)) {
    ip_.counters().drop(Drop::tcp_no_connection);
    return Outcome::done;
  }
  if (header.has(wire::kAck)) {
    return on_cookie(listener, key, meta, segment, now) ? Outcome::done : Outcome::reset;
  }
  if (header.has(wire::kSyn) && !header.has(wire::kFin)) {
    on_syn(listener, key, meta, header, now);
  } else {
    ip_.counters().drop(Drop::tcp_unacceptable);  // security case T06
  }
  return Outcome::done;
}

void TcpSockets::on_syn(TcpSocket& listener, const FlowKey& key, const IpMeta& meta,
                        const wire::TcpHeader& syn, Nanos now) {
  if (listener.accept_queue_full()) {
    ip_.counters().drop(Drop::tcp_accept_queue_full);
    return;
  }
  const InterfaceId interface =
      key.remote.scope != kAnyInterface ? meta.interface : listener.interface_;
  const Result<Path> path = ip_.find_path(key.remote.address, key.local.address, interface);
  if (!path) {
    ip_.counters().drop(Drop::ip_no_route);
    return;
  }
  if (listener.listener_->half_open >= TcpSocket::kMaxHalfOpen || flows_.size() >= kMaxFlows ||
      ip_.budget().pressed()) {
    ip_.counters().drop(Drop::tcp_syn_queue_full);
    send_cookie(key, listener, *path, syn, now);
    return;
  }
  std::shared_ptr<Flow> flow = make_flow(key, listener, *path);
  flow->listener = &listener;
  flow->half_open = true;
  listener.listener_->half_open++;
  flow->connection.accept(start_of(key, *path, now), syn, now);
  insert(flow);
  service(*flow, now);
}

bool TcpSockets::on_cookie(TcpSocket& listener, const FlowKey& key, const IpMeta& meta,
                           tcp::Segment& segment, Nanos now) {
  const wire::TcpHeader& header = segment.header;
  if (cookie_sent_at_ == kNever || now - cookie_sent_at_ > kCookieLife || header.has(wire::kSyn))
    return false;
  const std::optional<std::uint16_t> mss =
      cookies_.check(key, header.sequence - 1, header.acknowledgment - 1, now);
  if (!mss) return false;
  const InterfaceId interface =
      key.remote.scope != kAnyInterface ? meta.interface : listener.interface_;
  const Result<Path> path = ip_.find_path(key.remote.address, key.local.address, interface);
  if (!path || listener.accept_queue_full() || flows_.size() >= kMaxFlows) {
    ip_.counters().drop(Drop::tcp_accept_queue_full);
    return true;
  }
  std::shared_ptr<Flow> flow = make_flow(key, listener, *path);
  flow->listener = &listener;
  tcp::Connection::Start start = start_of(key, *path, now);
  start.initial_sequence = header.acknowledgment - 1;
  flow->connection.accept_cookie(start, header, *mss, now);
  insert(flow);
  listener.listener_->ready.push_back(flow);
  (void)flow->connection.on_segment(std::move(segment), now);
  service(*flow, now);
  listener.refresh();
  return true;
}

void TcpSockets::send_cookie(const FlowKey& key, const TcpSocket& listener, const Path& path,
                             const wire::TcpHeader& syn, Nanos now) {
  cookie_sent_at_ = now;
  const tcp::Connection::Start start = start_of(key, path, now);
  tcp::Outgoing out;
  out.header.flags = wire::kSyn | wire::kAck;
  const std::uint16_t offered = syn.mss.value_or(start.ipv6 ? tcp::Connection::kDefaultMssV6
                                                            : tcp::Connection::kDefaultMssV4);
  out.header.sequence = cookies_.make(key, syn.sequence, offered, now);
  out.header.acknowledgment = syn.sequence + 1;
  out.header.window =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(listener.settings_.receive_buffer, 65535));
  out.header.mss = start.path_mss;
  const std::shared_ptr<Flow> flow = make_flow(key, listener, path);
  transmit(*flow, std::move(out), now);
}

Result<Socket*> TcpSockets::accept(const InterceptedSyn& syn, Nanos now) {
  const IpMeta& meta = syn.meta;
  const Endpoint local{meta.destination, syn.header.destination_port, kAnyInterface};
  const Endpoint remote{meta.source, syn.header.source_port, kAnyInterface};
  const FlowKey key = key_of(local, remote, meta.interface);
  if (flows_.contains(key)) return Errno::address_in_use;
  if (flows_.size() >= kMaxFlows) return Errno::no_buffers;
  const Result<Path> path = ip_.find_path(remote.address, local.address, meta.interface);
  if (!path) return path.error();
  const Result<Socket*> opened = open();
  if (!opened) return opened.error();
  TcpSocket& socket = static_cast<TcpSocket&>(**opened);
  socket.interface_ = meta.interface;
  std::shared_ptr<Flow> flow = make_flow(key, socket, *path);
  flow->owner = &socket;
  flow->intercepted = true;
  socket.flow_ = flow;
  flow->connection.accept(start_of(key, *path, now), syn.header, now);
  insert(flow);
  service(*flow, now);
  return *opened;
}

void TcpSockets::send_reset(const IpMeta& meta, const tcp::Segment& segment, Nanos now) {
  const wire::TcpHeader& header = segment.header;
  if (header.has(wire::kRst)) return;
  // RFC 9293 3.10.7.1.
  wire::TcpHeader reset;
  reset.source_port = header.destination_port;
  reset.destination_port = header.source_port;
  if (header.has(wire::kAck)) {
    reset.flags = wire::kRst;
    reset.sequence = header.acknowledgment;
  } else {
    reset.flags = wire::kRst | wire::kAck;
    reset.acknowledgment = header.sequence + segment.length + (header.has(wire::kSyn) ? 1u : 0u) +
                           (header.has(wire::kFin) ? 1u : 0u);
  }
  Packet packet;
  put_header(reset, meta.destination, meta.source, packet);
  ip_.counters().tcp_resets_out++;
  ip_.counters().tcp_segments_out++;
  const IpMeta answer{
      .source = meta.destination,
      .destination = meta.source,
      .interface = meta.source.is_link_local() || meta.foreign ? meta.interface : kAnyInterface,
      .protocol = kTcp,
      .hop_limit = 64,
      .traffic_class = 0,
      .dont_fragment = true,
      .to_group = false,
  };
  (void)ip_.send_ip(answer, std::move(packet), now);
}

}  // namespace vpollnet::socket
