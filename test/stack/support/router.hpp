// SPDX-License-Identifier: MIT
// A stack between two links, with all its wires in the test's hands, in virtual time.
//
//   inner 02::12            lan 02::01        wan 02::03            outer 02::22
//   10.1.0.2, fd01::2  ---  10.1.0.1, fd01::1 | 10.2.0.1, fd02::1  ---  10.2.0.2, fd02::2
//
// Behind outer is the rest of the world: the default routes lead there.
#pragma once

#include "test/stack/support/host.hpp"

namespace vpollnet::test {

struct RouterLinks {
  std::uint32_t lan_mtu = 1500;
  std::uint32_t wan_mtu = 1500;
  Offloads lan_offloads{};
  Offloads wan_offloads{};
};

class Router {
 public:
  const IpAddress inner4 = ip("10.1.0.2");
  const IpAddress inner6 = ip("fd01::2");
  const IpAddress lan4 = ip("10.1.0.1");
  const IpAddress lan6 = ip("fd01::1");
  const IpAddress wan4 = ip("10.2.0.1");
  const IpAddress wan6 = ip("fd02::1");
  const IpAddress outer4 = ip("10.2.0.2");
  const IpAddress outer6 = ip("fd02::2");
  const IpAddress world4 = ip("198.51.100.7");
  const IpAddress world6 = ip("2001:db8::7");

  Host host;
  InterfaceId lan = kAnyInterface;
  InterfaceId wan = kAnyInterface;

  explicit Router(const RouterLinks& links = {}) {
    InterfaceConfig config = host.config("lan", 0x01);
    config.mtu = links.lan_mtu;
    config.offloads = links.lan_offloads;
    lan = *host.stack.add_interface(config, host.now);
    config = host.config("wan", 0x03);
    config.mtu = links.wan_mtu;
    config.offloads = links.wan_offloads;
    wan = *host.stack.add_interface(config, host.now);
    host.add(lan, "10.1.0.1/24");
    host.add(wan, "10.2.0.1/24");
    host.stack.add_route({.destination = cidr("0.0.0.0/0"), .gateway = outer4});
    if (links.lan_mtu >= 1280) host.add(lan, "fd01::1/64");
    if (links.wan_mtu >= 1280) {
      host.add(wan, "fd02::1/64");
      host.stack.add_route({.destination = cidr("::/0"), .gateway = outer6});
    }
    host.run_for(3 * kSecond);
    know_peers();
  }
  /// Both peers answer: their addresses are known and reachable afterwards.
  void know_peers() {
    know(lan, 0x01, 0x12, inner4, lan4, inner6, lan6);
    know(wan, 0x03, 0x22, outer4, wan4, outer6, wan6);
    host.sent.clear();
  }

  ForwardingConfig on() const { return {.enabled = true, .interfaces = {}}; }
  void forward() { forward(on()); }
  void forward(const ForwardingConfig& config) {
    if (host.stack.set_forwarding(config) != Errno::ok) std::abort();
  }

  /// An IP packet from the peer's MAC to ours.
  void from_lan(const Bytes& packet) { receive(lan, mac(0x01), mac(0x12), packet); }
  void from_wan(const Bytes& packet) { receive(wan, mac(0x03), mac(0x22), packet); }
  void receive(InterfaceId over, const MacAddress& to, const MacAddress& from,
               const Bytes& packet) {
    const std::uint16_t type = packet[0] >> 4 == 6 ? wire::kEtherIpv6 : wire::kEtherIpv4;
    host.receive(over, ethernet(to, from, type, packet));
  }
  std::vector<Sent> take() { return host.take(); }

 private:
  void know(InterfaceId over, std::uint8_t ours, std::uint8_t theirs, const IpAddress& peer4,
            const IpAddress& our4, const IpAddress& peer6, const IpAddress& our6) {
    const Bytes request = arp({wire::kArpRequest, mac(theirs), peer4, {}, our4});
    host.receive(over, ethernet(mac(ours), mac(theirs), wire::kEtherArp, request));
    receive(over, mac(ours), mac(theirs),
            ndp(peer6, our6, wire::NeighbourSolicitation{our6, mac(theirs), std::nullopt}));
  }
};

/// A UDP datagram in its IP packet.
inline Bytes udp_packet(const IpAddress& from, std::uint16_t from_port, const IpAddress& to,
                        std::uint16_t to_port, const Bytes& payload = {1, 2, 3},
                        std::uint8_t hop_limit = 64) {
  const Bytes datagram = udp(from, to, from_port, to_port, payload);
  if (from.is_v4()) {
    return ipv4({.identification = 7,
                 .hop_limit = hop_limit,
                 .protocol = 17,
                 .source = from,
                 .destination = to},
                datagram);
  }
  return ipv6({.next_header = 17, .hop_limit = hop_limit, .source = from, .destination = to},
              datagram);
}

/// A TCP segment in its IP packet.
inline Bytes tcp_packet(const IpAddress& from, std::uint16_t from_port, const IpAddress& to,
                        std::uint16_t to_port, std::uint8_t flags, std::uint32_t sequence = 1000,
                        std::uint32_t acknowledgment = 0, const Bytes& payload = {}) {
  wire::TcpHeader header;
  header.source_port = from_port;
  header.destination_port = to_port;
  header.sequence = sequence;
  header.acknowledgment = acknowledgment;
  header.flags = flags;
  Bytes segment(wire::kTcpHeaderMin);
  wire::emit_tcp(header, segment);
  segment = segment + payload;
  fill_checksum(segment, wire::kTcpChecksumOffset, from, to, 6);
  if (from.is_v4()) return ipv4({.protocol = 6, .source = from, .destination = to}, segment);
  return ipv6({.next_header = 6, .source = from, .destination = to}, segment);
}

/// An echo request or reply in its IP packet.
inline Bytes echo_packet(const IpAddress& from, const IpAddress& to, bool request,
                         std::uint16_t identifier) {
  const Bytes data = pattern(16);
  if (from.is_v4()) {
    const std::uint8_t type =
        request ? std::uint8_t{wire::kIcmpv4EchoRequest} : std::uint8_t{wire::kIcmpv4EchoReply};
    return ipv4({.protocol = 1, .source = from, .destination = to},
                icmpv4(wire::IcmpHeader::echo(type, identifier, 1), data));
  }
  const std::uint8_t type =
      request ? std::uint8_t{wire::kIcmpv6EchoRequest} : std::uint8_t{wire::kIcmpv6EchoReply};
  return ipv6({.next_header = 58, .source = from, .destination = to},
              icmpv6(from, to, wire::IcmpHeader::echo(type, identifier, 1), data));
}

/// The ends of a packet that was sent, checksums verified. Family::none in `source` if they are
/// wrong.
struct Ends {
  IpAddress source;
  std::uint16_t source_port = 0;
  IpAddress destination;
  std::uint16_t destination_port = 0;
  bool operator==(const Ends&) const = default;
};

/// `bytes` begins with an IP header. Of echo messages both ports are the identifier.
inline Ends ends_of(const Bytes& bytes) {
  Ends ends;
  std::uint8_t protocol = 0;
  std::size_t header = wire::kIpv6Header;
  if (const auto v4 = wire::parse_ipv4(bytes, bytes.size())) {
    if (!v4->checksum_ok) return {};
    ends.source = v4->header.source;
    ends.destination = v4->header.destination;
    protocol = v4->header.protocol;
    header = v4->length;
  } else {
    const auto v6 = wire::parse_ipv6(bytes, bytes.size());
    if (!v6) return {};
    ends.source = v6->source;
    ends.destination = v6->destination;
    protocol = v6->next_header;
  }
  const Bytes transport(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  wire::Checksum sum;
  if (protocol != 1) {
    sum = wire::pseudo_header(ends.source, ends.destination, protocol,
                              static_cast<std::uint32_t>(transport.size()));
  }
  sum.add(transport);
  if (sum.folded() != 0xffff) return {};
  if (protocol == 1 || protocol == 58) {
    ends.source_port = ends.destination_port = wire::load16(&transport[4]);
  } else {
    ends.source_port = wire::load16(&transport[0]);
    ends.destination_port = wire::load16(&transport[2]);
  }
  return ends;
}

}  // namespace vpollnet::test
