// SPDX-License-Identifier: MIT
// One stack with all its wires in the test's hands, in virtual time.
//
//     peer 02::02, 10.0.0.2, fd00::2  --- eth0 ---  02::01, 10.0.0.1/24, fd00::1/64  host
#pragma once

#include <algorithm>
#include <string>

#include "stack.hpp"
#include "test/stack/support/frames.hpp"

namespace vpollnet::test {

/// A frame that the stack sent, and what its packet said of it.
struct Sent {
  InterfaceId interface = kAnyInterface;
  Bytes bytes;
  std::uint16_t gso_size = 0;
  ChecksumState checksum = ChecksumState::unverified;

  wire::EthernetHeader ethernet() const { return wire::parse_ethernet(bytes).value(); }
  /// What is behind the Ethernet header.
  Bytes payload() const { return {bytes.begin() + wire::kEthernetHeader, bytes.end()}; }
  std::optional<wire::ArpPacket> arp() const {
    if (ethernet().type != wire::kEtherArp) return std::nullopt;
    return wire::parse_arp(payload());
  }
  std::optional<wire::ParsedIpv4> ipv4() const {
    if (ethernet().type != wire::kEtherIpv4) return std::nullopt;
    return wire::parse_ipv4(payload(), payload().size());
  }
  std::optional<wire::Ipv6Header> ipv6() const {
    if (ethernet().type != wire::kEtherIpv6) return std::nullopt;
    return wire::parse_ipv6(payload(), payload().size());
  }
  /// What is behind the IP header.
  Bytes transport() const {
    const Bytes packet = payload();
    const std::size_t header = ipv6() ? wire::kIpv6Header : ipv4().value().length;
    return {packet.begin() + static_cast<std::ptrdiff_t>(header), packet.end()};
  }
  /// The ICMP or ICMPv6 header, if it is one and its checksum is right.
  std::optional<wire::IcmpHeader> icmp() const {
    const Bytes message = transport();
    if (const auto v6 = ipv6()) {
      if (v6->next_header != 58) return std::nullopt;
      wire::Checksum sum = wire::pseudo_header(v6->source, v6->destination, 58,
                                               static_cast<std::uint32_t>(message.size()));
      sum.add(message);
      if (sum.folded() != 0xffff) return std::nullopt;
    } else if (ipv4()->header.protocol != 1 || wire::checksum_of(message) != 0) {
      return std::nullopt;
    }
    return wire::parse_icmpv4(message);
  }
  std::optional<wire::NeighbourSolicitation> solicitation() const {
    const auto v6 = ipv6();
    if (!v6 || !icmp()) return std::nullopt;
    return wire::parse_neighbour_solicitation(transport(),
                                              {v6->source, v6->destination, v6->hop_limit});
  }
  std::optional<wire::NeighbourAdvertisement> advertisement() const {
    const auto v6 = ipv6();
    if (!v6 || !icmp()) return std::nullopt;
    return wire::parse_neighbour_advertisement(transport(),
                                               {v6->source, v6->destination, v6->hop_limit});
  }
};

class Host final : public FrameSink {
 public:
  const MacAddress our_mac = mac(1);
  const MacAddress peer_mac = mac(2);
  const IpAddress our4 = ip("10.0.0.1");
  const IpAddress peer4 = ip("10.0.0.2");
  const IpAddress our6 = ip("fd00::1");
  const IpAddress peer6 = ip("fd00::2");

  BlockPool pool;
  std::vector<Sent> sent;
  Nanos now = 100 * kSecond;
  Stack stack{{.secret = {1, 2}}, pool, *this};
  InterfaceId eth0 = kAnyInterface;

  /// A host without an interface but loopback; see with_ethernet().
  Host() = default;

  void transmit(InterfaceId interface, Packet&& frame) override {
    Bytes bytes(frame.size());
    frame.copy_out(0, bytes);
    sent.push_back({interface, std::move(bytes), frame.gso_size, frame.checksum});
  }

  InterfaceConfig config(const std::string& name, std::uint8_t last_mac_byte) const {
    return {
        .name = name, .mac = mac(last_mac_byte), .offloads = {}, .ipv6 = false, .dad_transmits = 0};
  }
  /// Adds eth0 with the addresses of the drawing, used at once, and forgets the announcements.
  void with_ethernet() { with_ethernet(config("eth0", 1)); }
  void with_ethernet(const InterfaceConfig& settings) {
    eth0 = *stack.add_interface(settings, now);
    add(eth0, "10.0.0.1/24");
    if (settings.mtu >= 1280) add(eth0, "fd00::1/64");
    run_for(3 * kSecond);
    sent.clear();
  }
  Errno add(InterfaceId id, std::string_view address) {
    return stack.add_address(id, cidr(address), now);
  }

  void receive(const Bytes& frame) { receive(eth0, frame); }
  void receive(InterfaceId id, const Bytes& frame) {
    stack.receive(id, packet_of(frame, pool), now);
  }
  /// From the peer's MAC to ours.
  void receive_ipv4(const Bytes& packet) {
    receive(ethernet(our_mac, peer_mac, wire::kEtherIpv4, packet));
  }
  void receive_ipv6(const Bytes& packet) {
    receive(ethernet(our_mac, peer_mac, wire::kEtherIpv6, packet));
  }
  void receive_arp(const wire::ArpPacket& packet, const MacAddress& to) {
    receive(ethernet(to, packet.sender_mac, wire::kEtherArp, arp(packet)));
  }
  /// The peer answers: both of its addresses are known and reachable afterwards.
  void know_peer() {
    receive_arp({wire::kArpRequest, peer_mac, peer4, {}, our4}, our_mac);
    receive_ipv6(ndp(peer6, our6, wire::NeighbourSolicitation{our6, peer_mac, std::nullopt}));
    sent.clear();
  }

  /// Runs all timers in their order up to `span` from now.
  void run_for(Nanos span) {
    const Nanos end = now + span;
    for (int step = 0; step < 100'000; step++) {
      const Nanos next = stack.next_deadline();
      if (next > end) break;
      now = std::max(now, next);
      stack.advance(now);
    }
    now = end;
  }
  /// Runs what is due now: the loopback queue above all.
  void settle() { run_for(0); }

  std::vector<Sent> take() { return std::exchange(sent, {}); }
  std::uint64_t dropped(Drop reason) const { return stack.counters().dropped(reason); }
  std::uint64_t dropped() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : stack.counters().drops) sum += count;
    return sum;
  }

  /// A UDP socket bound to `port` of all addresses, 0 for any.
  socket::Socket& udp_socket(std::uint16_t port = 0) {
    socket::Socket& made = **stack.sockets().open(socket::Type::udp);
    made.bind({{}, port}, now);
    return made;
  }
  Errno send(socket::Socket& from, const IpAddress& to, std::uint16_t port, const Bytes& payload) {
    const auto result = from.send_to(payload, {to, port}, 0, now);
    return result ? Errno::ok : result.error();
  }

  const char* neighbour_state(const IpAddress& address) const {
    for (const NeighbourInfo& entry : stack.neighbours()) {
      if (entry.address == address) return entry.state;
    }
    return "";
  }
  std::optional<MacAddress> neighbour_mac(const IpAddress& address) const {
    for (const NeighbourInfo& entry : stack.neighbours()) {
      if (entry.address == address) return entry.mac;
    }
    return std::nullopt;
  }
  std::optional<AddressState> address_state(const IpAddress& address) const {
    for (const AddressInfo& own : stack.addresses()) {
      if (own.address.address == address) return own.state;
    }
    return std::nullopt;
  }
};

}  // namespace vpollnet::test
