// SPDX-License-Identifier: MIT
// Connections: made, found, served, let go. tcp_input.cpp has the segments that arrive.
#include "socket/tcp_sockets.hpp"

#include <algorithm>

#include "socket/ports.hpp"
#include "socket/tcp_socket.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::socket {
namespace {

/// How often a busy connection tells its neighbour's cache entry that it works.
constexpr Nanos kConfirmInterval = kSecond;

constexpr std::uint32_t kMaxMss = 65535 - 40;

/// What an ICMP error quotes at least: ports and sequence number (RFC 792).
constexpr std::size_t kQuotedBytes = 8;
/// Deadlines that have moved away and are sorted anew at once: some microseconds together.
constexpr int kPutOffAtOnce = 64;

bool is_wildcard(const IpAddress& address) {
  return address.family() == Family::none || address.is_unspecified();
}

/// True if a packet to one of the two could be meant for the other.
bool overlap(const IpAddress& a, bool a_ipv6_only, const IpAddress& b, bool b_ipv6_only) {
  const auto takes_v4 = [](const IpAddress& address, bool ipv6_only) {
    return address.family() == Family::none || address.is_v4() ||
           (address.is_unspecified() && !ipv6_only);
  };
  const auto takes_v6 = [](const IpAddress& address) {
    return address.family() == Family::none || address.is_v6();
  };
  if (is_wildcard(a) || is_wildcard(b)) {
    return (takes_v4(a, a_ipv6_only) && takes_v4(b, b_ipv6_only)) || (takes_v6(a) && takes_v6(b));
  }
  return a == b;
}

/// Calls `visit` for what is in `buckets` buckets of `map` from `place` on, which it moves. False
/// at the end. A bucket holds about one entry: what an attacker can choose of a key is hashed with
/// a secret.
template <class Map, class Visit>
bool visit_buckets(const Map& map, std::size_t& place, std::size_t buckets, Visit visit) {
  for (; buckets > 0 && place < map.bucket_count(); buckets--, place++) {
    for (auto at = map.begin(place); at != map.end(place); ++at) visit(*at);
  }
  return place < map.bucket_count();
}

}  // namespace

TcpSockets::TcpSockets(IpService& ip, tcp::Algorithm congestion)
    : ip_(ip), sequence_secret_(ip.random().derive()), timestamp_secret_(ip.random().derive()),
      cookies_(ip.random().derive()), flows_(16, FlowKeyHash{ip.random().derive()}) {
  defaults_.congestion = congestion;
}

TcpSockets::~TcpSockets() {
  for (const auto& [key, flow] : flows_) timers_.cancel(*flow);
}

Result<Socket*> TcpSockets::open() {
  if (sockets_.size() >= kMaxSockets) return Errno::too_many_open;
  auto socket = std::make_unique<TcpSocket>(*this, defaults_);
  TcpSocket* raw = socket.get();
  sockets_.emplace(raw, std::move(socket));
  return static_cast<Socket*>(raw);
}

void TcpSockets::destroy(TcpSocket& socket) {
  unbind(socket);
  sockets_.erase(&socket);
}

FlowKey TcpSockets::key_of(const Endpoint& local, const Endpoint& remote, InterfaceId interface) {
  FlowKey key{local, remote};
  key.local.scope = local.address.is_link_local() ? interface : kAnyInterface;
  key.remote.scope = remote.address.is_link_local() ? interface : kAnyInterface;
  return key;
}

std::shared_ptr<Flow> TcpSockets::find(const FlowKey& key) const {
  const auto found = flows_.find(key);
  return found == flows_.end() ? nullptr : found->second;
}

Errno TcpSockets::bind(TcpSocket& socket, const Endpoint& local) {
  if (!is_wildcard(local.address) && !ip_.is_local(local.address, local.scope)) {
    return Errno::address_not_available;
  }
  const auto conflicts = [&](std::uint16_t port, bool chosen) {
    const auto users = bound_.find(port);
    if (users != bound_.end()) {
      for (const TcpSocket* other : users->second) {
        if (!overlap(local.address, socket.ipv6_only_, other->bound_.address, other->ipv6_only_))
          continue;
        // socket(7), SO_REUSEADDR: no help against a listening socket.
        if (chosen || !socket.reuse_address_ || !other->reuse_address_ || other->listener_)
          return true;
      }
    }
    return (chosen || !socket.reuse_address_) && flow_ports_.contains(port);
  };
  std::uint16_t port = local.port;
  if (port == 0) {
    const std::optional<std::uint16_t> free = choose_port(
        ip_.random(), [&](std::uint16_t candidate) { return !conflicts(candidate, true); });
    if (!free) return Errno::address_in_use;
    port = *free;
  } else if (conflicts(port, false)) {
    return Errno::address_in_use;
  }
  socket.bound_ = local;
  socket.bound_.port = port;
  socket.is_bound_ = true;
  bound_[port].push_back(&socket);
  return Errno::ok;
}

void TcpSockets::unbind(TcpSocket& socket) {
  if (!socket.is_bound_) return;
  const auto users = bound_.find(socket.bound_.port);
  std::erase(users->second, &socket);
  if (users->second.empty()) bound_.erase(users);
  socket.is_bound_ = false;
}

std::uint32_t TcpSockets::initial_sequence(const FlowKey& key, Nanos now) const {
  // RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M a 4 us clock.
  return static_cast<std::uint32_t>(now / (4 * kMicrosecond)) +
         static_cast<std::uint32_t>(FlowKeyHash{sequence_secret_}(key));
}

tcp::Connection::Start TcpSockets::start_of(const FlowKey& key, const Path& path, Nanos now) const {
  const bool ipv6 = key.remote.address.is_v6();
  const std::uint32_t overhead = ipv6 ? 60 : 40;
  const std::uint32_t mss = path.mtu > overhead ? std::min(path.mtu - overhead, kMaxMss) : 0;
  return {
      .initial_sequence = initial_sequence(key, now),
      // RFC 7323 5.4: an offset of each connection's own, the same for a 4-tuple used again (RFC
      // 6191).
      .timestamp_offset = static_cast<std::uint32_t>(FlowKeyHash{timestamp_secret_}(key)),
      .path_mss = std::max(static_cast<std::uint16_t>(mss), tcp::Connection::kMinimumMss),
      .ipv6 = ipv6,
      .segmentation = path.segmentation,
  };
}

std::shared_ptr<Flow> TcpSockets::make_flow(const FlowKey& key, const TcpSocket& socket,
                                            const Path& path) {
  auto flow = std::make_shared<Flow>(resources(), socket.settings_, key);
  flow->path = path;
  flow->path_generation = ip_.path_generation();
  flow->hop_limit = socket.hop_limit_;
  flow->traffic_class = socket.traffic_class_;
  flow->interface = socket.interface_;
  return flow;
}

void TcpSockets::insert(const std::shared_ptr<Flow>& flow) {
  flows_.emplace(flow->key, flow);
  if (!flow->intercepted) flow_ports_[flow->key.local.port]++;
  flow->in_table = true;
}

void TcpSockets::remove(Flow& flow) {
  if (!flow.in_table) return;
  flow.in_table = false;
  timers_.cancel(flow);
  if (flow.orphan) orphans_.erase(flow.orphan_place);
  flow.orphan = false;
  if (!flow.intercepted) {
    const auto port = flow_ports_.find(flow.key.local.port);
    if (--port->second == 0) flow_ports_.erase(port);
  }
  flows_.erase(FlowKey(flow.key));
}

Result<std::shared_ptr<Flow>> TcpSockets::connect(TcpSocket& socket, const Endpoint& to,
                                                  Nanos now) {
  Endpoint remote = to;
  // connect(2) to "any" means this host, as BSD has it.
  if (remote.address.is_unspecified())
    remote.address = IpAddress::loopback(remote.address.family());
  if (remote.address.family() == Family::none) return Errno::family_not_supported;
  if (remote.port == 0) return Errno::refused;  // nobody can listen there
  // RFC 9293 MUST-57, MUST-58: no connection to a group.
  if (remote.address.is_multicast() || ip_.is_broadcast(remote.address))
    return Errno::network_unreachable;
  IpAddress source =
      socket.is_bound_ && !is_wildcard(socket.bound_.address) ? socket.bound_.address : IpAddress();
  if (source.family() != Family::none && source.family() != remote.address.family())
    return Errno::invalid;
  const InterfaceId interface =
      socket.interface_ != kAnyInterface ? socket.interface_ : remote.scope;
  const Result<Path> path = ip_.find_path(remote.address, source, interface);
  if (!path) return path.error();
  if (flows_.size() >= kMaxFlows) return Errno::no_buffers;

  Endpoint local{path->source, socket.is_bound_ ? socket.bound_.port : std::uint16_t{0},
                 kAnyInterface};
  if (local.port == 0) {
    // RFC 6056 3.3.1: random; free means free for this remote end. When some tries have found
    // none, one in TIME-WAIT will do that gives way (RFC 6191 2): to look at all takes
    // milliseconds.
    int taken = 0;
    const auto free = choose_port(ip_.random(), [&](std::uint16_t candidate) {
      if (bound_.contains(candidate)) return false;
      local.port = candidate;
      const std::shared_ptr<Flow> former = find(key_of(local, remote, path->interface));
      if (former == nullptr) return true;
      return ++taken > kRandomPortTries && former->connection.gives_way(now);
    });
    if (!free) return Errno::address_not_available;
    local.port = *free;
  }
  const FlowKey key = key_of(local, remote, path->interface);
  if (key.local == key.remote) return Errno::address_not_available;
  if (const std::shared_ptr<Flow> former = find(key)) {
    if (!former->connection.gives_way(now)) return Errno::address_not_available;
    former->connection.fail(Errno::ok);
    service(*former, now);
  }
  std::shared_ptr<Flow> flow = make_flow(key, socket, *path);
  flow->owner = &socket;
  flow->connection.connect(start_of(key, *path, now), now);
  insert(flow);
  return flow;
}

Result<TcpSocket*> TcpSockets::adopt(const std::shared_ptr<Flow>& flow, const TcpSocket& listener) {
  Result<Socket*> opened = open();
  if (!opened) return opened.error();
  TcpSocket& socket = static_cast<TcpSocket&>(**opened);
  socket.settings_ = flow->connection.settings();
  socket.linger_ = listener.linger_;
  socket.reuse_address_ = listener.reuse_address_;
  socket.ipv6_only_ = listener.ipv6_only_;
  socket.hop_limit_ = listener.hop_limit_;
  socket.traffic_class_ = listener.traffic_class_;
  socket.flow_ = flow;
  flow->listener = nullptr;
  flow->owner = &socket;
  socket.refresh();
  return &socket;
}

bool TcpSockets::refresh_path(Flow& flow) {
  if (flow.path_generation == ip_.path_generation()) return true;
  const InterfaceId interface =
      flow.interface != kAnyInterface ? flow.interface : flow.key.remote.scope;
  const Result<Path> path =
      ip_.find_path(flow.key.remote.address, flow.key.local.address, interface);
  if (!path) return false;  // looked for again with the next segment; the timers decide
  flow.path_generation = ip_.path_generation();
  flow.path = *path;
  flow.connection.on_path_mss(start_of(flow.key, *path, 0).path_mss, path->segmentation);
  return true;
}

void TcpSockets::service(Flow& flow, Nanos now) {
  const std::shared_ptr<Flow> held = flow.shared_from_this();
  tcp::Connection& connection = flow.connection;
  const bool routed = refresh_path(flow);
  while (std::optional<tcp::Outgoing> out = connection.next_segment(now)) {
    if (routed) {
      transmit(flow, std::move(*out), now);
    } else {
      ip_.counters().drop(Drop::ip_no_route);
    }
  }
  const std::uint64_t position = connection.acknowledged_position();
  if (position != flow.confirmed && now - flow.confirmed_at >= kConfirmInterval &&
      connection.was_established()) {
    flow.confirmed = position;
    flow.confirmed_at = now;
    ip_.confirm_reachable(flow.key.remote.address, flow.path, now);
  }
  if (flow.half_open && connection.was_established()) {
    flow.half_open = false;
    flow.listener->listener_->half_open--;
    flow.listener->listener_->ready.push_back(held);
    flow.listener->refresh();
  }
  if (connection.state() == tcp::State::closed) {
    if (flow.half_open) leave_listener(flow);
    remove(flow);
  } else if (flow.in_table) {
    timers_.arm(flow, connection.deadline());
  }
  if (flow.owner != nullptr) flow.owner->refresh();
}

bool TcpSockets::may_listen(const TcpSocket& socket) const {
  const auto users = bound_.find(socket.bound_.port);
  if (users == bound_.end()) return true;
  return std::none_of(users->second.begin(), users->second.end(), [&](const TcpSocket* other) {
    return other != &socket && other->listener_ &&
           overlap(socket.bound_.address, socket.ipv6_only_, other->bound_.address,
                   other->ipv6_only_);
  });
}

void TcpSockets::close_listener(TcpSocket& listener, Nanos now) {
  std::vector<std::shared_ptr<Flow>> waiting;
  for (const auto& [key, flow] : flows_) {
    if (flow->listener == &listener) waiting.push_back(flow);
  }
  for (const std::shared_ptr<Flow>& flow : waiting) abort(*flow, now);
}

void TcpSockets::leave_listener(Flow& flow) {
  flow.half_open = false;
  flow.listener->listener_->half_open--;
  flow.listener = nullptr;
}

void TcpSockets::release(Flow& flow, Nanos now) {
  flow.owner = nullptr;
  flow.connection.orphan(now);
  if (flow.in_table && !flow.orphan) {
    flow.orphan = true;
    flow.orphan_place = orphans_.insert(orphans_.end(), &flow);
  }
  service(flow, now);
  limit_orphans(now);
}

void TcpSockets::abort(Flow& flow, Nanos now) {
  flow.owner = nullptr;
  if (flow.half_open) leave_listener(flow);
  flow.listener = nullptr;
  flow.connection.abort();
  service(flow, now);
}

void TcpSockets::limit_orphans(Nanos now) {
  while (orphans_.size() > kMaxOrphans) abort(*orphans_.front(), now);
}

void TcpSockets::advance(Nanos now) {
  if (timers_.next() > now) return;
  while (Flow* flow = timers_.pop_due(now)) {
    flow->connection.on_deadline(now);
    service(*flow, now);
  }
  // Busy connections put their deadlines off all the time.
  timers_.put_off(kPutOffAtOnce, [](const Flow& flow) { return flow.connection.deadline(); });
}

void TcpSockets::put_header(const wire::TcpHeader& header, const IpAddress& source,
                            const IpAddress& destination, Packet& packet) {
  const std::span<std::uint8_t> bytes = packet.prepend(wire::tcp_size(header));
  wire::emit_tcp(header, bytes);
  const std::uint32_t length = static_cast<std::uint32_t>(packet.size());
  const std::uint16_t sum = wire::pseudo_header(source, destination, kTcp, length).folded();
  wire::store16(bytes.data() + wire::kTcpChecksumOffset, sum);
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = length;
  packet.checksum_field = wire::kTcpChecksumOffset;
}

void TcpSockets::transmit(const Flow& flow, tcp::Outgoing&& out, Nanos now) {
  out.header.source_port = flow.key.local.port;
  out.header.destination_port = flow.key.remote.port;
  Packet& packet = out.packet;
  put_header(out.header, flow.key.local.address, flow.key.remote.address, packet);
  ip_.counters().tcp_segments_out++;
  const IpMeta meta{
      .source = flow.key.local.address,
      .destination = flow.key.remote.address,
      .interface = flow.interface,
      .protocol = kTcp,
      .hop_limit = flow.hop_limit,
      .traffic_class = flow.traffic_class,
      .dont_fragment = true,
      .to_group = false,
  };
  // What cannot be sent now is lost like any packet: the timers send it again.
  (void)ip_.send_ip(meta, flow.path, std::move(packet), now);
}

std::shared_ptr<Flow> TcpSockets::find_quoted(const IcmpError& error) const {
  if (error.transport.size() < kQuotedBytes) return nullptr;
  const std::uint8_t* quoted = error.transport.data();
  const Endpoint local{error.source, wire::load16(quoted), kAnyInterface};
  const Endpoint remote{error.destination, wire::load16(quoted + 2), kAnyInterface};
  return find(key_of(local, remote, error.interface));
}

bool TcpSockets::is_plausible(const IcmpError& error) const {
  const std::shared_ptr<Flow> flow = find_quoted(error);
  return flow != nullptr && flow->connection.in_flight(wire::load32(error.transport.data() + 4));
}

void TcpSockets::on_icmp_error(const IcmpError& error, Nanos now) {
  const std::shared_ptr<Flow> flow = find_quoted(error);
  if (flow == nullptr) return;
  // A new path MTU reaches the connection through path_generation(), in service().
  const std::uint32_t sequence = wire::load32(error.transport.data() + 4);
  if (!error.too_big && !flow->connection.on_icmp_error(error.error, sequence)) {
    ip_.counters().drop(Drop::icmp_ignored);
    return;
  }
  service(*flow, now);
}

void TcpSockets::on_address_removed(const IpAddress& address, Nanos now) {
  std::vector<std::shared_ptr<Flow>> gone;
  for (const auto& [key, flow] : flows_) {
    if (key.local.address == address) gone.push_back(flow);
  }
  for (const std::shared_ptr<Flow>& flow : gone) {
    flow->connection.fail(Errno::network_down);
    service(*flow, now);
  }
  for (const auto& [raw, socket] : sockets_) {
    if (socket->is_bound_ && socket->bound_.address == address && !socket->flow_) {
      socket->fail(Errno::network_down);
    }
  }
}

void TcpSockets::on_interception_end(InterfaceId over, Nanos now) {
  std::vector<std::shared_ptr<Flow>> gone;
  for (const auto& [key, flow] : flows_) {
    if (flow->intercepted && flow->path.interface == over) gone.push_back(flow);
  }
  for (const std::shared_ptr<Flow>& flow : gone) {
    flow->connection.abort();
    flow->connection.fail(Errno::network_down);
    service(*flow, now);
  }
}

bool TcpSockets::list_sockets(std::size_t& place, std::size_t size,
                              std::vector<SocketInfo>& out) const {
  return visit_buckets(sockets_, place, size, [&](const auto& entry) {
    const TcpSocket& socket = *entry.second;
    if (socket.flow_ && socket.flow_->in_table) return;
    out.push_back({Type::tcp,
                   socket.state(),
                   socket.local(),
                   {},
                   socket.listener_ ? socket.listener_->ready.size() : 0,
                   0});
  });
}

bool TcpSockets::list_flows(std::size_t& place, std::size_t size,
                            std::vector<SocketInfo>& out) const {
  return visit_buckets(flows_, place, size, [&](const auto& entry) {
    const auto& [key, flow] = entry;
    const tcp::Connection& connection = flow->connection;
    out.push_back({Type::tcp, tcp::to_string(connection.state()), key.local, key.remote,
                   connection.unread(), connection.unacknowledged()});
  });
}

}  // namespace vpollnet::socket
