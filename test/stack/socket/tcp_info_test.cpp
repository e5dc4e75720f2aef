// SPDX-License-Identifier: MIT
// What is told of a connection (RFC 4898, tcp_info), and which congestion control it has.
#include "socket/tcp_info.hpp"

#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

namespace {

TcpInfo told(const Socket& socket) {
  TcpInfo info;
  REQUIRE(socket.info(info) == Errno::ok);
  return info;
}

/// `bytes` from `sender` to `receiver`, all of them read.
void transfer(TcpNet& net, Socket& sender, Socket& receiver, std::size_t bytes) {
  std::vector<std::uint8_t> buffer(64 * 1024);
  std::size_t sent = 0, received = 0;
  const auto step = [&] {
    while (sent < bytes) {
      const auto taken =
          sender.send(std::span(buffer).first(std::min(buffer.size(), bytes - sent)), 0, net.now);
      if (!taken) break;
      sent += *taken;
    }
    for (;;) {
      const auto got = receiver.receive(buffer, 0, net.now);
      if (!got) break;
      received += got->copied;
    }
    return received == bytes;
  };
  REQUIRE(net.run_until(step, 600 * kSecond));
  net.run(kSecond);
}

}  // namespace

TEST_CASE("congestion control: by name, in any state, and inherited by what a listener accepts") {
  TcpNet net;
  const auto name = [](Socket* socket) { return *socket->text_option(Option::congestion); };
  const auto [client, server] = net.connect(7000, "10.0.0.2", [&](Socket& socket) {
    CHECK(name(&socket) == "cubic");
    CHECK(socket.set_text_option(Option::congestion, "newreno", net.now) == Errno::ok);
  });
  for (Socket* socket : {client, server}) {
    CHECK(name(socket) == "newreno");
    CHECK(told(*socket).congestion == "newreno");
    CHECK(socket->set_text_option(Option::congestion, "bbr", net.now) == Errno::no_entry);
    CHECK(socket->set_text_option(Option::congestion, "", net.now) == Errno::no_entry);
    CHECK(name(socket) == "newreno");
    CHECK(socket->set_text_option(Option::congestion, "cubic", net.now) == Errno::ok);
    CHECK(name(socket) == "cubic");
  }
  transfer(net, *client, *server, 1'000'000);
  CHECK(client->shutdown(Shutdown::write, net.now) == Errno::ok);
  CHECK(client->set_text_option(Option::congestion, "newreno", net.now) == Errno::ok);
  net.run(kSecond);
  CHECK(name(client) == "newreno");
}

TEST_CASE("congestion control is a text, and other options are numbers") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(socket.set_option(Option::congestion, 1, net.now) == Errno::no_protocol_option);
  CHECK(socket.option(Option::congestion).error() == Errno::no_protocol_option);
  CHECK(socket.set_text_option(Option::no_delay, "1", net.now) == Errno::no_protocol_option);
  CHECK(socket.text_option(Option::no_delay).error() == Errno::no_protocol_option);
}

TEST_CASE("info of a fresh socket, a listener, and one that could not connect") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(std::string(told(socket).state) == "CLOSED");
  CHECK(told(socket).connection.segments_sent == 0);
  CHECK(std::string(told(net.listener(net.b, {IpAddress(), 80})).state) == "LISTEN");
  REQUIRE(socket.connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::in_progress);
  CHECK(std::string(told(socket).state) == "SYN-SENT");
  CHECK(told(socket).connection.segments_sent == 1);
  CHECK(told(socket).connection.bytes_received == 0);
  net.run(kSecond);
  CHECK(std::string(told(socket).state) == "CLOSED");
  CHECK(told(socket).connection.bytes_sent == 0);
}

TEST_CASE("info of both ends agrees with what was sent, over a wire without faults") {
  TcpNet net;
  const auto [client, server] = net.connect();
  transfer(net, *client, *server, 3'000'000);
  const TcpInfo sent = told(*client), received = told(*server);
  CHECK(sent.path_mtu == 1500);
  CHECK(sent.connection.bytes_sent == 3'000'000);
  CHECK(sent.connection.bytes_acked == 3'000'000);
  CHECK(received.connection.bytes_received == 3'000'000);
  CHECK(received.connection.bytes_sent == 0);
  CHECK(sent.connection.bytes_received == 0);
  CHECK(sent.connection.retransmits == 0);
  CHECK(sent.connection.bytes_retransmitted == 0);
  CHECK(sent.connection.in_flight == 0);
  CHECK(sent.connection.pipe == 0);
  CHECK(sent.connection.unsent == 0);
  CHECK(sent.connection.segments_sent == received.connection.segments_received);
  CHECK(received.connection.segments_sent == sent.connection.segments_received);
  CHECK(sent.connection.mss == 1448);
  CHECK(received.connection.receive_mss == 1448);
  CHECK(sent.connection.congestion_state == tcp::CongestionState::open);
  CHECK(sent.connection.min_rtt == 2 * WireFaults().delay);
  CHECK(sent.connection.srtt >= sent.connection.min_rtt);
  CHECK(sent.connection.rto >= 200 * kMillisecond);
  CHECK(sent.connection.ssthresh == UINT64_MAX);
  CHECK(sent.connection.timestamps);
  CHECK(sent.connection.sack);
  CHECK_FALSE(sent.connection.ecn);
  CHECK(sent.connection.send_scale == received.connection.receive_scale);
  CHECK(sent.connection.send_scale.has_value());
  CHECK(sent.connection.send_window.has_value());
  CHECK(sent.connection.cwnd > 14'600);
}

TEST_CASE("info counts large packets by the segments that they are cut into") {
  TcpNet net;
  net.a.segmentation = true;
  const auto [client, server] = net.connect();
  transfer(net, *client, *server, 1'000'000);
  CHECK(told(*client).connection.segments_sent >= 1'000'000 / 1448);
  CHECK(told(*client).connection.segments_sent == told(*server).connection.segments_received);
}

TEST_CASE("info tells of losses: what went again, and how often") {
  TcpNet net;
  const auto [client, server] = net.connect();
  net.faults.loss = 20;
  transfer(net, *client, *server, 3'000'000);
  const tcp::Info sent = told(*client).connection;
  CHECK(sent.retransmits > 20);
  CHECK(sent.bytes_retransmitted > 20'000);
  CHECK(sent.bytes_retransmitted <= sent.retransmits * 1448);
  CHECK(sent.bytes_sent == 3'000'000 + sent.bytes_retransmitted);
  CHECK(sent.bytes_acked == 3'000'000);
  CHECK(sent.ssthresh != UINT64_MAX);
  CHECK(sent.min_rtt >= 2 * WireFaults().delay);
  CHECK(told(*server).connection.bytes_received == 3'000'000);
}

TEST_CASE("info while nothing comes back: timeouts in a row, and what waits") {
  TcpNet net;
  const auto [client, server] = net.connect();
  net.run(kSecond);
  net.faults.loss = 1000;
  REQUIRE(send_text(*client, std::string(20'000, 'x'), net.now) == 20'000);
  const tcp::Info before = told(*client).connection;
  CHECK(before.timeouts == 0);
  CHECK(before.in_flight + before.unsent == 20'000);
  CHECK(before.pipe == before.in_flight);
  net.run(2 * kSecond);
  const tcp::Info during = told(*client).connection;
  CHECK(during.timeouts >= 2);
  CHECK(during.congestion_state == tcp::CongestionState::loss);
  CHECK(during.rto > before.rto);
  CHECK(during.lost > 0);
  CHECK(during.cwnd == during.mss);
  net.faults.loss = 0;
  net.run(10 * kSecond);
  CHECK(told(*client).connection.timeouts == 0);
  CHECK(told(*client).connection.bytes_acked == 20'000);
  CHECK(told(*client).connection.congestion_state == tcp::CongestionState::open);
}

TEST_CASE("info counts neither SYN nor FIN as data, to the end") {
  TcpNet net;
  const auto [client, server] = net.connect();
  send_text(*client, "hello", net.now);
  net.run(kSecond);
  CHECK(read_text(*server, net.now) == "hello");
  for (Socket* socket : {client, server}) {
    CHECK(socket->shutdown(Shutdown::write, net.now) == Errno::ok);
    net.run(kSecond);
  }
  CHECK(std::string(told(*client).state) == "TIME-WAIT");
  CHECK(told(*client).connection.bytes_sent == 5);
  CHECK(told(*client).connection.bytes_acked == 5);
  CHECK(told(*client).connection.bytes_received == 0);
  CHECK(told(*server).connection.bytes_received == 5);
  CHECK(told(*server).connection.bytes_acked == 0);
  CHECK(told(*server).connection.in_flight == 0);
}

TEST_CASE("a datagram socket has no such figures") {
  TcpNet net;
  const auto udp = net.a.table().open(Type::udp);
  REQUIRE(udp);
  TcpInfo info;
  CHECK((*udp)->info(info) == Errno::not_supported);
  CHECK((*udp)->text_option(Option::congestion).error() == Errno::no_protocol_option);
  (*udp)->close(net.now);
}
