// SPDX-License-Identifier: MIT
// What poll(2) shows for TCP sockets: the masks of Linux, in each state.
#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

namespace {

struct Recorder final : ReadinessSink {
  void on_readiness(Socket&, std::uint32_t mask) override { masks.push_back(mask); }
  std::vector<std::uint32_t> masks;
};

}  // namespace

TEST_CASE("a fresh socket is OUT and HUP, bound or not") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  CHECK(socket.readiness() == (kOut | kHup));
  socket.bind({IpAddress(), 80}, net.now);
  CHECK(socket.readiness() == (kOut | kHup));
}

TEST_CASE("a listener is nothing, and IN when there is someone to accept") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80});
  CHECK(listening.readiness() == 0);
  net.open(net.a).connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond);
  CHECK(listening.readiness() == kIn);
  net.accept(net.b, listening);
  CHECK(listening.readiness() == 0);
}

TEST_CASE("a socket that connects is nothing, then OUT") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  Socket& socket = net.open(net.a);
  Recorder recorder;
  socket.set_sink(&recorder);
  socket.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  CHECK(socket.readiness() == 0);
  net.run(kSecond);
  CHECK(socket.readiness() == kOut);
  CHECK(recorder.masks == std::vector<std::uint32_t>{0, kOut});  // each change once
}

TEST_CASE("a refused connect is IN, OUT, ERR, HUP and RDHUP, until the error is read") {
  TcpNet net;
  Socket& socket = net.open(net.a);
  socket.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond);
  CHECK(socket.readiness() == (kIn | kOut | kErr | kHup | kRdHup));
  CHECK(*socket.option(Option::error) == static_cast<int>(Errno::refused));
  CHECK(*socket.option(Option::error) == 0);
  CHECK((socket.readiness() & kErr) == 0);
}

TEST_CASE("text, a FIN, and both FINs") {
  TcpNet net;
  const auto [client, server] = net.connect();
  CHECK(server->readiness() == kOut);
  send_text(*client, "x", net.now);
  net.run(kSecond);
  CHECK(server->readiness() == (kIn | kOut));
  read_text(*server, net.now);
  CHECK(server->readiness() == kOut);
  client->shutdown(Shutdown::write, net.now);
  CHECK(client->readiness() == kOut);
  net.run(kSecond);
  CHECK(server->readiness() == (kIn | kOut | kRdHup));
  CHECK(client->readiness() == kOut);
  server->shutdown(Shutdown::write, net.now);
  net.run(kSecond);
  CHECK(server->readiness() == (kIn | kOut | kRdHup | kHup));
  CHECK(client->readiness() == (kIn | kOut | kRdHup | kHup));
}

TEST_CASE("shut down for reading is IN and RDHUP at once") {
  TcpNet net;
  const auto [client, server] = net.connect();
  client->shutdown(Shutdown::read, net.now);
  CHECK(client->readiness() == (kIn | kOut | kRdHup));
  CHECK(read_text(*client, net.now).empty());
  (void)server;
}

TEST_CASE("a reset is IN, OUT, ERR, HUP and RDHUP") {
  TcpNet net;
  const auto [client, server] = net.connect();
  client->set_option(Option::linger, 0, net.now);
  net.close(net.a, client);
  net.run(kSecond);
  CHECK(server->readiness() == (kIn | kOut | kErr | kHup | kRdHup));
  CHECK(read_text(*server, net.now) == "errno " + std::to_string(ECONNRESET));
  CHECK(server->readiness() == (kIn | kOut | kHup | kRdHup));
  CHECK(read_text(*server, net.now).empty());
}

TEST_CASE("OUT goes when the buffer is full, and comes with a third of it free") {
  TcpNet net;
  const auto [client, server] = net.connect();
  const std::string text(100'000, 'x');
  while (send_text(*client, text, net.now) > 0) {
  }
  CHECK(client->readiness() == 0);
  net.run(10 * kSecond);  // the receiver's buffer fills, too
  while (send_text(*client, text, net.now) > 0) {
  }
  net.run(10 * kSecond);
  CHECK(client->readiness() == 0);
  std::size_t got = 0;
  while ((client->readiness() & kOut) == 0) {
    got += read_text(*server, net.now).size();
    net.run(kMillisecond);
    REQUIRE(got < 2'000'000);
  }
  CHECK(client->readiness() == kOut);
  while ((server->readiness() & kIn) != 0) {
    read_text(*server, net.now);
    net.run(kMillisecond);
  }
}

TEST_CASE("PRI is for the urgent byte, until it is read") {
  TcpNet net;
  const auto [client, server] = net.connect();
  send_text(*client, "!", net.now, kSendOutOfBand);
  net.run(kSecond);
  CHECK(server->readiness() == (kPri | kOut));
  CHECK(read_text(*server, net.now, kOutOfBand) == "!");
  CHECK(server->readiness() == kOut);
  CHECK(read_text(*server, net.now, kOutOfBand) == "errno " + std::to_string(EINVAL));
  CHECK(read_text(*server, net.now) == "errno " + std::to_string(EAGAIN));
  send_text(*client, "abc!def", net.now);
  server->set_option(Option::oob_inline, 1, net.now);
  send_text(*client, "?", net.now, kSendOutOfBand);
  net.run(kSecond);
  CHECK(server->readiness() == (kPri | kIn | kOut));
  CHECK(read_text(*server, net.now) == "abc!def");
  CHECK(read_text(*server, net.now) == "?");
}
