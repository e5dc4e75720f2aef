// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

using namespace std::string_view_literals;

TEST_CASE("a packet to a neighbour waits for ARP and then goes to the MAC that answered") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  CHECK(host.send(socket, host.peer4, 7, {'h', 'i'}) == Errno::ok);
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  REQUIRE(sent[0].arp());
  CHECK(sent[0].ethernet().destination == MacAddress::broadcast());
  CHECK(*sent[0].arp() ==
        wire::ArpPacket{wire::kArpRequest, host.our_mac, host.our4, {}, host.peer4});
  CHECK(host.neighbour_state(host.peer4) == "INCOMPLETE"sv);

  host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                   host.our_mac);
  sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet() == wire::EthernetHeader{host.peer_mac, host.our_mac, wire::kEtherIpv4});
  CHECK(sent[0].ipv4()->header.destination == host.peer4);
  CHECK(host.neighbour_state(host.peer4) == "REACHABLE"sv);

  CHECK(host.send(socket, host.peer4, 7, {'x'}) == Errno::ok);
  CHECK(host.take().size() == 1);  // at once now
}

TEST_CASE("three requests, a second apart, and then the packets that waited have failed") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'a'});
  host.send(socket, host.peer4, 7, {'b'});
  CHECK(host.take().size() == 1);
  host.run_for(kSecond);
  CHECK(host.take().size() == 1);
  host.run_for(kSecond);
  CHECK(host.take().size() == 1);
  CHECK(host.stack.memory_used() > 0);
  host.run_for(kSecond);
  CHECK(host.take().empty());
  CHECK(host.dropped(Drop::neighbour_unresolved) == 2);
  CHECK(host.stack.neighbours().empty());
  CHECK(host.stack.memory_used() == 0);
  CHECK(host.stack.next_deadline() == kNever);
}

TEST_CASE("a TCP connection to a host that does not answer ARP hears of it") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = **host.stack.sockets().open(socket::Type::tcp);
  CHECK(socket.connect({host.peer4, 80}, host.now) == Errno::in_progress);
  host.run_for(4 * kSecond);
  CHECK(host.dropped(Drop::neighbour_unresolved) >= 1);
}

TEST_CASE("[L04] the queue of one neighbour is bounded, and the oldest packet gives way") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  for (std::uint8_t i = 0; i < 20; i++) host.send(socket, host.peer4, 7, {i});
  CHECK(host.dropped(Drop::neighbour_queue_full) == 4);
  host.take();
  host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                   host.our_mac);
  const auto sent = host.take();
  REQUIRE(sent.size() == 16);
  CHECK(sent[0].transport()[wire::kUdpHeader] == 4);
  CHECK(sent[15].transport()[wire::kUdpHeader] == 19);
  CHECK(host.stack.memory_used() == 0);
}

TEST_CASE("[L04] a sweep of the subnet stays within its bounds and spares who is known") {
  Host host;
  host.eth0 = *host.stack.add_interface(host.config("eth0", 1), host.now);
  host.add(host.eth0, "10.0.0.1/16");
  host.run_for(3 * kSecond);
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'x'});
  host.sent.clear();
  for (unsigned i = 0; i < 20'000; i++) {
    host.send(socket,
              IpAddress::v4(10, 0, static_cast<std::uint8_t>(1 + i / 250),
                            static_cast<std::uint8_t>(i % 250)),
              7, {'x'});
  }
  CHECK(host.stack.neighbours().size() <= 257);
  CHECK(host.take().size() <= 130);  // requests
  CHECK(host.stack.memory_used() < (1u << 20));
  CHECK(host.send(socket, host.peer4, 7, {'y'}) == Errno::ok);
  CHECK(host.take().size() == 1);
  host.run_for(20 * kSecond);
  CHECK(host.stack.memory_used() == 0);
}

TEST_CASE("[L02] an ARP request for us is answered and teaches us the sender") {
  Host host;
  host.with_ethernet();
  host.receive_arp({wire::kArpRequest, host.peer_mac, host.peer4, {}, host.our4},
                   MacAddress::broadcast());
  const auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet().destination == host.peer_mac);
  CHECK(*sent[0].arp() ==
        wire::ArpPacket{wire::kArpReply, host.our_mac, host.our4, host.peer_mac, host.peer4});
  CHECK(host.neighbour_state(host.peer4) == "STALE"sv);
}

TEST_CASE("[L02] unsolicited replies, gratuitous ARP and requests for others make no entry") {
  Host host;
  host.with_ethernet();
  host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                   host.our_mac);
  host.receive_arp({wire::kArpRequest, host.peer_mac, host.peer4, {}, host.peer4},
                   MacAddress::broadcast());
  host.receive_arp({wire::kArpRequest, host.peer_mac, host.peer4, {}, ip("10.0.0.9")},
                   MacAddress::broadcast());
  CHECK(host.stack.neighbours().empty());
  CHECK(host.take().empty());
  CHECK(host.dropped(Drop::arp_ignored) == 3);
}

TEST_CASE("[L02] a request from an address that is not on this link makes no entry") {
  Host host;
  host.with_ethernet();
  host.receive_arp({wire::kArpRequest, host.peer_mac, ip("192.0.2.7"), {}, host.our4},
                   MacAddress::broadcast());
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("[L02] no entry points to a multicast, broadcast or zero MAC, or is one of our own") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'x'});
  host.take();
  for (const MacAddress& bad :
       {MacAddress::broadcast(), MacAddress{}, MacAddress{{1, 0, 94, 0, 0, 1}}, mac(1)}) {
    wire::ArpPacket reply{wire::kArpReply, bad, host.peer4, host.our_mac, host.our4};
    host.receive(ethernet(host.our_mac, host.peer_mac, wire::kEtherArp, arp(reply)));
  }
  CHECK(host.neighbour_state(host.peer4) == "INCOMPLETE"sv);
  CHECK(host.take().empty());
  CHECK(host.dropped(Drop::arp_ignored) == 4);
}

TEST_CASE("[L02] a known MAC changes at most once a second, and is verified afterwards") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'x'});
  host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                   host.our_mac);
  host.receive_arp({wire::kArpReply, mac(66), host.peer4, host.our_mac, host.our4}, host.our_mac);
  CHECK(host.neighbour_mac(host.peer4) == host.peer_mac);  // the first answer stands
  host.run_for(2 * kSecond);
  host.receive_arp({wire::kArpRequest, mac(66), host.peer4, {}, host.peer4},
                   MacAddress::broadcast());
  CHECK(host.neighbour_mac(host.peer4) == mac(66));
  CHECK(host.neighbour_state(host.peer4) == "STALE"sv);
}

TEST_CASE("[L02] a flood of requests from made-up senders does not push out who is in use") {
  Host host;
  host.eth0 = *host.stack.add_interface(host.config("eth0", 1), host.now);
  host.add(host.eth0, "10.0.0.1/8");
  host.run_for(3 * kSecond);
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'x'});
  for (unsigned i = 0; i < 5000; i++) {
    const IpAddress sender =
        IpAddress::v4(10, 9, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
    host.receive_arp({wire::kArpRequest, mac(9), sender, {}, host.our4}, host.our_mac);
  }
  CHECK(host.stack.neighbours().size() == 1024);
  CHECK(host.neighbour_mac(IpAddress::v4(10, 9, 4999 >> 8, 4999 & 0xff)) == mac(9));  // the newest
  CHECK(host.neighbour_mac(host.peer4) == host.peer_mac);
}

TEST_CASE("[L03] a conflict is answered with one announcement in ten seconds") {
  Host host;
  host.with_ethernet();
  for (int i = 0; i < 100; i++) {
    host.receive_arp({wire::kArpRequest, mac(66), host.our4, {}, host.our4},
                     MacAddress::broadcast());
  }
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(*sent[0].arp() ==
        wire::ArpPacket{wire::kArpRequest, host.our_mac, host.our4, {}, host.our4});
  CHECK(host.dropped(Drop::arp_ignored) == 100);
  host.run_for(10 * kSecond);
  host.receive_arp({wire::kArpReply, mac(66), host.our4, host.our_mac, host.our4}, host.our_mac);
  CHECK(host.take().size() == 1);
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("an address is announced twice, two seconds apart, and an ARP probe for it is answered") {
  Host host;
  host.eth0 = *host.stack.add_interface(host.config("eth0", 1), host.now);
  host.add(host.eth0, "10.0.0.1/24");
  host.settle();
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].arp()->sender == host.our4);
  CHECK(sent[0].arp()->target == host.our4);
  host.run_for(2 * kSecond - 1);
  CHECK(host.take().empty());
  host.run_for(1);
  CHECK(host.take().size() == 1);
  host.run_for(60 * kSecond);
  CHECK(host.take().empty());

  host.receive_arp({wire::kArpRequest, host.peer_mac, ip("0.0.0.0"), {}, host.our4},
                   MacAddress::broadcast());
  sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].arp()->operation == wire::kArpReply);
  CHECK(host.stack.neighbours().empty());
}

TEST_CASE("[L01] short frames and ARP of other kinds are counted and dropped") {
  Host host;
  host.with_ethernet();
  host.receive(Bytes(13));
  host.receive({});
  CHECK(host.dropped(Drop::ethernet_malformed) == 2);
  const Bytes good = arp({wire::kArpRequest, host.peer_mac, host.peer4, {}, host.our4});
  Bytes cut = good;
  cut.pop_back();
  host.receive(ethernet(host.our_mac, host.peer_mac, wire::kEtherArp, cut));
  for (const std::size_t at : {0u, 2u, 4u, 5u, 6u}) {
    Bytes bad = good;
    bad[at] ^= 0x40;
    host.receive(ethernet(host.our_mac, host.peer_mac, wire::kEtherArp, bad));
  }
  CHECK(host.dropped(Drop::arp_malformed) == 6);
  host.receive(ethernet(host.our_mac, host.peer_mac, 0x1234, good));
  CHECK(host.dropped(Drop::ethernet_unknown_type) == 1);
  host.receive(ethernet(mac(77), host.peer_mac, wire::kEtherArp, good));
  CHECK(host.dropped(Drop::ethernet_not_for_us) == 1);
  CHECK(host.take().empty());
}

TEST_CASE("a neighbour that is in use is probed by unicast when its time is over") {
  Host host;
  host.with_ethernet();
  socket::Socket& socket = host.udp_socket();
  host.send(socket, host.peer4, 7, {'x'});
  host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                   host.our_mac);
  host.take();
  host.run_for(46 * kSecond);  // REACHABLE_TIME is at most 45 s
  CHECK(host.take().empty());  // nobody is probed for nothing
  host.send(socket, host.peer4, 7, {'y'});
  CHECK(host.neighbour_state(host.peer4) == "DELAY"sv);
  CHECK(host.take().size() == 1);
  host.run_for(5 * kSecond);
  CHECK(host.neighbour_state(host.peer4) == "PROBE"sv);
  auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet().destination == host.peer_mac);
  CHECK(sent[0].arp()->operation == wire::kArpRequest);

  SUBCASE("an answer makes it reachable") {
    host.receive_arp({wire::kArpReply, host.peer_mac, host.peer4, host.our_mac, host.our4},
                     host.our_mac);
    CHECK(host.neighbour_state(host.peer4) == "REACHABLE"sv);
    host.run_for(10 * kSecond);
    CHECK(host.take().empty());
  }
  SUBCASE("three probes without one end it") {
    host.run_for(3 * kSecond);
    CHECK(host.take().size() == 2);
    CHECK(host.stack.neighbours().empty());
  }
}

TEST_CASE("a link that goes down forgets its neighbours and drops what is sent over it") {
  Host host;
  host.with_ethernet();
  host.know_peer();
  socket::Socket& socket = host.udp_socket();
  CHECK(host.stack.set_up(host.eth0, false, host.now) == Errno::ok);
  CHECK(host.stack.neighbours().empty());
  CHECK(host.send(socket, host.peer4, 7, {'x'}) != Errno::ok);
  host.receive_arp({wire::kArpRequest, host.peer_mac, host.peer4, {}, host.our4}, host.our_mac);
  CHECK(host.take().empty());
  CHECK(host.dropped(Drop::interface_down) == 1);
  host.stack.set_up(host.eth0, true, host.now);
  host.settle();
  CHECK(host.take().size() == 1);  // announced again
  CHECK(host.send(socket, host.peer4, 7, {'x'}) == Errno::ok);
}

}  // namespace
}  // namespace vpollnet::test
