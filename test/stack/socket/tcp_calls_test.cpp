// SPDX-License-Identifier: MIT
// The BSD calls on TCP sockets, and the errno of each that fails.
#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

TEST_CASE("connect, accept, send and receive both ways, close") {
  for (const char* address : {"10.0.0.2", "fd00::2"}) {
    TcpNet net;
    const auto [client, server] = net.connect(7000, address);
    CHECK(send_text(*client, "question", net.now) == 8);
    net.run(kSecond);
    CHECK(read_text(*server, net.now) == "question");
    CHECK(send_text(*server, "answer", net.now) == 6);
    net.run(kSecond);
    CHECK(read_text(*client, net.now) == "answer");
    CHECK(client->peer()->address == tcp_ip(address));
    CHECK(client->peer()->port == 7000);
    CHECK(server->peer()->port == client->local().port);
    CHECK(server->local().port == 7000);
    CHECK(std::string(client->state()) == "ESTABLISHED");
    net.close(net.a, client);
    net.run(kSecond);
    CHECK(read_text(*server, net.now).empty());
    CHECK(std::string(server->state()) == "CLOSE-WAIT");
    CHECK(net.a.confirmed > 0);
  }
}

TEST_CASE("bind: EADDRNOTAVAIL for a foreign address, EINVAL for a second time") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(socket.bind({tcp_ip("10.0.0.7"), 80}, net.now) == Errno::address_not_available);
  CHECK(socket.bind({tcp_ip("10.0.0.1"), 80}, net.now) == Errno::ok);
  CHECK(socket.bind({tcp_ip("10.0.0.1"), 81}, net.now) == Errno::invalid);
  CHECK(socket.local().port == 80);
}

TEST_CASE("bind: EADDRINUSE for overlapping addresses of one port") {
  TcpNet net;
  const auto bind = [&](const Endpoint& first, const Endpoint& second, bool only6 = false) {
    Socket& one = net.open(net.a);
    Socket& two = net.open(net.a);
    if (only6) one.set_option(Option::ipv6_only, 1, net.now);
    REQUIRE(one.bind(first, net.now) == Errno::ok);
    const Errno error = two.bind(second, net.now);
    net.close(net.a, &one);
    net.close(net.a, &two);
    return error;
  };
  const IpAddress v4 = tcp_ip("10.0.0.1"), other = tcp_ip("10.0.0.9"), any4 = tcp_ip("0.0.0.0"),
                  any6 = tcp_ip("::"), v6 = tcp_ip("fd00::1"), none;
  CHECK(bind({v4, 80}, {v4, 80}) == Errno::address_in_use);
  CHECK(bind({v4, 80}, {v4, 81}) == Errno::ok);
  CHECK(bind({v4, 80}, {other, 80}) == Errno::ok);
  CHECK(bind({v4, 80}, {v6, 80}) == Errno::ok);
  CHECK(bind({any4, 80}, {v4, 80}) == Errno::address_in_use);
  CHECK(bind({any4, 80}, {v6, 80}) == Errno::ok);
  CHECK(bind({any6, 80}, {v4, 80}) == Errno::address_in_use);
  CHECK(bind({any6, 80}, {v4, 80}, true) == Errno::ok);
  CHECK(bind({any6, 80}, {any4, 80}) == Errno::address_in_use);
  CHECK(bind({none, 80}, {v6, 80}) == Errno::address_in_use);
}

TEST_CASE("reuse_address: bound twice, but one listener only; and past a connection that lingers") {
  TcpNet net;
  Socket& one = net.open(net.a);
  Socket& two = net.open(net.a);
  one.set_option(Option::reuse_address, 1, net.now);
  two.set_option(Option::reuse_address, 1, net.now);
  REQUIRE(one.bind({IpAddress(), 80}, net.now) == Errno::ok);
  CHECK(two.bind({IpAddress(), 80}, net.now) == Errno::ok);
  CHECK(one.listen(1, net.now) == Errno::ok);
  CHECK(two.listen(1, net.now) == Errno::address_in_use);
  Socket& three = net.open(net.a);
  three.set_option(Option::reuse_address, 1, net.now);
  CHECK(three.bind({IpAddress(), 80}, net.now) == Errno::address_in_use);

  const auto [client, server] = net.connect(7000);
  net.close(net.b, server);  // b closes first: TIME-WAIT is there
  net.run(kSecond);
  net.close(net.a, client);
  net.run(kSecond);
  Socket& again = net.open(net.b);
  CHECK(again.bind({IpAddress(), 7000}, net.now) == Errno::address_in_use);
  again.set_option(Option::reuse_address, 1, net.now);
  CHECK(again.bind({IpAddress(), 7000}, net.now) == Errno::ok);
  CHECK(again.listen(1, net.now) == Errno::ok);
}

TEST_CASE("port 0 picks one of the dynamic ports, which nobody else has") {
  TcpNet net;
  std::set<std::uint16_t> ports;
  for (int i = 0; i < 1000; i++) {
    Socket& socket = net.open(net.a);
    REQUIRE(socket.bind({IpAddress(), 0}, net.now) == Errno::ok);
    CHECK(socket.local().port >= 49152);
    CHECK(ports.insert(socket.local().port).second);
  }
}

TEST_CASE("listen without bind picks a port") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(socket.listen(1, net.now) == Errno::ok);
  CHECK(socket.local().port >= 49152);
  CHECK(socket.option(Option::listening).operator*() == 1);
}

TEST_CASE("calls that make no sense in a state say so") {
  TcpNet net;
  std::uint8_t byte = 0;
  Socket& fresh = net.open(net.a);
  CHECK(fresh.send({&byte, 1}, 0, net.now).error() == Errno::broken_pipe);
  CHECK(fresh.receive({&byte, 1}, 0, net.now).error() == Errno::not_connected);
  CHECK(fresh.shutdown(Shutdown::both, net.now) == Errno::not_connected);
  CHECK(fresh.accept(net.now).error() == Errno::invalid);
  CHECK(fresh.peer().error() == Errno::not_connected);

  Socket& listening = net.listener(net.a, {IpAddress(), 80});
  CHECK(listening.connect({tcp_ip("10.0.0.2"), 80}, net.now) == Errno::is_connected);
  CHECK(listening.accept(net.now).error() == Errno::again);
  CHECK(listening.send({&byte, 1}, 0, net.now).error() == Errno::not_connected);
  CHECK(listening.receive({&byte, 1}, 0, net.now).error() == Errno::not_connected);

  const auto [client, server] = net.connect();
  CHECK(client->connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::is_connected);
  CHECK(client->listen(1, net.now) == Errno::invalid);
  CHECK(client->bind({IpAddress(), 0}, net.now) == Errno::invalid);
  CHECK(client->accept(net.now).error() == Errno::invalid);
  CHECK(client->receive({&byte, 1}, 0, net.now).error() == Errno::again);
  CHECK(client->shutdown(Shutdown::write, net.now) == Errno::ok);
  CHECK(client->send({&byte, 1}, 0, net.now).error() == Errno::broken_pipe);
}

TEST_CASE("connect: EINPROGRESS, EALREADY, then EISCONN; ECONNREFUSED once, and then it may be "
          "tried again") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  const Endpoint peer{tcp_ip("10.0.0.2"), 7000};
  CHECK(socket.connect(peer, net.now) == Errno::in_progress);
  CHECK(socket.connect(peer, net.now) == Errno::already);
  CHECK(std::string(socket.state()) == "SYN-SENT");
  net.run(kSecond);  // nobody listens
  CHECK(socket.connect(peer, net.now) == Errno::refused);
  net.listener(net.b, {IpAddress(), 7000});
  CHECK(socket.connect(peer, net.now) == Errno::in_progress);
  net.run(kSecond);
  CHECK(socket.connect(peer, net.now) == Errno::is_connected);
}

TEST_CASE("connect: what cannot be reached (RFC 9293 MUST-57)") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(socket.connect({tcp_ip("224.0.0.1"), 80}, net.now) == Errno::network_unreachable);
  CHECK(socket.connect({tcp_ip("ff02::1"), 80}, net.now) == Errno::network_unreachable);
  CHECK(socket.connect({tcp_ip("10.0.0.255"), 80}, net.now) == Errno::network_unreachable);
  CHECK(socket.connect({tcp_ip("255.255.255.255"), 80}, net.now) == Errno::network_unreachable);
  CHECK(socket.connect({tcp_ip("10.0.0.2"), 0}, net.now) == Errno::refused);
  CHECK(socket.connect({IpAddress(), 80}, net.now) == Errno::family_not_supported);
  net.a.reachable = false;
  CHECK(socket.connect({tcp_ip("10.0.0.2"), 80}, net.now) == Errno::network_unreachable);
}

TEST_CASE("connect: a 4-tuple once only, and not to itself") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  Socket& one = net.open(net.a);
  Socket& two = net.open(net.a);
  for (Socket* socket : {&one, &two}) socket->set_option(Option::reuse_address, 1, net.now);
  REQUIRE(one.bind({IpAddress(), 5000}, net.now) == Errno::ok);
  REQUIRE(two.bind({IpAddress(), 5000}, net.now) == Errno::ok);
  CHECK(one.connect({tcp_ip("10.0.0.2"), 80}, net.now) == Errno::in_progress);
  CHECK(two.connect({tcp_ip("10.0.0.2"), 80}, net.now) == Errno::address_not_available);
  CHECK(two.connect({tcp_ip("10.0.0.1"), 5000}, net.now) == Errno::address_not_available);
}

TEST_CASE("two sockets that connect to each other at once have one connection (RFC 9293 3.5)") {
  TcpNet net;
  Socket& one = net.open(net.a);
  Socket& two = net.open(net.b);
  REQUIRE(one.bind({IpAddress(), 5000}, net.now) == Errno::ok);
  REQUIRE(two.bind({IpAddress(), 5000}, net.now) == Errno::ok);
  CHECK(one.connect({tcp_ip("10.0.0.2"), 5000}, net.now) == Errno::in_progress);
  CHECK(two.connect({tcp_ip("10.0.0.1"), 5000}, net.now) == Errno::in_progress);
  net.run(kSecond);
  CHECK(std::string(one.state()) == "ESTABLISHED");
  CHECK(std::string(two.state()) == "ESTABLISHED");
  CHECK(send_text(one, "x", net.now) == 1);
  net.run(kSecond);
  CHECK(read_text(two, net.now) == "x");
}

TEST_CASE("a listener on :: takes IPv4 too, unless ipv6_only; the address beats the wildcard") {
  TcpNet net;
  Socket& both = net.listener(net.b, {tcp_ip("::"), 80});
  Socket& six = net.open(net.b);
  REQUIRE(six.set_option(Option::ipv6_only, 1, net.now) == Errno::ok);
  REQUIRE(six.bind({tcp_ip("::"), 81}, net.now) == Errno::ok);
  REQUIRE(six.listen(4, net.now) == Errno::ok);
  Socket& four = net.open(net.a);
  four.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  Socket& refused = net.open(net.a);
  refused.connect({tcp_ip("10.0.0.2"), 81}, net.now);
  Socket& good = net.open(net.a);
  good.connect({tcp_ip("fd00::2"), 81}, net.now);
  net.run(kSecond);
  CHECK(net.accept(net.b, both)->peer()->address == tcp_ip("10.0.0.1"));
  CHECK((refused.readiness() & kErr) != 0);
  CHECK((good.readiness() & kOut) != 0);

  Socket& wild = net.open(net.b);
  Socket& exact = net.open(net.b);
  for (Socket* socket : {&wild, &exact}) socket->set_option(Option::reuse_address, 1, net.now);
  REQUIRE(wild.bind({tcp_ip("0.0.0.0"), 90}, net.now) == Errno::ok);
  REQUIRE(exact.bind({tcp_ip("10.0.0.8"), 90}, net.now) == Errno::ok);
  REQUIRE(exact.listen(1, net.now) == Errno::ok);
  Socket& caller = net.open(net.a);
  caller.connect({tcp_ip("10.0.0.8"), 90}, net.now);
  net.run(kSecond);
  CHECK(net.accept(net.b, exact) != nullptr);
}

TEST_CASE("link-local addresses connect within their interface") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80});
  Socket& socket = net.open(net.a);
  CHECK(socket.connect({tcp_ip("fe80::2"), 80, 1}, net.now) == Errno::in_progress);
  net.run(kSecond);
  Socket* server = net.accept(net.b, listening);
  REQUIRE(server != nullptr);
  CHECK(server->peer()->address == tcp_ip("fe80::1"));
  CHECK(server->peer()->scope == 1);
  send_text(*server, "hello", net.now);
  net.run(kSecond);
  CHECK(read_text(socket, net.now) == "hello");
}

TEST_CASE("options are checked, kept, and inherited by what a listener accepts") {
  TcpNet net;
  const auto [client, server] = net.connect(7000, "10.0.0.2", [&](Socket& socket) {
    CHECK(socket.set_option(Option::no_delay, 1, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::keep_idle, 100, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::receive_buffer, 100'000, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::linger, 5, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::user_timeout, 5000, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::hop_limit, 3, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::max_segment, 1000, net.now) == Errno::ok);
  });
  for (Socket* socket : {client, server}) {
    CHECK(*socket->option(Option::no_delay) == 1);
    CHECK(*socket->option(Option::keep_idle) == 100);
    CHECK(*socket->option(Option::receive_buffer) == 100'000);
    CHECK(*socket->option(Option::linger) == 5);
    CHECK(*socket->option(Option::user_timeout) == 5000);
    CHECK(*socket->option(Option::hop_limit) == 3);
    CHECK(*socket->option(Option::max_segment) == 988);  // less the timestamps
    CHECK(*socket->option(Option::type) == 0);
    CHECK(socket->set_option(Option::max_segment, 900, net.now) == Errno::is_connected);
    CHECK(socket->set_option(Option::keep_idle, 0, net.now) == Errno::invalid);
    CHECK(socket->set_option(Option::keep_count, 128, net.now) == Errno::invalid);
    CHECK(socket->set_option(Option::linger, -2, net.now) == Errno::invalid);
    CHECK(socket->set_option(Option::hop_limit, 256, net.now) == Errno::invalid);
    CHECK(socket->set_option(Option::hop_limit, 0, net.now) == Errno::invalid);
    CHECK(socket->set_option(Option::broadcast, 1, net.now) == Errno::no_protocol_option);
    CHECK(socket->set_option(Option::error, 1, net.now) == Errno::no_protocol_option);
    CHECK(socket->option(Option::broadcast).error() == Errno::no_protocol_option);
  }
  send_text(*client, "12345", net.now);
  CHECK(*client->option(Option::unsent) == 5);
  net.run(kSecond);
  CHECK(*client->option(Option::unsent) == 0);
  CHECK(*server->option(Option::unread) == 5);
}

TEST_CASE("over the loopback address a host talks to itself") {
  TcpNet net;
  Socket& listening = net.listener(net.a, {IpAddress(), 80});
  Socket& socket = net.open(net.a);
  CHECK(socket.connect({tcp_ip("0.0.0.0"), 80}, net.now) == Errno::in_progress);
  net.run(kSecond);
  Socket* server = net.accept(net.a, listening);
  REQUIRE(server != nullptr);
  send_text(*server, "hello", net.now);
  net.run(kSecond);
  CHECK(read_text(socket, net.now) == "hello");
}

TEST_CASE("segments carry hop limit and traffic class as they are set, without the ECN field (RFC "
          "3168 6.1)") {
  TcpNet net;
  unsigned seen = 0;
  std::uint8_t hop_limit = 9, traffic_class = 0xb8;
  net.filter = [&](const TcpNet::Seen& segment) {
    seen++;
    CHECK(segment.meta.hop_limit == hop_limit);
    CHECK(segment.meta.traffic_class == traffic_class);
    return true;
  };
  const auto [client, server] = net.connect(7000, "10.0.0.2", [&](Socket& socket) {
    CHECK(socket.set_option(Option::hop_limit, hop_limit, net.now) == Errno::ok);
    CHECK(socket.set_option(Option::traffic_class, 0xbb, net.now) == Errno::ok);
    CHECK(*socket.option(Option::traffic_class) == traffic_class);
  });
  hop_limit = 200;
  traffic_class = 0x20;
  for (Socket* socket : {client, server}) {
    CHECK(socket->set_option(Option::hop_limit, hop_limit, net.now) == Errno::ok);
    CHECK(socket->set_option(Option::traffic_class, traffic_class, net.now) == Errno::ok);
    send_text(*socket, "hello", net.now);
  }
  net.run(kSecond);
  CHECK(seen > 5);
  net.filter = nullptr;
}
