// SPDX-License-Identifier: MIT
// How connections end: linger, TIME-WAIT, orphans, ICMP errors, addresses that go, memory.
#include "socket/ports.hpp"
#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

namespace {

std::size_t count(TcpHost& host, const std::string& state) {
  const std::vector<SocketInfo> all = host.table().list();
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [&](const SocketInfo& info) { return state == info.state; }));
}

/// The ICMP error that a router sends about the first segment of `socket`.
struct Quote {
  explicit Quote(const wire::TcpHeader& header) {
    wire::store16(&bytes[0], header.source_port);
    wire::store16(&bytes[2], header.destination_port);
    wire::store32(&bytes[4], header.sequence);
  }
  IcmpError error(Errno errno_value) const {
    IcmpError result;
    result.error = errno_value;
    result.source = tcp_ip("10.0.0.1");
    result.destination = tcp_ip("10.0.0.2");
    result.interface = 1;
    result.protocol = kTcp;
    result.transport = bytes;
    return result;
  }
  std::array<std::uint8_t, 8> bytes{};
};

}  // namespace

TEST_CASE("close after the last text: it all arrives, and the state goes after TIME-WAIT") {
  TcpNet net;
  const auto [client, server] = net.connect();
  send_text(*client, std::string(3000, 'x'), net.now);
  net.close(net.a, client);
  net.run(kSecond);
  CHECK(read_text(*server, net.now).size() == 3000);
  CHECK(read_text(*server, net.now).empty());
  net.close(net.b, server);
  net.run(kSecond);
  CHECK(count(net.a, "TIME-WAIT") == 1);
  CHECK(net.b.table().list().empty());
  net.run(60 * kSecond);
  CHECK(net.a.table().list().empty());
}

TEST_CASE("deadlines that have moved away cost one wake-up together, not one each") {
  TcpNet net;
  std::vector<TcpNet::Pair> pairs;
  for (std::uint16_t port = 7000; port < 7010; port++) pairs.push_back(net.connect(port));
  for (const auto& [client, server] : pairs) {
    server->set_option(Option::quick_ack, 1, net.now);
    send_text(*server, "question", net.now);
    net.run(kMillisecond);
  }
  net.run(net.faults.delay);
  const Nanos first = net.a.table().next_deadline();
  REQUIRE(first < net.now + 40 * kMillisecond);
  for (const auto& [client, server] : pairs) {
    CHECK(read_text(*client, net.now) == "question");
    send_text(*client, "answer", net.now);  // and the acknowledgement with it
  }
  net.run(2 * net.faults.delay);
  CHECK(net.a.table().next_deadline() == first);
  net.run(first - net.now);
  CHECK(net.a.table().next_deadline() == kNever);
}

TEST_CASE("linger 0: close sends RST") {
  TcpNet net;
  const auto [client, server] = net.connect();
  client->set_option(Option::linger, 0, net.now);
  net.close(net.a, client);
  CHECK(net.a.table().list().empty());
  net.run(kSecond);
  CHECK(*server->option(Option::error) == ECONNRESET);
}

TEST_CASE("[T23] a SYN takes the place of TIME-WAIT only if it is newer (RFC 6191)") {
  TcpNet net;
  const auto [client, server] = net.connect(7000);
  const std::uint16_t port = client->local().port;
  wire::TcpHeader last;  // of a
  net.filter = [&](const TcpNet::Seen& seen) {
    if (seen.from_a) last = seen.header;
    return true;
  };
  net.close(net.b, server);  // TIME-WAIT is at b
  net.run(kSecond);
  net.close(net.a, client);
  net.run(kSecond);
  REQUIRE(count(net.b, "TIME-WAIT") == 1);
  Socket& listening = net.open(net.b);
  listening.set_option(Option::reuse_address, 1, net.now);
  REQUIRE(listening.bind({IpAddress(), 7000}, net.now) == Errno::ok);
  REQUIRE(listening.listen(4, net.now) == Errno::ok);

  SUBCASE("an old one does not") {
    wire::TcpHeader syn = last;
    syn.flags = wire::kSyn;
    net.filter = [](const TcpNet::Seen&) { return false; };
    const auto forge = [&] {
      net.forge(net.b, {tcp_ip("10.0.0.1"), port}, {tcp_ip("10.0.0.2"), 7000}, syn);
    };
    syn.timestamps->value--;
    syn.sequence += 1000;
    forge();
    CHECK(count(net.b, "TIME-WAIT") == 1);
    syn.timestamps.reset();
    syn.sequence = last.sequence - 1000;
    forge();
    CHECK(count(net.b, "TIME-WAIT") == 1);
    syn.sequence = last.sequence + 1000;
    forge();
    CHECK(count(net.b, "TIME-WAIT") == 0);
  }
  SUBCASE("a new one does") {
    Socket& again = net.open(net.a);
    REQUIRE(again.bind({IpAddress(), port}, net.now) == Errno::ok);
    CHECK(again.connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::in_progress);
    net.run(kSecond / 2);
    CHECK(std::string(again.state()) == "ESTABLISHED");
    CHECK(count(net.b, "TIME-WAIT") == 0);
  }
}

TEST_CASE("a second into TIME-WAIT its ends may have a new connection, if there are timestamps") {
  TcpNet net;
  const auto [client, server] = net.connect(7000);
  const std::uint16_t port = client->local().port;
  Socket& listening = net.open(net.b);
  listening.set_option(Option::reuse_address, 1, net.now);
  REQUIRE(listening.bind({IpAddress(), 7000}, net.now) == Errno::ok);
  REQUIRE(listening.listen(4, net.now) == Errno::ok);
  net.close(net.a, client);  // TIME-WAIT is at a
  net.run(100 * kMillisecond);
  net.close(net.b, server);
  net.run(500 * kMillisecond);
  REQUIRE(count(net.a, "TIME-WAIT") == 1);
  Socket& again = net.open(net.a);
  again.set_option(Option::reuse_address, 1, net.now);
  REQUIRE(again.bind({IpAddress(), port}, net.now) == Errno::ok);
  CHECK(again.connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::address_not_available);
  net.run(kSecond);
  CHECK(again.connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::in_progress);
  net.run(kSecond / 2);
  CHECK(std::string(again.state()) == "ESTABLISHED");
  CHECK(count(net.a, "TIME-WAIT") == 0);
  const Result<Socket*> accepted = listening.accept(net.now);
  REQUIRE(accepted);
  send_text(again, "new", net.now);
  net.run(kSecond);
  CHECK(read_text(**accepted, net.now) == "new");
  net.close(net.b, *accepted);
}

TEST_CASE("with each port in TIME-WAIT the next connection has one of theirs") {
  TcpNet net;
  net.faults.delay = kMillisecond / 10;
  Socket& listening = net.open(net.b);
  REQUIRE(listening.bind({IpAddress(), 7000}, net.now) == Errno::ok);
  REQUIRE(listening.listen(4, net.now) == Errno::ok);
  const Nanos start = net.now;
  constexpr int kMore = 100;
  for (int i = 0; i <= kLastEphemeralPort - kFirstEphemeralPort + kMore; i++) {
    Socket& socket = net.open(net.a);
    REQUIRE(socket.connect({tcp_ip("10.0.0.2"), 7000}, net.now) == Errno::in_progress);
    net.run(kMillisecond / 2);
    const Result<Socket*> accepted = listening.accept(net.now);
    REQUIRE(accepted);
    net.close(net.a, &socket);
    net.run(kMillisecond / 5);
    net.close(net.b, *accepted);
    net.run(kMillisecond / 5);
  }
  CHECK(net.now - start < 60 * kSecond);  // so none of them had ended by itself
}

TEST_CASE("[T24] connections that nobody owns are capped, and the oldest gives way") {
  TcpNet net;
  net.faults.delay = 0;
  Socket& listening = net.listener(net.b, {IpAddress(), 80}, 100);
  const std::size_t many = TcpSockets::kMaxOrphans + 500;
  std::size_t most = 0;
  for (std::size_t i = 0; i < many; i++) {
    const Endpoint source{
        IpAddress::v4(10, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)),
        1234};
    const Endpoint target{tcp_ip("10.0.0.2"), 80};
    std::uint32_t sequence = 0;
    net.filter = [&](const TcpNet::Seen& seen) {
      if (seen.header.has(wire::kSyn)) sequence = seen.header.sequence;
      return false;
    };
    wire::TcpHeader header;
    header.flags = wire::kSyn;
    net.forge(net.b, source, target, header);
    header.flags = wire::kAck;
    header.sequence = 1;
    header.window = 1000;
    header.acknowledgment = sequence + 1;
    net.forge(net.b, source, target, header);
    Socket* server = net.accept(net.b, listening);
    REQUIRE(server != nullptr);
    net.close(net.b, server);  // FIN-WAIT-1: the peer never answers
    header.acknowledgment = sequence + 2;
    if (i % 2 == 0) net.forge(net.b, source, target, header);  // FIN-WAIT-2
    if (i % 1000 == 0) most = std::max(most, net.b.table().list().size());
  }
  most = std::max(most, net.b.table().list().size());
  CHECK(most <= TcpSockets::kMaxOrphans + 1);
  CHECK(net.b.table().list().size() == TcpSockets::kMaxOrphans + 1);
  net.run(400 * kSecond);
  CHECK(net.b.table().list().size() == 1);
}

TEST_CASE(
    "an ICMP error ends a connect with its errno (RFC 5461), if it is about this SYN (RFC 5927)") {
  TcpNet net;
  wire::TcpHeader syn;
  net.filter = [&](const TcpNet::Seen& seen) {
    syn = seen.header;
    return false;
  };
  Socket& socket = net.open(net.a);
  socket.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  wire::TcpHeader wrong = syn;
  wrong.sequence++;
  CHECK_FALSE(net.a.table().is_plausible(Quote(wrong).error(Errno::host_unreachable)));
  const Quote wrong_quote(wrong);
  net.a.table().on_icmp_error(wrong_quote.error(Errno::host_unreachable), net.now);
  CHECK(std::string(socket.state()) == "SYN-SENT");
  CHECK(net.a.dropped(Drop::icmp_ignored) == 1);
  const Quote right(syn);
  CHECK(net.a.table().is_plausible(right.error(Errno::host_unreachable)));
  net.a.table().on_icmp_error(right.error(Errno::host_unreachable), net.now);
  CHECK(std::string(socket.state()) == "CLOSED");
  CHECK(*socket.option(Option::error) == EHOSTUNREACH);
}

TEST_CASE("[C01] a quote that is too short is no error of ours") {
  TcpNet net;
  IcmpError error = Quote(wire::TcpHeader{}).error(Errno::refused);
  const std::array<std::uint8_t, 8> bytes{};
  for (std::size_t length = 0; length <= 8; length++) {
    error.transport = std::span(bytes).first(length);
    CHECK_FALSE(net.a.table().is_plausible(error));
    net.a.table().on_icmp_error(error, net.now);
  }
}

TEST_CASE(
    "a smaller path MTU is used from the next segment on, and nothing is lost (RFC 1191 6.4)") {
  TcpNet net;
  const auto [client, server] = net.connect();
  std::string text(60'000, 'x');
  send_text(*client, text, net.now);
  net.a.mtu = 600;  // what is under way is lost on the way; put() checks the size of the rest
  net.a.generation++;
  net.filter = [&](const TcpNet::Seen& seen) { return !seen.from_a || seen.length <= 560; };
  IcmpError error = Quote(wire::TcpHeader{}).error(Errno::message_size);
  error.too_big = true;
  error.mtu = 600;
  std::array<std::uint8_t, 8> quoted{};
  wire::store16(&quoted[0], client->local().port);
  wire::store16(&quoted[2], 7000);
  error.transport = quoted;
  net.a.table().on_icmp_error(error, net.now);
  std::size_t got = 0;
  for (int i = 0; i < 100 && got < text.size(); i++) {
    net.run(20 * kMillisecond);
    while ((server->readiness() & kIn) != 0) got += read_text(*server, net.now).size();
  }
  CHECK(got == text.size());
}

TEST_CASE("an address that goes takes its connections and listeners with it: ENETDOWN") {
  TcpNet net;
  Socket& listening = net.listener(net.a, {tcp_ip("10.0.0.1"), 80});
  Socket& wildcard = net.listener(net.a, {IpAddress(), 81});
  const auto [client, server] = net.connect();
  const auto [six, six_server] = net.connect(7001, "fd00::2");
  net.a.remove_address("10.0.0.1", net.now);
  CHECK(*client->option(Option::error) == ENETDOWN);
  CHECK((listening.readiness() & kErr) != 0);
  CHECK(listening.accept(net.now).error() == Errno::network_down);
  CHECK(wildcard.readiness() == 0);
  CHECK(std::string(six->state()) == "ESTABLISHED");
  (void)server;
  (void)six_server;
}

TEST_CASE("without a route segments wait for better times, and the connection lives") {
  TcpNet net;
  const auto [client, server] = net.connect();
  net.a.reachable = false;
  net.a.generation++;
  send_text(*client, "x", net.now);
  net.run(5 * kSecond);
  net.a.reachable = true;
  net.a.generation++;
  net.run(10 * kSecond);
  CHECK(read_text(*server, net.now) == "x");
}

TEST_CASE("a table that is destroyed with everything open leaves nothing behind") {
  TcpNet net;
  net.expect_all_closed = true;
  const auto [client, server] = net.connect();
  send_text(*client, std::string(100'000, 'x'), net.now);
  send_text(*server, std::string(100'000, 'x'), net.now);
  net.run(20 * kMillisecond);
}

TEST_CASE("[T09] initial sequence numbers: a 4 us clock for one connection, nothing in common "
          "between two (RFC 6528)") {
  TcpNet net;
  std::vector<std::uint32_t> numbers;
  net.filter = [&](const TcpNet::Seen& seen) {
    if (seen.from_a && seen.header.has(wire::kSyn)) numbers.push_back(seen.header.sequence);
    return false;
  };
  const auto dial = [&](std::uint16_t from, std::uint16_t to) {
    Socket& socket = net.open(net.a);
    if (from != 0) REQUIRE(socket.bind({IpAddress(), from}, net.now) == Errno::ok);
    REQUIRE(socket.connect({tcp_ip("10.0.0.2"), to}, net.now) == Errno::in_progress);
    net.close(net.a, &socket);
    return numbers.back();
  };
  const std::uint32_t first = dial(5000, 80);
  net.run(4 * kMillisecond);
  CHECK(dial(5000, 80) - first == 1000);
  // At one time, over many 4-tuples: every bit is set about half of the time, and so is every
  // difference between neighbours.
  std::array<int, 32> ones{}, changes{};
  std::uint32_t last = 0;
  constexpr int kMany = 4000;
  for (int i = 0; i < kMany; i++) {
    const std::uint32_t isn = dial(0, static_cast<std::uint16_t>(1000 + i));
    for (std::size_t bit = 0; bit < 32; bit++) {
      ones[bit] += static_cast<int>(isn >> bit & 1);
      changes[bit] += static_cast<int>((isn - last) >> bit & 1);
    }
    last = isn;
  }
  for (std::size_t bit = 0; bit < 32; bit++) {
    CHECK(ones[bit] > kMany * 45 / 100);
    CHECK(ones[bit] < kMany * 55 / 100);
    CHECK(changes[bit] > kMany * 45 / 100);
    CHECK(changes[bit] < kMany * 55 / 100);
  }
}

TEST_CASE("[T10] ephemeral ports do not follow each other (RFC 6056)") {
  TcpNet net;
  net.filter = [](const TcpNet::Seen&) { return false; };
  int near = 0;
  int last = 0;
  std::set<int> ports;
  for (int i = 0; i < 2000; i++) {
    Socket& socket = net.open(net.a);
    REQUIRE(socket.connect({tcp_ip("10.0.0.2"), 80}, net.now) == Errno::in_progress);
    const int port = socket.local().port;
    CHECK(port >= 49152);
    CHECK(ports.insert(port).second);
    if (std::abs(port - last) < 10) near++;
    last = port;
  }
  CHECK(near < 20);  // about 2 of 2000 by chance
}

TEST_CASE("[T25] each connection has a timestamp clock of its own (RFC 7323 5.4)") {
  TcpNet net;
  std::set<std::uint32_t> values;
  net.filter = [&](const TcpNet::Seen& seen) {
    if (seen.header.has(wire::kSyn)) values.insert(seen.header.timestamps->value >> 16);
    return false;
  };
  for (int i = 0; i < 100; i++) {
    net.open(net.a).connect({tcp_ip("10.0.0.2"), static_cast<std::uint16_t>(80 + i)}, net.now);
  }
  CHECK(values.size() > 95);
}
