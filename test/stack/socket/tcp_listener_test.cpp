// SPDX-License-Identifier: MIT
// Listeners: backlog, floods, and segments that belong to nobody.
#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

TEST_CASE("a full accept queue lets connections wait, and loses none") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80}, 2);
  std::vector<Socket*> clients;
  for (int i = 0; i < 6; i++) {
    clients.push_back(&net.open(net.a));
    clients.back()->connect({tcp_ip("10.0.0.2"), 80}, net.now);
  }
  net.run(kSecond / 2);
  CHECK(net.b.dropped(Drop::tcp_accept_queue_full) > 0);
  int accepted = 0;
  for (int i = 0; i < 60 && accepted < 6; i++) {
    while (net.accept(net.b, listening) != nullptr) accepted++;
    CHECK(accepted <= 6);
    net.run(kSecond);
  }
  CHECK(accepted == 6);
  for (Socket* client : clients) {
    CHECK(std::string(client->state()) == "ESTABLISHED");
  }
}

TEST_CASE("closing a listener resets what nobody accepted, and refuses what comes later") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80});
  Socket& waiting = net.open(net.a);
  waiting.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond);
  // Another one whose handshake is half done.
  net.filter = [](const TcpNet::Seen& seen) { return !seen.from_a || seen.header.has(wire::kSyn); };
  Socket& half = net.open(net.a);
  half.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond / 10);
  net.filter = nullptr;
  net.close(net.b, &listening);
  CHECK(net.b.table().list().empty());
  net.run(kSecond);
  CHECK(*waiting.option(Option::error) == static_cast<int>(Errno::reset));
  CHECK(*half.option(Option::error) == static_cast<int>(Errno::reset));
  Socket& late = net.open(net.a);
  late.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond);
  CHECK(*late.option(Option::error) == static_cast<int>(Errno::refused));
}

TEST_CASE("a connection that is reset before it is accepted is still handed out, with its error") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80});
  Socket& client = net.open(net.a);
  client.connect({tcp_ip("10.0.0.2"), 80}, net.now);
  net.run(kSecond);
  client.set_option(Option::linger, 0, net.now);
  net.close(net.a, &client);
  net.run(kSecond);
  Socket* server = net.accept(net.b, listening);
  REQUIRE(server != nullptr);
  CHECK(read_text(*server, net.now) == "errno " + std::to_string(ECONNRESET));
}

TEST_CASE("[T08] a hundred thousand spoofed SYNs: memory stays, and a real client gets in by "
          "cookie (RFC 4987)") {
  TcpNet net;
  Socket& listening = net.listener(net.b, {IpAddress(), 80});
  Socket& other = net.listener(net.b, {IpAddress(), 81});
  net.filter = [](const TcpNet::Seen& seen) { return seen.meta.destination.bytes()[0] == 10; };
  std::size_t most = 0;
  for (std::uint32_t i = 0; i < 100'000; i++) {
    const IpAddress source =
        IpAddress::v4(99, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                      static_cast<std::uint8_t>(i));
    wire::TcpHeader syn;
    syn.flags = wire::kSyn;
    syn.sequence = i * 77;
    syn.mss = 1460;
    net.forge(net.b, {source, 1234}, {tcp_ip("10.0.0.2"), 80}, syn);
    if (i % 1000 == 0) {
      net.run(kMillisecond);
      most = std::max(most, net.b.table().list().size());
    }
  }
  CHECK(most <= 256 + 4);
  CHECK(net.b.budget().used() == 0);
  CHECK(net.pool.live() == 0);
  for (Socket* target : {&listening, &other}) {
    Socket& client = net.open(net.a);
    client.connect({tcp_ip("10.0.0.2"), target->local().port}, net.now);
    net.run(kSecond);
    Socket* server = net.accept(net.b, *target);
    REQUIRE(server != nullptr);
    std::string text(100'000, 'x');
    CHECK(send_text(client, text, net.now) == text.size());
    CHECK(send_text(*server, text, net.now) == text.size());
    std::string got, back;
    for (int i = 0; i < 200 && (got.size() < text.size() || back.size() < text.size()); i++) {
      net.run(10 * kMillisecond);
      while ((server->readiness() & kIn) != 0) got += read_text(*server, net.now);
      while ((client.readiness() & kIn) != 0) back += read_text(client, net.now);
    }
    CHECK(got == text);
    CHECK(back == text);
  }
  CHECK(net.b.dropped(Drop::tcp_syn_queue_full) > 99'000);
}

TEST_CASE("[T08] a cookie is good for its connection only, and not for ever") {
  SynCookies cookies({1, 2});
  const FlowKey key{{tcp_ip("10.0.0.2"), 80}, {tcp_ip("10.0.0.1"), 5000}};
  FlowKey other = key;
  other.remote.port++;
  const Nanos now = 12345 * kSecond;
  const std::uint32_t cookie = cookies.make(key, 777, 1460, now);
  CHECK(cookies.check(key, 777, cookie, now) == 1460);
  CHECK(cookies.check(key, 777, cookie, now + 64 * kSecond) == 1460);
  CHECK_FALSE(cookies.check(key, 777, cookie, now + 129 * kSecond));
  CHECK_FALSE(cookies.check(key, 778, cookie, now));
  CHECK_FALSE(cookies.check(key, 777, cookie + 1, now));
  CHECK_FALSE(cookies.check(other, 777, cookie, now));
  CHECK(cookies.check(key, 777, cookies.make(key, 777, 1459, now), now) == 1440);  // rounded down
  CHECK(cookies.check(key, 777, cookies.make(key, 777, 1, now), now) == 88);
}

TEST_CASE("[T08] without a flood no ACK opens a connection") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  int resets = 0;
  net.filter = [&](const TcpNet::Seen& seen) {
    if (seen.header.has(wire::kRst)) resets++;
    return false;
  };
  for (std::uint32_t i = 0; i < 1000; i++) {
    wire::TcpHeader ack;
    ack.flags = wire::kAck;
    ack.sequence = 5;
    ack.acknowledgment = i << 22;
    net.forge(net.b, {tcp_ip("10.0.0.1"), 1234}, {tcp_ip("10.0.0.2"), 80}, ack);
  }
  CHECK(resets == 1000);
  CHECK(net.b.table().list().size() == 1);
}

TEST_CASE(
    "[T07] LAND: a SYN from the address and port that it goes to is dropped (CVE-1999-0016)") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  wire::TcpHeader syn;
  syn.flags = wire::kSyn;
  const Endpoint self{tcp_ip("10.0.0.2"), 80};
  net.forge(net.b, self, self, syn);
  CHECK(net.b.dropped(Drop::tcp_bad_address) == 1);
  net.run(kSecond);
  CHECK(net.segments == 0);
}

TEST_CASE("segments from and to groups are dropped without a word (RFC 9293 MUST-57)") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  wire::TcpHeader syn;
  syn.flags = wire::kSyn;
  for (const char* source : {"224.0.0.5", "10.0.0.255", "255.255.255.255", "0.0.0.0"}) {
    net.forge(net.b, {tcp_ip(source), 1000}, {tcp_ip("10.0.0.2"), 80}, syn);
  }
  net.forge(net.b, {tcp_ip("10.0.0.1"), 1000}, {tcp_ip("224.0.0.1"), 80}, syn);
  net.forge(net.b, {tcp_ip("ff02::1"), 1000}, {tcp_ip("fd00::2"), 80}, syn);
  CHECK(net.b.dropped(Drop::tcp_bad_address) == 6);
  CHECK(net.segments == 0);
}

TEST_CASE("[T05] a bad checksum is dropped (RFC 9293 MUST-3); [T03] so is what is too short") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  for (std::size_t length = 0; length < 24; length++) {
    std::vector<std::uint8_t> bytes(length, 0);
    if (length > 13) bytes[12] = length % 2 == 0 ? 0xf0 : 0x40;
    IpMeta meta{.source = tcp_ip("10.0.0.1"),
                .destination = tcp_ip("10.0.0.2"),
                .interface = 1,
                .protocol = kTcp};
    net.b.table().on_tcp(meta, Packet(net.pool.copy(bytes)), net.now);
  }
  CHECK(net.b.dropped(Drop::tcp_malformed) == 24);
  std::vector<std::uint8_t> bytes(20, 0);
  wire::TcpHeader syn;
  syn.flags = wire::kSyn;
  syn.source_port = 1;
  syn.destination_port = 80;
  wire::emit_tcp(syn, bytes);
  IpMeta meta{.source = tcp_ip("10.0.0.1"),
              .destination = tcp_ip("10.0.0.2"),
              .interface = 1,
              .protocol = kTcp};
  net.b.table().on_tcp(meta, Packet(net.pool.copy(bytes)), net.now);
  CHECK(net.b.dropped(Drop::tcp_bad_checksum) == 1);
  CHECK(net.segments == 0);
}

TEST_CASE("a closed port answers with RST, and a RST with nothing (RFC 9293 3.10.7.1)") {
  TcpNet net;
  std::vector<wire::TcpHeader> answers;
  net.filter = [&](const TcpNet::Seen& seen) {
    answers.push_back(seen.header);
    return false;
  };
  const Endpoint from{tcp_ip("10.0.0.1"), 1000}, to{tcp_ip("10.0.0.2"), 80};
  wire::TcpHeader header;
  header.sequence = 500;
  header.acknowledgment = 900;
  for (const std::uint8_t flags :
       {wire::kSyn | 0, wire::kAck | 0, wire::kFin | 0, wire::kSyn | wire::kFin, 0, wire::kRst | 0,
        wire::kRst | wire::kAck}) {
    header.flags = static_cast<std::uint8_t>(flags);
    net.forge(net.b, from, to, header, 10);
  }
  REQUIRE(answers.size() == 5);
  CHECK(answers[0].flags == (wire::kRst | wire::kAck));
  CHECK(answers[0].acknowledgment == 511);
  CHECK(answers[1].flags == wire::kRst);
  CHECK(answers[1].sequence == 900);
  CHECK(answers[2].acknowledgment == 511);
  CHECK(answers[3].acknowledgment == 512);
  CHECK(answers[4].acknowledgment == 510);
}

TEST_CASE("[T06] a listener passes over SYN+FIN and segments without SYN, ACK or RST") {
  TcpNet net;
  net.listener(net.b, {IpAddress(), 80});
  wire::TcpHeader header;
  for (const std::uint8_t flags :
       {wire::kSyn | wire::kFin, 0, wire::kFin | 0, wire::kPsh | wire::kUrg,
        wire::kSyn | wire::kFin | wire::kPsh | wire::kUrg}) {
    header.flags = static_cast<std::uint8_t>(flags);
    net.forge(net.b, {tcp_ip("10.0.0.1"), 1000}, {tcp_ip("10.0.0.2"), 80}, header);
  }
  CHECK(net.segments == 0);
  CHECK(net.b.table().list().size() == 1);
}
