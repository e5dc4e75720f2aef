// SPDX-License-Identifier: MIT
#include "socket/table.hpp"

#include "socket/datagram_sockets.hpp"
#include "socket/tcp_sockets.hpp"

namespace vpollnet::socket {

const char* type_name(Type type) {
  switch (type) {
  case Type::tcp: return "tcp";
  case Type::udp: return "udp";
  case Type::ping: return "icmp";
  }
  return "";
}

SocketTable::SocketTable(IpService& ip, tcp::Algorithm congestion)
    : ip_(ip), tcp_(std::make_unique<TcpSockets>(ip, congestion)),
      datagrams_(std::make_unique<DatagramSockets>(ip)) {}

SocketTable::~SocketTable() = default;

Result<Socket*> SocketTable::open(Type type) {
  return type == Type::tcp ? tcp_->open() : datagrams_->open(type);
}

Result<Socket*> SocketTable::accept(const InterceptedSyn& syn, Nanos now) {
  return tcp_->accept(syn, now);
}

void SocketTable::refuse(const InterceptedSyn& syn, Nanos now) {
  tcp_->send_reset(syn.meta, {.header = syn.header, .payload = {}}, now);
}

Result<Socket*> SocketTable::open_intercepted(const IpMeta& meta, Ports ports) {
  return datagrams_->open_intercepted(meta, ports);
}

void SocketTable::deliver_intercepted(Socket& socket, Packet&& payload) {
  DatagramSocket& datagrams = static_cast<DatagramSocket&>(socket);
  datagrams.deliver(datagrams.peer_endpoint(), std::move(payload));
}

void SocketTable::on_tcp(const IpMeta& meta, Packet&& segment, Nanos now) {
  tcp_->on_segment(meta, std::move(segment), now);
}

bool SocketTable::uses_port(Type type, std::uint16_t port) const {
  return type == Type::tcp ? tcp_->uses_port(port) : datagrams_->uses_port(type, port);
}

Delivery SocketTable::on_udp(const IpMeta& meta, Packet&& datagram, Nanos now) {
  return datagrams_->on_udp(meta, std::move(datagram), now);
}

void SocketTable::on_echo_reply(const IpMeta& meta, Packet&& message, Nanos now) {
  datagrams_->on_echo_reply(meta, std::move(message), now);
}

bool SocketTable::is_plausible(const IcmpError& error) const {
  // Datagrams leave no trace to compare with: RFC 8899 is what would do better.
  return error.protocol != kTcp || tcp_->is_plausible(error);
}

void SocketTable::on_icmp_error(const IcmpError& error, Nanos now) {
  if (error.protocol == kTcp) {
    tcp_->on_icmp_error(error, now);
  } else {
    datagrams_->on_icmp_error(error, now);
  }
}

void SocketTable::on_address_removed(const IpAddress& address, Nanos now) {
  tcp_->on_address_removed(address, now);
  datagrams_->on_address_removed(address, now);
}

void SocketTable::on_interception_end(InterfaceId over, Nanos now) {
  tcp_->on_interception_end(over, now);
  datagrams_->on_interception_end(over);
}

bool SocketTable::has_connection(const Endpoint& local, const Endpoint& remote) const {
  return tcp_->has_connection(local, remote);
}

void SocketTable::advance(Nanos now) { tcp_->advance(now); }

Nanos SocketTable::next_deadline() const { return tcp_->next_deadline(); }

std::vector<SocketInfo> SocketTable::list() const {
  std::vector<SocketInfo> result;
  ListCursor cursor;
  while (list_part(cursor, SIZE_MAX, result)) {
  }
  return result;
}

bool SocketTable::list_part(ListCursor& cursor, std::size_t size,
                            std::vector<SocketInfo>& out) const {
  bool more = false;
  switch (cursor.part) {
  case 0: more = tcp_->list_sockets(cursor.place, size, out); break;
  case 1: more = tcp_->list_flows(cursor.place, size, out); break;
  default: return datagrams_->list(cursor.place, size, out);
  }
  if (!more) cursor = {.part = cursor.part + 1};
  return true;
}

}  // namespace vpollnet::socket
