// SPDX-License-Identifier: MIT
#include "socket/datagram_sockets.hpp"

#include <algorithm>

#include "socket/ports.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv6.hpp"
#include "wire/udp.hpp"

namespace vpollnet::socket {

namespace {

Endpoint sender(const IpMeta& meta, std::uint16_t port) {
  // Only a link-local address needs its interface to be answered (RFC 4007 6).
  return {meta.source, port, meta.source.is_link_local() ? meta.interface : kAnyInterface};
}

/// Two sockets that could both be meant by one packet.
bool collide(const DatagramSocket& other, const DatagramSocket& socket, const Endpoint& local) {
  const Endpoint theirs = other.local();
  const auto apart = [](InterfaceId a, InterfaceId b) {
    return a != kAnyInterface && b != kAnyInterface && a != b;
  };
  if (apart(other.interface(), socket.interface()) || apart(theirs.scope, local.scope))
    return false;
  const auto is_any = [](const IpAddress& address) {
    return address.family() == Family::none || address.is_unspecified();
  };
  if (!is_any(theirs.address) && !is_any(local.address)) return theirs.address == local.address;
  const auto covers = [&](Family family) {
    if (!is_any(local.address)) return local.address.family() == family;
    if (family == Family::ipv6) return !local.address.is_v4();
    return local.address.is_v4() || socket.takes(Family::ipv4);
  };
  return (other.takes(Family::ipv4) && covers(Family::ipv4)) ||
         (other.takes(Family::ipv6) && covers(Family::ipv6));
}

}  // namespace

DatagramSockets::DatagramSockets(IpService& ip)
    : ip_(ip), ports_(16, PortHash{ip.random().derive()}),
      connected_(16, TupleHash{ip.random().derive()}) {}

DatagramSockets::~DatagramSockets() = default;

Socket* DatagramSockets::open(Type type) {
  sockets_.push_back(std::make_unique<DatagramSocket>(type, *this, ip_));
  DatagramSocket& socket = *sockets_.back();
  socket.self = std::prev(sockets_.end());
  return &socket;
}

Result<Socket*> DatagramSockets::open_intercepted(const IpMeta& meta, Ports ports) {
  const Endpoint peer = sender(meta, ports.source);
  const Endpoint local{meta.destination, ports.destination,
                       meta.destination.is_link_local() ? meta.interface : kAnyInterface};
  if (find_connected(Type::udp, local.address, local.port,
                     {peer.address, peer.port, meta.interface}) != nullptr) {
    return Errno::address_in_use;
  }
  DatagramSocket& socket = static_cast<DatagramSocket&>(*open(Type::udp));
  socket.stand_between(local, peer, meta.interface);
  enter(socket);
  return static_cast<Socket*>(&socket);
}

Result<std::uint16_t> DatagramSockets::claim(const DatagramSocket& socket, const Endpoint& local) {
  const auto is_free = [&](std::uint16_t port, bool shared) {
    const auto found = ports_.find(port_key(socket.type(), port));
    if (found == ports_.end()) return true;
    const auto blocks = [&](const DatagramSocket* other) {
      return !(shared && other->reuses_address()) && collide(*other, socket, local);
    };
    return std::none_of(found->second.unconnected.begin(), found->second.unconnected.end(),
                        blocks) &&
           std::none_of(found->second.connected.begin(), found->second.connected.end(), blocks);
  };
  if (local.port != 0) {
    if (!is_free(local.port, socket.reuses_address())) return Errno::address_in_use;
    return local.port;
  }
  // A port that was not asked for is not shared: who gets it expects to be alone.
  const auto port =
      choose_port(ip_.random(), [&](std::uint16_t candidate) { return is_free(candidate, false); });
  if (!port) return Errno::address_in_use;
  return *port;
}

void DatagramSockets::enter(DatagramSocket& socket) {
  Port& port = ports_[port_key(socket.type(), socket.local().port)];
  if (socket.is_connected()) {
    port.connected.push_back(&socket);
    connected_.emplace(tuple_of(socket), &socket);
  } else {
    port.unconnected.push_back(&socket);
  }
}

void DatagramSockets::leave(DatagramSocket& socket) {
  if (!socket.is_bound()) return;
  const auto found = ports_.find(port_key(socket.type(), socket.local().port));
  Port& port = found->second;
  std::erase(socket.is_connected() ? port.connected : port.unconnected, &socket);
  if (port.connected.empty() && port.unconnected.empty()) ports_.erase(found);
  if (!socket.is_connected()) return;
  auto [at, end] = connected_.equal_range(tuple_of(socket));
  while (at != end && at->second != &socket) ++at;
  if (at != end) connected_.erase(at);
}

void DatagramSockets::erase(DatagramSocket& socket) {
  leave(socket);
  sockets_.erase(socket.self);
}

Delivery DatagramSockets::on_udp(const IpMeta& meta, Packet&& datagram, Nanos now) {
  const auto bytes = datagram.contiguous(std::min(datagram.size(), wire::kUdpHeader), ip_.pool());
  const auto header = wire::parse_udp(bytes, datagram.size());
  const auto drop = [&](Drop reason) {
    ip_.counters().drop(reason);
    return Delivery::dropped;
  };
  if (!header || header->destination_port == 0) return drop(Drop::udp_malformed);
  // What is behind the length is no part of the datagram, nor of its checksum (RFC 768).
  datagram.truncate(header->length);
  if (header->checksum == 0) {
    // RFC 8200 8.1: IPv6 receivers must discard UDP without a checksum.
    if (meta.source.is_v6()) return drop(Drop::udp_bad_checksum);
  } else if (datagram.checksum == ChecksumState::unverified &&
             !wire::transport_checksum_ok(datagram, meta.source, meta.destination, kUdp)) {
    return drop(Drop::udp_bad_checksum);
  }
  datagram.trim_front(wire::kUdpHeader);

  const Endpoint from = sender(meta, header->source_port);
  Delivery delivery = Delivery::no_socket;
  if (meta.to_group) {
    delivery = deliver_to_group(Type::udp, meta, header->destination_port, from, datagram);
  } else if (DatagramSocket* socket = find(Type::udp, meta, header->destination_port, from)) {
    delivery = socket->deliver(from, std::move(datagram)) ? Delivery::delivered : Delivery::dropped;
  } else if (meta.interceptor != nullptr) {
    meta.interceptor->on_datagram(meta, {header->source_port, header->destination_port},
                                  std::move(datagram), now);
    delivery = Delivery::delivered;
  }
  if (delivery == Delivery::no_socket) ip_.counters().drop(Drop::udp_no_socket);
  return delivery;
}

void DatagramSockets::on_echo_reply(const IpMeta& meta, Packet&& message, Nanos) {
  const auto bytes = message.contiguous(std::min(message.size(), wire::kIcmpHeader), ip_.pool());
  const auto header = wire::parse_icmpv4(bytes);
  if (!header) {
    ip_.counters().drop(Drop::icmp_malformed);
    return;
  }
  const std::uint16_t identifier = header->identifier();
  message.trim_front(wire::kIcmpHeader);
  // Echo has no ports: a connection is to an address, and the identifier is that of the request.
  DatagramSocket* socket = find(Type::ping, meta, identifier, sender(meta, 0));
  if (socket == nullptr) {
    ip_.counters().drop(Drop::ping_no_socket);
    return;
  }
  if (socket->shows_sequence()) {
    wire::store16(message.prepend(sizeof(std::uint16_t)).data(), header->sequence());
  }
  socket->deliver(sender(meta, identifier), std::move(message));
}

void DatagramSockets::on_icmp_error(const IcmpError& error, Nanos) {
  if (error.transport.size() < 8) return;
  DatagramSocket* socket = nullptr;
  if (error.protocol == kUdp) {
    const std::uint16_t ours = wire::load16(&error.transport[0]);
    const Endpoint peer{error.destination, wire::load16(&error.transport[2]), error.interface};
    socket = find_connected(Type::udp, error.source, ours, peer);
  } else if ((error.protocol == kIcmp && error.transport[0] == wire::kIcmpv4EchoRequest) ||
             (error.protocol == kIcmpv6 && error.transport[0] == wire::kIcmpv6EchoRequest)) {
    const std::uint16_t identifier = wire::load16(&error.transport[4]);
    socket = find_connected(Type::ping, error.source, identifier,
                            {error.destination, 0, error.interface});
  }
  // RFC 1122 4.1.3.3: errors are passed up. Without a connection nobody could tell which of the
  // peers one is about; soft errors may mend themselves (RFC 1122 3.2.2.1).
  if (socket == nullptr) return;
  if (error.too_big) {
    // Without dont_fragment the next datagram is cut to the new path MTU: nothing to report.
    if (socket->wants_size_errors()) socket->fail(Errno::message_size);
  } else if (error.hard) {
    socket->fail(error.error);
  }
}

void DatagramSockets::on_address_removed(const IpAddress& address, Nanos) {
  for (const auto& socket : sockets_) {
    if (socket->is_bound() && socket->local().address == address) socket->fail(Errno::network_down);
  }
}

void DatagramSockets::on_interception_end(InterfaceId over) {
  for (const auto& socket : sockets_) {
    if (socket->stands_between() && socket->interface() == over) socket->fail(Errno::network_down);
  }
}

bool DatagramSockets::list(std::size_t& place, std::size_t size,
                           std::vector<SocketInfo>& out) const {
  auto at = sockets_.begin();
  std::advance(at, std::min(place, sockets_.size()));
  for (; at != sockets_.end() && size > 0; ++at, place++, size--) {
    const DatagramSocket& socket = **at;
    out.push_back({.type = socket.type(),
                   .state = socket.state(),
                   .local = socket.local(),
                   .peer = socket.peer_endpoint(),
                   .receive_queue = socket.unread_bytes(),
                   .send_queue = 0});
  }
  return at != sockets_.end();
}

std::size_t DatagramSockets::PortHash::operator()(std::uint32_t port) const {
  std::array<std::uint8_t, 4> bytes;
  wire::store32(bytes.data(), port);
  return siphash(key, bytes);
}

DatagramSockets::Tuple DatagramSockets::tuple_of(Type type, const IpAddress& local,
                                                 std::uint16_t local_port, const IpAddress& peer,
                                                 std::uint16_t peer_port) {
  Tuple tuple{};
  wire::store_address(&tuple[0], local);
  wire::store_address(&tuple[16], peer);
  wire::store16(&tuple[32], local_port);
  wire::store16(&tuple[34], peer_port);
  tuple[36] = static_cast<std::uint8_t>(type);
  tuple[37] = static_cast<std::uint8_t>(peer.family());
  return tuple;
}

DatagramSockets::Tuple DatagramSockets::tuple_of(const DatagramSocket& socket) {
  const Endpoint local = socket.local();
  const Endpoint& peer = socket.peer_endpoint();
  return tuple_of(socket.type(), local.address, local.port, peer.address, peer.port);
}

std::uint32_t DatagramSockets::port_key(Type type, std::uint16_t port) {
  return static_cast<std::uint32_t>(type) << 16 | port;
}

DatagramSocket* DatagramSockets::find_connected(Type type, const IpAddress& local,
                                                std::uint16_t local_port, const Endpoint& peer) {
  auto [at, end] =
      connected_.equal_range(tuple_of(type, local, local_port, peer.address, peer.port));
  for (; at != end; ++at) {
    DatagramSocket* socket = at->second;
    if (socket->match(local, peer.scope) != 0 &&
        socket->accepts_from(peer.address, peer.port, peer.scope)) {
      return socket;
    }
  }
  return nullptr;
}

DatagramSocket* DatagramSockets::find(Type type, const IpMeta& meta, std::uint16_t port,
                                      const Endpoint& from) {
  DatagramSocket* best =
      find_connected(type, meta.destination, port, {from.address, from.port, meta.interface});
  if (best != nullptr || meta.foreign) return best;
  const auto found = ports_.find(port_key(type, port));
  if (found == ports_.end()) return nullptr;
  unsigned best_match = 0;
  for (DatagramSocket* socket : found->second.unconnected) {
    const unsigned match = socket->match(meta.destination, meta.interface);
    if (match == 0 || match < best_match) continue;
    best = socket;  // of equals the last
    best_match = match;
  }
  return best;
}

Delivery DatagramSockets::deliver_to_group(Type type, const IpMeta& meta, std::uint16_t port,
                                           const Endpoint& from, const Packet& payload) {
  const auto found = ports_.find(port_key(type, port));
  if (found == ports_.end()) return Delivery::no_socket;
  Delivery delivery = Delivery::no_socket;
  bool filtered = false;
  const auto offer = [&](DatagramSocket* socket) {
    if (socket->match(meta.destination, meta.interface) == 0 ||
        !socket->accepts_from(from.address, from.port, meta.interface)) {
      return;
    }
    const auto hears = socket->hears(from.address, meta.destination, meta.interface);
    filtered |= hears == DatagramSocket::Hearing::other_source;
    if (hears != DatagramSocket::Hearing::yes) return;
    const bool taken = socket->deliver(from, payload.clone());
    if (taken || delivery == Delivery::no_socket)
      delivery = taken ? Delivery::delivered : Delivery::dropped;
  };
  for (DatagramSocket* socket : found->second.connected) offer(socket);
  for (DatagramSocket* socket : found->second.unconnected) offer(socket);
  if (filtered && delivery == Delivery::no_socket) {
    ip_.counters().drop(Drop::udp_source_filtered);
    return Delivery::dropped;
  }
  return delivery;
}

}  // namespace vpollnet::socket
