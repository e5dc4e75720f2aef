// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "ip/addresses.hpp"
#include "ip/path_mtu.hpp"
#include "ip/routes.hpp"
#include "test/stack/support/host.hpp"

namespace vpollnet::test {
namespace {

/// Which interface a datagram to `to` leaves by, and for whom it asks there.
struct Hop {
  InterfaceId interface = kAnyInterface;
  IpAddress next;
  IpAddress source;
};
Hop hop_to(Host& host, std::string_view to) {
  socket::Socket& socket = host.udp_socket();
  host.sent.clear();
  const Errno error = host.send(socket, ip(to), 9, {1});
  socket.close(host.now);
  if (error != Errno::ok || host.sent.empty()) return {};
  const Sent sent = host.take().back();
  if (const auto request = sent.arp()) return {sent.interface, request->target, request->sender};
  if (const auto asked = sent.solicitation()) {
    return {sent.interface, asked->target, sent.ipv6()->source};
  }
  return {};
}

TEST_CASE("loopback is there from the start, and stays") {
  Host host;
  REQUIRE(host.stack.interfaces().size() == 1);
  CHECK(host.stack.interfaces()[0].id == 1);
  CHECK(host.stack.interfaces()[0].config.name == "lo");
  CHECK(host.address_state(ip("127.0.0.1")) == AddressState::preferred);
  CHECK(host.address_state(ip("::1")) == AddressState::preferred);
  CHECK(host.stack.remove_interface(1, 0) == Errno::invalid);
  CHECK(host.stack.next_deadline() == kNever);
}

TEST_CASE("interfaces with a bad MAC, MTU or name are refused") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.mac = MacAddress::broadcast();
  CHECK(host.stack.add_interface(config, 0).error() == Errno::invalid);
  config.mac = {};
  CHECK(host.stack.add_interface(config, 0).error() == Errno::invalid);
  config.mac = mac(1);
  config.mtu = 67;
  CHECK(host.stack.add_interface(config, 0).error() == Errno::invalid);
  config.mtu = 65536;
  CHECK(host.stack.add_interface(config, 0).error() == Errno::invalid);
  config.mtu = 1500;
  CHECK(*host.stack.add_interface(config, 0) == 2);
  CHECK(host.stack.add_interface(config, 0).error() == Errno::exists);
  config.name = "lo";
  CHECK(host.stack.add_interface(config, 0).error() == Errno::exists);
}

TEST_CASE("addresses that cannot be one host's are refused") {
  Host host;
  host.with_ethernet();
  for (const auto* bad : {"224.0.0.1/24", "0.0.0.0/8", "127.0.0.5/8", "10.0.0.255/24", "::/64",
                          "ff02::5/64", "::1/128", "255.255.255.255/32"}) {
    CHECK(host.add(host.eth0, bad) == Errno::invalid);
  }
  CHECK(host.stack.add_address(host.eth0, {ip("10.0.0.9"), 33}, 0) == Errno::invalid);
  CHECK(host.add(host.eth0, "10.0.0.1/24") == Errno::exists);
  CHECK(host.add(99, "10.0.0.9/24") == Errno::no_such_device);
}

TEST_CASE("IPv6 is off on a link that is too narrow for it") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.mtu = 1279;
  config.ipv6 = true;
  host.with_ethernet(config);
  CHECK(host.stack.addresses().size() == 3);
  CHECK(host.add(host.eth0, "fd00::1/64") == Errno::invalid);
}

TEST_CASE("the longest prefix wins, then the lower metric, over several interfaces") {
  Host host;
  host.with_ethernet();
  const InterfaceId eth1 = *host.stack.add_interface(host.config("eth1", 11), host.now);
  host.add(eth1, "10.1.0.1/16");
  host.add(eth1, "fd01::1/64");
  host.run_for(3 * kSecond);
  const auto route = [&](std::string_view to, std::string_view gateway, std::uint32_t metric = 0) {
    return host.stack.add_route({cidr(to), ip(gateway), kAnyInterface, metric});
  };
  CHECK(route("0.0.0.0/0", "10.0.0.254", 10) == Errno::ok);
  CHECK(route("0.0.0.0/0", "10.1.0.254", 5) == Errno::ok);
  CHECK(route("192.0.2.0/24", "10.0.0.7") == Errno::ok);
  CHECK(route("192.0.2.128/25", "10.1.0.7") == Errno::ok);
  CHECK(route("::/0", "fd01::fe") == Errno::ok);

  CHECK(hop_to(host, "10.0.0.9").next == ip("10.0.0.9"));
  CHECK(hop_to(host, "10.1.9.9").interface == eth1);
  CHECK(hop_to(host, "192.0.2.1").next == ip("10.0.0.7"));
  const Hop longer = hop_to(host, "192.0.2.200");
  CHECK(longer.next == ip("10.1.0.7"));
  CHECK(longer.interface == eth1);
  CHECK(longer.source == ip("10.1.0.1"));
  CHECK(hop_to(host, "8.8.8.8").next == ip("10.1.0.254"));
  const Hop six = hop_to(host, "2001:db8::1");
  CHECK(six.next == ip("fd01::fe"));
  CHECK(six.source == ip("fd01::1"));

  // The better route goes with its interface, and comes back with it.
  host.stack.set_up(eth1, false, host.now);
  CHECK(hop_to(host, "8.8.8.8").next == ip("10.0.0.254"));
  host.stack.set_up(eth1, true, host.now);
  host.run_for(5 * kSecond);
  CHECK(hop_to(host, "8.8.8.8").next == ip("10.1.0.254"));
  CHECK(host.stack.remove_interface(eth1, host.now) == Errno::ok);
  CHECK(hop_to(host, "8.8.8.8").next == ip("10.0.0.254"));
  CHECK(hop_to(host, "192.0.2.200").next == ip("10.0.0.7"));
}

TEST_CASE("routes: a gateway has to be on link, a route is added and removed once") {
  Host host;
  host.with_ethernet();
  const RouteConfig far{cidr("0.0.0.0/0"), ip("192.0.2.1"), kAnyInterface, 0};
  CHECK(host.stack.add_route(far) == Errno::network_unreachable);
  const RouteConfig good{cidr("0.0.0.0/0"), ip("10.0.0.254"), kAnyInterface, 0};
  CHECK(host.stack.add_route(good) == Errno::ok);
  CHECK(host.stack.add_route(good) == Errno::exists);
  CHECK(host.stack.add_route({cidr("0.0.0.0/0"), host.our4, kAnyInterface, 0}) == Errno::invalid);
  CHECK(host.stack.add_route({cidr("10.5.0.0/16"), {}, kAnyInterface, 0}) == Errno::invalid);
  CHECK(host.stack.add_route({cidr("10.5.0.0/16"), {}, host.eth0, 0}) == Errno::ok);
  CHECK(host.stack.add_route({cidr("::/0"), ip("10.0.0.254"), kAnyInterface, 0}) == Errno::invalid);
  CHECK(hop_to(host, "8.8.8.8").next == ip("10.0.0.254"));
  CHECK(host.stack.remove_route(good) == Errno::ok);
  CHECK(host.stack.remove_route(good) == Errno::invalid);
  socket::Socket& socket = host.udp_socket();
  CHECK(host.send(socket, ip("8.8.8.8"), 9, {1}) == Errno::network_unreachable);
}

TEST_CASE("a removed address takes its routes along and fails the sockets that are bound to it") {
  Host host;
  host.with_ethernet();
  CHECK(host.stack.add_route({cidr("0.0.0.0/0"), ip("10.0.0.254"), kAnyInterface, 0}) == Errno::ok);
  socket::Socket& socket = **host.stack.sockets().open(socket::Type::udp);
  CHECK(socket.bind({host.our4, 9}, host.now) == Errno::ok);
  CHECK(host.stack.remove_address(host.eth0, host.our4, host.now) == Errno::ok);
  CHECK(static_cast<Errno>(*socket.option(socket::Option::error)) == Errno::network_down);
  for (const RouteConfig& route : host.stack.routes()) {
    CHECK(route.destination.address.is_v6());
  }
  CHECK(host.stack.remove_address(host.eth0, host.our4, host.now) == Errno::address_not_available);
}

TEST_CASE("RFC 6724: the source has the right scope, interface and the longest common prefix") {
  KeyedRandom random({1, 2});
  ip::Addresses addresses(random);
  const auto add = [&](InterfaceId interface, std::string_view text) {
    CHECK(addresses.add(interface, cidr(text), {}, 0) == Errno::ok);
  };
  add(2, "fe80::1/64");
  add(2, "fd00::1/64");
  add(2, "2001:db8:1::1/64");
  add(2, "2001:db8:2::1/64");
  add(3, "2001:db8:3::1/64");
  add(2, "10.0.0.1/24");
  add(2, "192.168.7.1/24");
  const auto source = [&](std::string_view to, InterfaceId interface, std::string_view next_hop) {
    const ip::Address* chosen = ip::select_source(addresses, ip(to), interface, ip(next_hop));
    return chosen == nullptr ? IpAddress() : chosen->cidr.address;
  };
  CHECK(source("fe80::9", 2, "fe80::9") == ip("fe80::1"));  // scope
  CHECK(source("ff02::1", 2, "ff02::1") == ip("fe80::1"));
  CHECK(source("2001:db8:2::9", 2, "2001:db8:2::9") == ip("2001:db8:2::1"));
  CHECK(source("2001:4860::8", 2, "fe80::fe").is_link_local() == false);
  CHECK(source("fd55::5", 2, "fe80::fe") == ip("fd00::1"));              // label
  CHECK(source("2001:db8:2::9", 3, "fe80::fe") == ip("2001:db8:3::1"));  // interface first
  CHECK(source("8.8.8.8", 2, "192.168.7.254") == ip("192.168.7.1"));     // of the gateway's net
  CHECK(source("8.8.8.8", 2, "10.0.0.254") == ip("10.0.0.1"));
  CHECK(source("fe80::9", 3, "fe80::9") != ip("fe80::1"));  // that is another link's
  addresses.mark_duplicated(*addresses.find_on(2, ip("fd00::1")));
  CHECK(source("fd55::5", 2, "fe80::fe") != ip("fd00::1"));
}

TEST_CASE("the table of routes is bounded") {
  ip::Routes routes;
  Errno error = Errno::ok;
  for (unsigned i = 0; i < ip::Routes::kMax; i++) {
    error = routes.add({.destination = {IpAddress::v4(10, static_cast<std::uint8_t>(i >> 8),
                                                      static_cast<std::uint8_t>(i), 0),
                                        24},
                        .gateway = {},
                        .interface = 2});
    CHECK(error == Errno::ok);
  }
  CHECK(routes.add({.destination = cidr("0.0.0.0/0"), .gateway = {}, .interface = 2}) ==
        Errno::no_buffers);
}

TEST_CASE("[C02] [V11] the path MTU cache has floors, a lifetime and a bound") {
  ip::PathMtu cache({1, 2});
  CHECK(cache.find(ip("10.0.0.1"), 2) == UINT32_MAX);
  CHECK(cache.learn(ip("10.0.0.1"), 2, 1000, 0));
  CHECK_FALSE(cache.learn(ip("10.0.0.1"), 2, 1200, 0));
  CHECK(cache.find(ip("10.0.0.1"), 3) == 1000);
  CHECK(cache.learn(ip("10.0.0.1"), 2, 0, 0));
  CHECK(cache.find(ip("10.0.0.1"), 2) == 552);
  CHECK(cache.learn(ip("fd00::1"), 2, 576, kSecond));
  CHECK(cache.find(ip("fd00::1"), 2) == 1280);
  CHECK(cache.next_deadline() == 600 * kSecond);
  CHECK(cache.advance(600 * kSecond));
  CHECK(cache.find(ip("10.0.0.1"), 2) == UINT32_MAX);
  CHECK(cache.find(ip("fd00::1"), 2) == 1280);
  for (unsigned i = 0; i < 5000; i++) {
    cache.learn(
        IpAddress::v4(10, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)), 2,
        1000, kSecond);
  }
  CHECK(cache.size() == ip::PathMtu::kMax);
}

TEST_CASE("a link-local peer needs its interface once there are two") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.ipv6 = true;
  const InterfaceId eth0 = *host.stack.add_interface(config, host.now);
  socket::Socket& socket = host.udp_socket();
  CHECK(host.send(socket, ip("fe80::99"), 9, {1}) == Errno::ok);
  config.name = "eth1";
  config.mac = mac(11);
  const InterfaceId eth1 = *host.stack.add_interface(config, host.now);
  CHECK(host.send(socket, ip("fe80::99"), 9, {1}) != Errno::ok);
  for (const InterfaceId id : {eth0, eth1}) {
    host.sent.clear();
    CHECK(socket.send_to(Bytes{1}, {ip("fe80::98"), 9, id}, 0, host.now));
    REQUIRE(host.sent.size() == 1);
    CHECK(host.sent[0].interface == id);
  }
}

TEST_CASE("one of our link-local addresses talks to itself under its own interface") {
  Host host;
  InterfaceConfig config = host.config("eth0", 1);
  config.ipv6 = true;
  const InterfaceId eth0 = *host.stack.add_interface(config, host.now);
  const IpAddress own = host.stack.addresses().back().address.address;
  socket::Socket& server = host.udp_socket(9);
  socket::Socket& client = host.udp_socket();
  CHECK(client.send_to(Bytes{1}, {own, 9, eth0}, 0, host.now));
  host.settle();
  std::array<std::uint8_t, 4> buffer;
  const auto received = server.receive(buffer, 0, host.now);
  REQUIRE(received);
  CHECK(received->from.scope == eth0);
  CHECK(server.send_to(Bytes{2}, received->from, 0, host.now));
  host.settle();
  CHECK(client.receive(buffer, 0, host.now));
  CHECK(host.take().empty());
}

}  // namespace
}  // namespace vpollnet::test
