// SPDX-License-Identifier: MIT
// Multicast groups that sockets join (RFC 1112, RFC 3376 3, RFC 3810 3), and datagrams from nobody.
#include <doctest/doctest.h>

#include "ip/groups.hpp"
#include "socket/datagram_socket.hpp"
#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

constexpr std::uint16_t kPort = 5353;
constexpr InterfaceId kLo = 1;  // of each stack

struct Listener {
  Host host;
  socket::Socket* socket = nullptr;

  Listener() {
    host.with_ethernet();
    socket = &host.udp_socket(kPort);
  }
  Errno join(socket::Socket& who, std::string_view group, InterfaceId on = kAnyInterface) {
    return who.set_membership(ip(group), on, true, host.now);
  }
  Errno leave(socket::Socket& who, std::string_view group, InterfaceId on = kAnyInterface) {
    return who.set_membership(ip(group), on, false, host.now);
  }
  Errno join_source(socket::Socket& who, std::string_view group, std::string_view source,
                    InterfaceId on = kAnyInterface) {
    return who.set_source_membership(ip(group), ip(source), on, true, host.now);
  }
  Errno leave_source(socket::Socket& who, std::string_view group, std::string_view source,
                     InterfaceId on = kAnyInterface) {
    return who.set_source_membership(ip(group), ip(source), on, false, host.now);
  }
  void datagram_to(std::string_view group) {
    datagram_from(ip(group).is_v4() ? host.peer4 : host.peer6, group);
  }
  void datagram_from(const IpAddress& source, std::string_view group) {
    const IpAddress to = ip(group);
    const Bytes payload{1, 2, 3};
    if (to.is_v4()) {
      const Bytes packet = ipv4({.protocol = 17, .source = source, .destination = to},
                                udp(source, to, 9, kPort, payload));
      host.receive(ethernet(to.multicast_mac(), host.peer_mac, wire::kEtherIpv4, packet));
    } else {
      const Bytes packet = ipv6({.next_header = 17, .source = source, .destination = to},
                                udp(source, to, 9, kPort, payload));
      host.receive(ethernet(to.multicast_mac(), host.peer_mac, wire::kEtherIpv6, packet));
    }
  }
  bool heard(socket::Socket& who) {
    std::array<std::uint8_t, 16> buffer;
    return bool(who.receive(buffer, 0, host.now));
  }
};

TEST_CASE("a member hears its groups of both families until it leaves, nobody else does") {
  Listener on;
  for (const auto* group : {"239.1.2.3", "224.0.0.251", "ff02::fb", "ff05::1:3"}) {
    CAPTURE(group);
    on.datagram_to(group);
    CHECK_FALSE(on.heard(*on.socket));
    REQUIRE(on.join(*on.socket, group) == Errno::ok);
    on.datagram_to(group);
    CHECK(on.heard(*on.socket));
    REQUIRE(on.leave(*on.socket, group) == Errno::ok);
    on.datagram_to(group);
    CHECK_FALSE(on.heard(*on.socket));
  }
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 4);
  CHECK(on.host.dropped(Drop::ipv6_not_for_us) == 4);
}

TEST_CASE(
    "each of several members hears; a socket that did not join does not, though the host does") {
  Listener on;
  const auto open = [&]() -> socket::Socket& {
    socket::Socket& made = **on.host.stack.sockets().open(socket::Type::udp);
    made.set_option(socket::Option::reuse_address, 1, on.host.now);
    REQUIRE(made.bind({{}, 7000}, on.host.now) == Errno::ok);
    return made;
  };
  socket::Socket& first = open();
  socket::Socket& second = open();
  socket::Socket& stranger = open();
  REQUIRE(on.join(first, "239.1.1.1") == Errno::ok);
  REQUIRE(on.join(second, "239.1.1.1") == Errno::ok);
  const IpAddress to = ip("239.1.1.1");
  const Bytes frame = ethernet(to.multicast_mac(), on.host.peer_mac, wire::kEtherIpv4,
                               ipv4({.protocol = 17, .source = on.host.peer4, .destination = to},
                                    udp(on.host.peer4, to, 9, 7000, {1})));
  on.host.receive(frame);
  CHECK(on.heard(first));
  CHECK(on.heard(second));
  CHECK_FALSE(on.heard(stranger));
  // The close of a member leaves; the other still hears.
  first.close(on.host.now);
  on.host.receive(frame);
  CHECK(on.heard(second));
  second.close(on.host.now);
  on.host.receive(frame);
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 1);
}

TEST_CASE("a membership is of one interface") {
  Listener on;
  const InterfaceId eth1 = *on.host.stack.add_interface(on.host.config("eth1", 5), on.host.now);
  on.host.add(eth1, "10.1.0.1/24");
  REQUIRE(on.join(*on.socket, "239.1.2.3", eth1) == Errno::ok);
  on.datagram_to("239.1.2.3");
  CHECK_FALSE(on.heard(*on.socket));
  // Though the host listens there, for another socket.
  socket::Socket& other = on.host.udp_socket();
  REQUIRE(on.join(other, "239.1.2.3", on.host.eth0) == Errno::ok);
  on.datagram_to("239.1.2.3");
  CHECK_FALSE(on.heard(*on.socket));
  REQUIRE(on.join(*on.socket, "239.1.2.3", on.host.eth0) == Errno::ok);
  on.datagram_to("239.1.2.3");
  CHECK(on.heard(*on.socket));
  CHECK(on.leave(*on.socket, "239.1.2.3", on.host.eth0) == Errno::ok);
  CHECK(on.leave(*on.socket, "239.1.2.3", on.host.eth0) == Errno::address_not_available);
  // A membership does not outlive its interface.
  CHECK(on.host.stack.remove_interface(eth1, on.host.now) == Errno::ok);
  CHECK(on.leave(*on.socket, "239.1.2.3", eth1) == Errno::ok);
}

TEST_CASE("what cannot be joined is refused, and there is a limit to what can") {
  Listener on;
  CHECK(on.join(*on.socket, "10.0.0.2") == Errno::invalid);
  CHECK(on.join(*on.socket, "fd00::2") == Errno::invalid);
  CHECK(on.join(*on.socket, "239.1.2.3", 99) == Errno::no_such_device);
  CHECK(on.leave(*on.socket, "239.1.2.3") == Errno::address_not_available);
  REQUIRE(on.join(*on.socket, "239.1.2.3") == Errno::ok);
  CHECK(on.join(*on.socket, "239.1.2.3") == Errno::address_in_use);
  socket::Socket& stream = **on.host.stack.sockets().open(socket::Type::tcp);
  CHECK(on.join(stream, "239.1.2.3") == Errno::not_supported);
  // 64 a socket, 1024 a stack.
  std::size_t joined = 1;
  for (int round = 0; round < 20; round++) {
    socket::Socket& socket = **on.host.stack.sockets().open(socket::Type::udp);
    for (int i = 0; i < 65; i++) {
      const std::string group = "239.2." + std::to_string(round) + "." + std::to_string(i);
      joined += on.join(socket, group) == Errno::ok;
    }
  }
  CHECK(joined == ip::Groups::kMax);
}

TEST_CASE("RFC 1112 6.1: what we send to a group comes to our own members too, and goes out once") {
  Listener on;
  REQUIRE(on.join(*on.socket, "239.1.2.3") == Errno::ok);
  socket::Socket& sender = on.host.udp_socket();
  on.host.run_for(3 * kSecond);
  on.host.sent.clear();
  REQUIRE(on.host.send(sender, ip("239.1.2.3"), kPort, {7}) == Errno::ok);
  CHECK(on.host.take().size() == 1);
  on.host.settle();
  CHECK(on.heard(*on.socket));
  CHECK_FALSE(on.heard(*on.socket));
}

TEST_CASE("[I04] only UDP to the limited broadcast address may come from 0.0.0.0 (RFC 2131 4.1)") {
  Host host;
  host.with_ethernet();
  socket::Socket& server = host.udp_socket(67);
  const IpAddress nobody = ip("0.0.0.0");
  const auto receive = [&](std::string_view destination, std::uint8_t protocol, bool fragment) {
    const IpAddress to = ip(destination);
    wire::Ipv4Header header{.protocol = protocol, .source = nobody, .destination = to};
    header.more_fragments = fragment;
    const Bytes packet = ipv4(header, udp(nobody, to, 68, 67, Bytes(8)));
    const MacAddress mac = to.is_limited_broadcast() || to == ip("10.0.0.255")
                               ? MacAddress::broadcast()
                           : to.is_multicast() ? to.multicast_mac()
                                               : host.our_mac;
    host.receive(ethernet(mac, host.peer_mac, wire::kEtherIpv4, packet));
  };
  for (const auto* to : {"10.0.0.1", "10.0.0.255", "224.0.0.1"}) receive(to, 17, false);
  for (const std::uint8_t protocol : {1, 2, 6}) receive("255.255.255.255", protocol, false);
  receive("255.255.255.255", 17, true);
  CHECK(host.dropped(Drop::ipv4_bad_address) == 7);
  std::array<std::uint8_t, 16> buffer;
  CHECK_FALSE(server.receive(buffer, 0, host.now));
  receive("255.255.255.255", 17, false);
  const auto received = server.receive(buffer, 0, host.now);
  REQUIRE(received);
  CHECK(received->from == Endpoint{nobody, 68});
  // Nobody listens: no error goes to nobody.
  server.close(host.now);
  receive("255.255.255.255", 17, false);
  CHECK(host.take().empty());
}

TEST_CASE("a broadcast leaves by the interface that the socket is bound to, with its address") {
  Host host;
  host.with_ethernet();
  const InterfaceId eth1 = *host.stack.add_interface(host.config("eth1", 5), host.now);
  host.add(eth1, "10.1.0.1/24");
  host.run_for(3 * kSecond);
  host.sent.clear();
  socket::Socket& server = **host.stack.sockets().open(socket::Type::udp);
  server.set_option(socket::Option::bind_interface, eth1, host.now);
  server.set_option(socket::Option::broadcast, 1, host.now);
  REQUIRE(server.bind({IpAddress::any(Family::ipv4), 67}, host.now) == Errno::ok);
  REQUIRE(host.send(server, IpAddress::broadcast(), 68, {1}) == Errno::ok);
  const auto sent = host.take();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].interface == eth1);
  CHECK(sent[0].ethernet().destination == MacAddress::broadcast());
  CHECK(sent[0].ipv4()->header.source == ip("10.1.0.1"));
}

TEST_CASE(
    "RFC 1112 6.1: a sender can keep what it sends to a group from the members of its own host") {
  Listener on;
  socket::Socket& sender = on.host.udp_socket();
  CHECK(*sender.option(socket::Option::multicast_loop) == 1);
  for (const auto* group : {"239.1.2.3", "ff05::1:3"}) {
    CAPTURE(group);
    REQUIRE(on.join(*on.socket, group) == Errno::ok);
    on.host.run_for(kSecond);
    on.host.sent.clear();
    REQUIRE(sender.set_option(socket::Option::multicast_loop, 0, on.host.now) == Errno::ok);
    REQUIRE(on.host.send(sender, ip(group), kPort, {1}) == Errno::ok);
    on.host.settle();
    CHECK_FALSE(on.heard(*on.socket));
    CHECK(on.host.take().size() == 1);
    REQUIRE(sender.set_option(socket::Option::multicast_loop, 1, on.host.now) == Errno::ok);
    REQUIRE(on.host.send(sender, ip(group), kPort, {1}) == Errno::ok);
    on.host.settle();
    CHECK(on.heard(*on.socket));
    CHECK(on.host.take().size() == 1);
  }
}

TEST_CASE("what is sent to a group leaves by the interface that the sender has chosen for groups") {
  Host host;
  host.with_ethernet();
  const InterfaceId eth1 = *host.stack.add_interface(host.config("eth1", 5), host.now);
  host.add(eth1, "10.1.0.1/24");
  host.run_for(3 * kSecond);
  host.sent.clear();
  socket::Socket& sender = host.udp_socket();
  const auto leaves_by = [&](std::string_view to) {
    REQUIRE(host.send(sender, ip(to), 9, {1}) == Errno::ok);
    const auto sent = host.take();
    REQUIRE(sent.size() == 1);
    return sent[0].interface;
  };
  CHECK(leaves_by("239.1.2.3") == host.eth0);
  REQUIRE(sender.set_option(socket::Option::multicast_interface, eth1, host.now) == Errno::ok);
  CHECK(*sender.option(socket::Option::multicast_interface) == eth1);
  CHECK(leaves_by("239.1.2.3") == eth1);
  // Of what goes to one host it says nothing.
  REQUIRE(host.send(sender, host.peer4, 9, {1}) == Errno::ok);
  CHECK(host.take().at(0).interface == host.eth0);
  REQUIRE(sender.set_option(socket::Option::multicast_interface, 0, host.now) == Errno::ok);
  CHECK(leaves_by("239.1.2.3") == host.eth0);
  REQUIRE(sender.set_option(socket::Option::multicast_interface, 99, host.now) == Errno::ok);
  CHECK(host.send(sender, ip("239.1.2.3"), 9, {1}) == Errno::no_such_device);
}

TEST_CASE("a group on the loopback interface is heard by its members there, and sends no frame") {
  Listener on;
  socket::Socket& sender = on.host.udp_socket();
  sender.set_option(socket::Option::multicast_interface, kLo, on.host.now);
  for (const auto* group : {"239.1.2.3", "ff01::9"}) {
    CAPTURE(group);
    REQUIRE(on.join(*on.socket, group, kLo) == Errno::ok);
    REQUIRE(on.host.send(sender, ip(group), kPort, {1}) == Errno::ok);
    on.host.settle();
    CHECK(on.heard(*on.socket));
    CHECK(on.host.take().empty());
  }
}

TEST_CASE("a member of single sources hears them and nobody else (RFC 3376 3.2, RFC 3810 4.2)") {
  Listener on;
  struct Case {
    const char *group, *first, *second;
  };
  for (const auto& [group, first, second] :
       {Case{"232.1.1.1", "10.0.0.2", "10.0.0.3"}, Case{"ff3e::77", "fd00::2", "fd00::3"}}) {
    CAPTURE(group);
    const auto hears = [&](const char* source) {
      on.datagram_from(ip(source), group);
      return on.heard(*on.socket);
    };
    const std::uint64_t filtered = on.host.dropped(Drop::udp_source_filtered);
    REQUIRE(on.join_source(*on.socket, group, first) == Errno::ok);
    CHECK(hears(first));
    CHECK_FALSE(hears(second));
    CHECK(on.host.dropped(Drop::udp_source_filtered) == filtered + 1);
    REQUIRE(on.join_source(*on.socket, group, second) == Errno::ok);
    CHECK(hears(second));
    REQUIRE(on.leave_source(*on.socket, group, first) == Errno::ok);
    CHECK_FALSE(hears(first));
    CHECK(hears(second));
    // Without its last source it is no member any more.
    REQUIRE(on.leave_source(*on.socket, group, second) == Errno::ok);
    CHECK_FALSE(hears(second));
    CHECK(on.host.dropped(Drop::udp_source_filtered) == filtered + 2);
  }
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 1);
  CHECK(on.host.dropped(Drop::ipv6_not_for_us) == 1);
  CHECK(on.host.dropped(Drop::udp_no_socket) == 0);
}

TEST_CASE("what one socket filters out another one hears, and it is no drop") {
  Listener on;
  const auto open = [&]() -> socket::Socket& {
    socket::Socket& made = **on.host.stack.sockets().open(socket::Type::udp);
    made.set_option(socket::Option::reuse_address, 1, on.host.now);
    REQUIRE(made.bind({{}, kPort}, on.host.now) == Errno::ok);
    return made;
  };
  on.socket->close(on.host.now);
  socket::Socket& first = open();
  socket::Socket& second = open();
  socket::Socket& any = open();
  REQUIRE(on.join_source(first, "232.1.1.1", "10.0.0.2") == Errno::ok);
  REQUIRE(on.join_source(second, "232.1.1.1", "10.0.0.3") == Errno::ok);
  on.datagram_from(ip("10.0.0.2"), "232.1.1.1");
  CHECK(on.heard(first));
  CHECK_FALSE(on.heard(second));
  CHECK(on.host.dropped(Drop::udp_source_filtered) == 0);
  REQUIRE(on.join(any, "232.1.1.1") == Errno::ok);
  on.datagram_from(ip("10.0.0.4"), "232.1.1.1");
  CHECK(on.heard(any));
  CHECK_FALSE(on.heard(first));
  // The close of a member leaves its sources.
  first.close(on.host.now);
  second.close(on.host.now);
  any.close(on.host.now);
  on.datagram_from(ip("10.0.0.2"), "232.1.1.1");
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 1);
}

TEST_CASE("a member of a whole group that names a source hears that source alone") {
  Listener on;
  REQUIRE(on.join(*on.socket, "232.1.1.1") == Errno::ok);
  // What it had not named cannot be dropped, and it hears as before.
  CHECK(on.leave_source(*on.socket, "232.1.1.1", "10.0.0.2") == Errno::address_not_available);
  on.datagram_from(ip("10.0.0.2"), "232.1.1.1");
  CHECK(on.heard(*on.socket));
  REQUIRE(on.join_source(*on.socket, "232.1.1.1", "10.0.0.3") == Errno::ok);
  on.datagram_from(ip("10.0.0.2"), "232.1.1.1");
  CHECK_FALSE(on.heard(*on.socket));
  on.datagram_from(ip("10.0.0.3"), "232.1.1.1");
  CHECK(on.heard(*on.socket));
  // And leaves the group with all sources at once.
  REQUIRE(on.leave(*on.socket, "232.1.1.1") == Errno::ok);
  on.datagram_from(ip("10.0.0.3"), "232.1.1.1");
  CHECK(on.host.dropped(Drop::ipv4_not_for_us) == 1);
}

TEST_CASE("sources are refused as by Linux, and there is a limit to them") {
  Listener on;
  socket::Socket& socket = *on.socket;
  CHECK(on.leave_source(socket, "232.1.1.1", "10.0.0.2") == Errno::invalid);
  CHECK(on.join_source(socket, "10.0.0.1", "10.0.0.2") == Errno::invalid);
  CHECK(on.join_source(socket, "232.1.1.1", "fd00::2") == Errno::invalid);
  CHECK(on.join_source(socket, "232.1.1.1", "10.0.0.2", 99) == Errno::no_such_device);
  REQUIRE(on.join_source(socket, "232.1.1.1", "10.0.0.2") == Errno::ok);
  CHECK(on.join_source(socket, "232.1.1.1", "10.0.0.2") == Errno::address_not_available);
  CHECK(on.leave_source(socket, "232.1.1.1", "10.0.0.3") == Errno::address_not_available);
  CHECK(on.leave_source(socket, "232.1.1.1", "10.0.0.2", kLo) == Errno::invalid);
  CHECK(on.join(socket, "232.1.1.1") == Errno::address_in_use);
  socket::Socket& stream = **on.host.stack.sockets().open(socket::Type::tcp);
  CHECK(on.join_source(stream, "232.1.1.1", "10.0.0.2") == Errno::not_supported);

  // 10 of IPv4 and 64 of IPv6 a membership, 4096 a stack.
  std::size_t joined = 1;
  for (int i = 0; i < 20; i++)
    joined += on.join_source(socket, "232.1.1.1", "10.0.1." + std::to_string(i)) == Errno::ok;
  CHECK(joined == socket::DatagramSocket::kMaxSources4);
  CHECK(on.join_source(socket, "232.1.1.1", "10.0.2.1") == Errno::no_buffers);
  for (int round = 0; round < 70; round++) {
    socket::Socket& other = **on.host.stack.sockets().open(socket::Type::udp);
    std::size_t added = 0;
    const std::string source = "fd00::" + std::to_string(round) + ":";
    for (int i = 0; i < 65; i++)
      added += on.join_source(other, "ff3e::77", source + std::to_string(i)) == Errno::ok;
    if (round < 60) CHECK(added == socket::DatagramSocket::kMaxSources6);
    joined += added;
  }
  CHECK(joined == ip::Groups::kMaxSources);
}

}  // namespace
}  // namespace vpollnet::test
