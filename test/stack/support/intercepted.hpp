// SPDX-License-Identifier: MIT
// A stack that answers for others on eth0, in virtual time: the drawing of host.hpp, where the peer
// means somebody whom the stack does not have.
#pragma once

#include <deque>

#include "socket/interceptor.hpp"
#include "test/stack/support/host.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::test {

/// Notes what it gets.
struct Noting final : socket::Interceptor {
  struct Datagram {
    socket::IpMeta meta;
    socket::Ports ports;
    Bytes payload;
  };
  struct Echo {
    socket::IpMeta meta;
    std::uint16_t identifier = 0, sequence = 0;
    Bytes payload;
  };
  struct Failed {
    Errno error;
    IpAddress reporter, source, destination;
    std::uint8_t protocol;
  };

  void on_syn(const socket::InterceptedSyn& syn, Nanos) override { syns.push_back(syn); }
  void on_datagram(const socket::IpMeta& meta, socket::Ports ports, Packet&& payload,
                   Nanos) override {
    datagrams.push_back({meta, ports, bytes_of(payload)});
  }
  void on_echo(const socket::IpMeta& meta, std::uint16_t identifier, std::uint16_t sequence,
               Packet&& payload, Nanos) override {
    echoes.push_back({meta, identifier, sequence, bytes_of(payload)});
  }
  void on_intercepted_error(const socket::IcmpError& error, Nanos) override {
    errors.push_back(
        {error.error, error.reporter, error.source, error.destination, error.protocol});
  }
  static Bytes bytes_of(const Packet& packet) {
    Bytes bytes(packet.size());
    packet.copy_out(0, bytes);
    return bytes;
  }
  bool nothing() const {
    return syns.empty() && datagrams.empty() && echoes.empty() && errors.empty();
  }

  std::vector<socket::InterceptedSyn> syns;
  std::vector<Datagram> datagrams;
  std::vector<Echo> echoes;
  std::vector<Failed> errors;
};

/// The IP packet of `transport`, of the family of its addresses.
inline Bytes packet(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                    const Bytes& transport, std::uint8_t hop_limit = 64) {
  if (from.is_v4()) {
    return ipv4({.identification = 9,
                 .hop_limit = hop_limit,
                 .protocol = protocol,
                 .source = from,
                 .destination = to},
                transport);
  }
  return ipv6({.next_header = protocol, .hop_limit = hop_limit, .source = from, .destination = to},
              transport);
}

inline Bytes tcp_packet(const IpAddress& from, const IpAddress& to, const wire::TcpHeader& header,
                        const Bytes& payload = {}, std::uint8_t hop_limit = 64) {
  Bytes segment(wire::tcp_size(header));
  wire::emit_tcp(header, segment);
  segment = segment + payload;
  fill_checksum(segment, wire::kTcpChecksumOffset, from, to, 6);
  return packet(from, to, 6, segment, hop_limit);
}

inline Bytes echo_packet(const IpAddress& from, const IpAddress& to, std::uint16_t identifier,
                         std::uint16_t sequence, const Bytes& payload,
                         std::uint8_t hop_limit = 64) {
  const auto header = [&](std::uint8_t type) {
    return wire::IcmpHeader::echo(type, identifier, sequence);
  };
  if (from.is_v4()) {
    return packet(from, to, 1, icmpv4(header(wire::kIcmpv4EchoRequest), payload), hop_limit);
  }
  return packet(from, to, 58, icmpv6(from, to, header(wire::kIcmpv6EchoRequest), payload),
                hop_limit);
}

inline std::optional<wire::TcpHeader> tcp_of(const Sent& frame) {
  const bool is_tcp =
      frame.ipv6() ? frame.ipv6()->next_header == 6 : frame.ipv4()->header.protocol == 6;
  if (!is_tcp) return std::nullopt;
  return wire::parse_tcp(frame.transport())->header;
}

inline IpAddress source_of(const Sent& frame) {
  return frame.ipv6() ? frame.ipv6()->source : frame.ipv4()->header.source;
}
inline IpAddress destination_of(const Sent& frame) {
  return frame.ipv6() ? frame.ipv6()->destination : frame.ipv4()->header.destination;
}

class Intercepted {
 public:
  const IpAddress world4 = ip("203.0.113.5");
  const IpAddress world6 = ip("2001:db8::5");

  Host host;
  Noting noting;

  Intercepted() {
    host.with_ethernet();
    host.know_peer();
    if (host.stack.intercept(host.eth0, &noting) != Errno::ok) std::abort();
  }
  /// An IP packet from the peer.
  void from_peer(const Bytes& packet) { receive(host.our_mac, packet); }
  void receive(const MacAddress& to, const Bytes& packet) {
    const std::uint16_t type = packet[0] >> 4 == 6 ? wire::kEtherIpv6 : wire::kEtherIpv4;
    host.receive(ethernet(to, host.peer_mac, type, packet));
  }
  std::vector<Sent> take() { return host.take(); }
  /// The only frame that was sent.
  Sent taken() {
    std::vector<Sent> all = take();
    if (all.size() != 1) throw std::runtime_error(std::to_string(all.size()) + " frames, not one");
    return all[0];
  }
  socket::SocketTable& sockets() { return host.stack.sockets(); }

  static wire::TcpHeader syn(std::uint16_t from = 40'000, std::uint32_t sequence = 1000) {
    wire::TcpHeader header;
    header.source_port = from;
    header.destination_port = 80;
    header.sequence = sequence;
    header.flags = wire::kSyn;
    header.window = 60'000;
    header.mss = 1460;
    return header;
  }
  /// A connection to `to` that is accepted and established; `next` is what the peer sends next.
  socket::Socket& established(const IpAddress& to, wire::TcpHeader& next,
                              std::uint16_t from = 40'000) {
    const IpAddress& peer = to.is_v4() ? host.peer4 : host.peer6;
    from_peer(tcp_packet(peer, to, syn(from)));
    const socket::InterceptedSyn request = noting.syns.back();
    noting.syns.clear();
    socket::Socket& socket = **sockets().accept(request, host.now);
    const wire::TcpHeader answer = tcp_of(taken()).value();
    next = syn(from, 1001);
    next.flags = wire::kAck;
    next.mss.reset();
    next.acknowledgment = answer.sequence + 1;
    from_peer(tcp_packet(peer, to, next));
    host.sent.clear();
    return socket;
  }
};

}  // namespace vpollnet::test
