// SPDX-License-Identifier: MIT
// IGMP and MLD in virtual time: what is told of a group, when, and to whom.
#include <doctest/doctest.h>

#include <array>
#include <set>

#include "ip/groups.hpp"
#include "test/stack/support/host.hpp"
#include "wire/group_membership.hpp"

namespace vpollnet::test {
namespace {

/// A report that went out: where to, and its bytes from the IGMP or ICMPv6 header on.
struct Told {
  Nanos at = 0;
  IpAddress to;
  Bytes message;
};

struct Member {
  Host host;
  socket::Socket* socket = nullptr;
  std::vector<Told> told;
  Nanos start = 0;

  Member() {
    host.with_ethernet();
    host.add(host.eth0, "fe80::1/64");
    host.run_for(3 * kSecond);
    socket = &host.udp_socket(5000);
    host.sent.clear();
    start = host.now;
  }
  Errno join(std::string_view group) {
    return socket->set_membership(ip(group), host.eth0, true, host.now);
  }
  Errno leave(std::string_view group) {
    return socket->set_membership(ip(group), host.eth0, false, host.now);
  }
  Errno join_source(std::string_view group, std::string_view source) {
    return socket->set_source_membership(ip(group), ip(source), host.eth0, true, host.now);
  }
  Errno leave_source(std::string_view group, std::string_view source) {
    return socket->set_source_membership(ip(group), ip(source), host.eth0, false, host.now);
  }
  /// Every report up to `span` from now, each checked for what all must have.
  std::vector<Told> run_for(Nanos span) {
    told.clear();
    const Nanos end = host.now + span;
    collect();
    while (host.stack.next_deadline() <= end) {
      host.now = std::max(host.now, host.stack.next_deadline());
      host.stack.advance(host.now);
      collect();
    }
    host.now = end;
    return told;
  }
  void collect() {
    for (const Sent& sent : host.take()) {
      if (const auto v4 = sent.ipv4(); v4 && v4->header.protocol == 2) {
        // RFC 3376 4: TTL 1, Router Alert, internetwork control.
        CHECK(v4->header.hop_limit == 1);
        CHECK(v4->header.router_alert);
        CHECK(v4->header.traffic_class == 0xc0);
        CHECK(v4->header.source == host.our4);
        CHECK(wire::checksum_of(sent.transport()) == 0);
        CHECK(sent.ethernet().destination == v4->header.destination.multicast_mac());
        told.push_back({host.now, v4->header.destination, sent.transport()});
      } else if (const auto v6 = sent.ipv6(); v6 && v6->next_header == 0) {
        // RFC 3810 5: hop limit 1, Router Alert in a Hop-by-Hop header, a link-local source.
        CHECK(v6->hop_limit == 1);
        CHECK(v6->source == ip("fe80::1"));
        const auto chain = wire::walk_ipv6(sent.payload());
        CHECK(chain.router_alert);
        REQUIRE(chain.protocol == 58);
        const Bytes packet = sent.payload();
        const Bytes message(packet.begin() + static_cast<std::ptrdiff_t>(chain.offset),
                            packet.end());
        wire::Checksum sum = wire::pseudo_header(v6->source, v6->destination, 58,
                                                 static_cast<std::uint32_t>(message.size()));
        sum.add(message);
        CHECK(sum.folded() == 0xffff);
        told.push_back({host.now, v6->destination, message});
      }
    }
  }
  /// `message` with its checksum filled in.
  void igmp(std::string_view to, Bytes message, std::uint8_t ttl = 1,
            std::string_view source = "10.0.0.2") {
    wire::store16(&message[2], 0);
    wire::store16(&message[2], wire::checksum_of(message));
    const Bytes packet = ipv4({.hop_limit = ttl,
                               .protocol = 2,
                               .source = ip(source),
                               .destination = ip(to),
                               .router_alert = true},
                              message);
    host.receive(ethernet(ip(to).multicast_mac(), host.peer_mac, wire::kEtherIpv4, packet));
  }
  void mld(std::string_view to, Bytes message, bool alert = true,
           std::string_view source = "fe80::2", std::uint8_t hop_limit = 1) {
    fill_checksum(message, 2, ip(source), ip(to), 58);
    Bytes options(wire::kIpv6RouterAlert);
    wire::emit_ipv6_router_alert(58, options);
    const Bytes packet = ipv6({.next_header = static_cast<std::uint8_t>(alert ? 0 : 58),
                               .hop_limit = hop_limit,
                               .source = ip(source),
                               .destination = ip(to)},
                              alert ? options + message : message);
    host.receive(ethernet(ip(to).multicast_mac(), host.peer_mac, wire::kEtherIpv6, packet));
  }
};

Bytes address(std::string_view text) {
  const IpAddress parsed = ip(text);
  return {parsed.bytes().begin(), parsed.bytes().end()};
}
using Names = std::vector<std::string_view>;

Bytes addresses(const Names& names) {
  Bytes all;
  for (const std::string_view name : names) all = all + address(name);
  return all;
}
Bytes igmp_query(std::uint8_t code, std::string_view group, std::size_t more) {
  return Bytes{0x11, code, 0, 0} + address(group) + Bytes(more);
}
Bytes igmp_source_query(std::uint8_t code, std::string_view group, const Names& sources) {
  return igmp_query(code, group, 3) + Bytes{static_cast<std::uint8_t>(sources.size())} +
         addresses(sources);
}
Bytes mld_query(std::uint16_t code, std::string_view group, std::size_t more) {
  Bytes message{130, 0, 0, 0, 0, 0, 0, 0};
  wire::store16(&message[4], code);
  return message + address(group) + Bytes(more);
}
Bytes mld_source_query(std::uint16_t code, std::string_view group, const Names& sources) {
  return mld_query(code, group, 3) + Bytes{static_cast<std::uint8_t>(sources.size())} +
         addresses(sources);
}
/// What is behind the checksum.
Bytes body(const Told& told) { return {told.message.begin() + 4, told.message.end()}; }
Bytes record(std::uint8_t kind, std::string_view group, const Names& sources = {}) {
  return Bytes{kind, 0, 0, static_cast<std::uint8_t>(sources.size())} + address(group) +
         addresses(sources);
}
constexpr std::uint8_t kIsInclude = 1;
constexpr std::uint8_t kIsExclude = 2;
constexpr std::uint8_t kToInclude = 3;
constexpr std::uint8_t kToExclude = 4;
constexpr std::uint8_t kAllow = 5;
constexpr std::uint8_t kBlock = 6;
/// The one record of the report.
Bytes only(const Bytes& record) { return Bytes{0, 0, 0, 1} + record; }

TEST_CASE(
    "a join is told at once and once more within a second, and so is a leave (RFC 3376 5.1)") {
  Member on;
  REQUIRE(on.join("239.1.2.3") == Errno::ok);
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(told[0].at == on.start);
  CHECK(told[1].at - told[0].at <= kSecond);
  for (const Told& each : told) {
    CHECK(each.to == ip("224.0.0.22"));
    CHECK(each.message[0] == 0x22);
    CHECK(body(each) == Bytes{0, 0, 0, 1} + record(4, "239.1.2.3"));
  }
  REQUIRE(on.leave("239.1.2.3") == Errno::ok);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(body(told[1]) == Bytes{0, 0, 0, 1} + record(3, "239.1.2.3"));
}

TEST_CASE("the same by MLD (RFC 3810 6.1)") {
  Member on;
  REQUIRE(on.join("ff15::77") == Errno::ok);
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(told[1].at - told[0].at <= kSecond);
  for (const Told& each : told) {
    CHECK(each.to == ip("ff02::16"));
    CHECK(each.message[0] == 143);
    CHECK(body(each) == Bytes{0, 0, 0, 1} + record(4, "ff15::77"));
  }
  on.socket->close(on.host.now);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(body(told[0]) == Bytes{0, 0, 0, 1} + record(3, "ff15::77"));
}

TEST_CASE("a second listener, all-hosts, all-nodes and what stays in the node are not told") {
  Member on;
  for (const auto* group : {"224.0.0.1", "ff02::1", "ff01::77"}) {
    REQUIRE(on.join(group) == Errno::ok);
  }
  CHECK(on.run_for(20 * kSecond).empty());
  REQUIRE(on.join("239.1.2.3") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).size() == 2);
  socket::Socket& other = on.host.udp_socket();
  REQUIRE(other.set_membership(ip("239.1.2.3"), on.host.eth0, true, on.host.now) == Errno::ok);
  REQUIRE(on.leave("239.1.2.3") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).empty());
}

TEST_CASE("a general query is answered once, in its time, with every group (RFC 3376 5.2)") {
  Member on;
  for (const auto* group : {"239.1.1.1", "239.1.1.2", "224.0.0.251"}) {
    REQUIRE(on.join(group) == Errno::ok);
  }
  on.run_for(20 * kSecond);
  const Nanos asked = on.host.now;
  on.igmp("224.0.0.1", igmp_query(50, "0.0.0.0", 4));
  on.igmp("224.0.0.1", igmp_query(50, "0.0.0.0", 4));
  const auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(told[0].at - asked <= 5 * kSecond);
  CHECK(body(told[0]) == Bytes{0, 0, 0, 3} + record(2, "224.0.0.251") + record(2, "239.1.1.1") +
                             record(2, "239.1.1.2"));
  // A snooping switch without an address asks from 0.0.0.0 (RFC 4541 2.1.1).
  on.igmp("224.0.0.1", igmp_query(1, "0.0.0.0", 4), 1, "0.0.0.0");
  CHECK(on.run_for(kSecond).size() == 1);
}

TEST_CASE("MLD: the groups of our addresses are among the answers (RFC 3810 6.2, RFC 4862 5.4.2)") {
  Member on;
  REQUIRE(on.join("ff15::77") == Errno::ok);
  on.run_for(20 * kSecond);
  on.mld("ff02::1", mld_query(1000, "::", 4));
  auto told = on.run_for(2 * kSecond);
  REQUIRE(told.size() == 1);
  // fd00::1 and fe80::1 have one group.
  CHECK(body(told[0]) == Bytes{0, 0, 0, 2} + record(2, "ff15::77") + record(2, "ff02::1:ff00:1"));
  on.mld("ff02::1:ff00:1", mld_query(1000, "ff02::1:ff00:1", 4));
  told = on.run_for(2 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(body(told[0]) == Bytes{0, 0, 0, 1} + record(2, "ff02::1:ff00:1"));
}

TEST_CASE("a query for one group is answered by its members alone, unless they leave meanwhile") {
  Member on;
  REQUIRE(on.join("239.1.1.1") == Errno::ok);
  on.run_for(20 * kSecond);
  on.igmp("239.1.1.1", igmp_query(10, "239.1.1.1", 4));
  auto told = on.run_for(2 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(body(told[0]) == Bytes{0, 0, 0, 1} + record(2, "239.1.1.1"));
  on.igmp("224.0.0.1", igmp_query(10, "239.9.9.9", 4));
  CHECK(on.run_for(2 * kSecond).empty());
  on.igmp("239.1.1.1", igmp_query(10, "239.1.1.1", 4));
  REQUIRE(on.leave("239.1.1.1") == Errno::ok);
  for (const Told& each : on.run_for(5 * kSecond)) CHECK(each.message[8] == 3);
}

TEST_CASE("an older querier gets older reports, for as long as it may be there (RFC 3376 7.2)") {
  Member on;
  REQUIRE(on.join("239.1.1.1") == Errno::ok);
  on.run_for(20 * kSecond);
  on.igmp("224.0.0.1", igmp_query(100, "0.0.0.0", 0));  // version 2
  auto told = on.run_for(10 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(told[0].to == ip("239.1.1.1"));
  CHECK(told[0].message[0] == 0x16);
  CHECK(body(told[0]) == address("239.1.1.1"));
  REQUIRE(on.leave("239.1.1.1") == Errno::ok);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(told[0].to == ip("224.0.0.2"));
  CHECK(told[0].message[0] == 0x17);

  on.igmp("224.0.0.1", igmp_query(0, "0.0.0.0", 0));  // version 1: no word for leaving
  REQUIRE(on.join("239.1.1.2") == Errno::ok);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(told[0].message[0] == 0x12);
  REQUIRE(on.leave("239.1.1.2") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).empty());

  on.run_for(300 * kSecond);
  REQUIRE(on.join("239.1.1.3") == Errno::ok);
  told = on.run_for(kSecond);
  REQUIRE(!told.empty());
  CHECK(told[0].message[0] == 0x22);
}

TEST_CASE("MLDv1: reports and done (RFC 3810 8.2.1)") {
  Member on;
  on.mld("ff02::1", mld_query(100, "::", 0));
  REQUIRE(on.join("ff15::77") == Errno::ok);
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(told[0].to == ip("ff15::77"));
  CHECK(told[0].message[0] == 131);
  REQUIRE(on.leave("ff15::77") == Errno::ok);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(told[0].to == ip("ff02::2"));
  CHECK(told[0].message[0] == 132);
}

TEST_CASE("queries that are malformed, or from elsewhere, set nothing off") {
  Member on;
  REQUIRE(on.join("239.1.1.1") == Errno::ok);
  REQUIRE(on.join("ff15::77") == Errno::ok);
  on.run_for(20 * kSecond);
  on.igmp("224.0.0.1", igmp_query(10, "0.0.0.0", 4), 2);     // from behind a router
  on.igmp("224.0.0.1", igmp_query(10, "10.0.0.1", 4));       // no group
  on.igmp("224.0.0.1", igmp_query(10, "0.0.0.0", 2));        // RFC 3376 7.1
  on.igmp("224.0.0.1", Bytes{0x16, 0, 0, 0, 239, 1, 1, 1});  // a report
  CHECK(on.host.dropped(Drop::igmp_ignored) == 4);
  on.mld("ff02::1", mld_query(10, "::", 4), false);            // no Router Alert
  on.mld("ff02::1", mld_query(10, "::", 4), true, "fd00::2");  // not link-local
  on.mld("ff02::1", mld_query(10, "::", 4), true, "fe80::2", 64);
  CHECK(on.host.dropped(Drop::icmp_ignored) == 3);
  on.mld("ff02::1", mld_query(10, "::", 2));
  on.mld("ff02::1", mld_query(10, "fd00::1", 4));
  CHECK(on.host.dropped(Drop::icmp_malformed) == 2);
  CHECK(on.run_for(20 * kSecond).empty());
}

TEST_CASE("large numbers are read as RFC 3376 4.1.1 and RFC 3810 5.1.3 say") {
  Bytes message = igmp_query(0x8f, "0.0.0.0", 4);
  wire::store16(&message[2], wire::checksum_of(message));
  CHECK(wire::parse_igmp_query(message)->max_response == ((0x0f | 0x10u) << 3) * 100);
  CHECK(wire::parse_mld_query(mld_query(0x9001, "::", 4))->max_response == (0x1001u << 4));
  CHECK(wire::parse_mld_query(mld_query(0x7fff, "::", 4))->max_response == 0x7fff);
}

TEST_CASE(
    "a thousand groups are told in reports that fit the link, and one query brings them once") {
  Member on;
  std::vector<socket::Socket*> sockets;
  for (int i = 0; i < 1000; i++) {
    if (i % 64 == 0) sockets.push_back(&on.host.udp_socket());
    const std::string group = "239.1." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    REQUIRE(sockets.back()->set_membership(ip(group), on.host.eth0, true, on.host.now) ==
            Errno::ok);
  }
  on.run_for(20 * kSecond);
  on.igmp("224.0.0.1", igmp_query(10, "0.0.0.0", 4));
  const auto told = on.run_for(20 * kSecond);
  CHECK(told.size() == 6);
  std::size_t records = 0;
  for (const Told& each : told) {
    CHECK(each.message.size() <= 1500 - 24);
    records += static_cast<std::size_t>(each.message[6] << 8 | each.message[7]);
  }
  CHECK(records == 1000);
}

TEST_CASE("a link that is up again is told all, and one that is down nothing") {
  Member on;
  REQUIRE(on.join("239.1.1.1") == Errno::ok);
  on.run_for(20 * kSecond);
  on.host.stack.set_up(on.host.eth0, false, on.host.now);
  REQUIRE(on.join("239.1.1.2") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).empty());
  on.host.stack.set_up(on.host.eth0, true, on.host.now);
  const auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() >= 2);
  CHECK(body(told[0]) == Bytes{0, 0, 0, 2} + record(4, "239.1.1.1") + record(4, "239.1.1.2"));
}

TEST_CASE(
    "sources of a group are allowed and blocked one by one, each told twice (RFC 3376 5.1, RFC "
    "3810 6.1)") {
  Member on;
  for (const Names& names :
       {Names{"232.1.1.1", "10.0.0.2", "10.0.0.3"}, Names{"ff3e::77", "fd00::2", "fd00::3"}}) {
    const std::string_view group = names[0], a = names[1], b = names[2];
    CAPTURE(group);
    const auto tells = [&](Errno done, std::uint8_t kind, std::string_view source) {
      REQUIRE(done == Errno::ok);
      const Nanos start = on.host.now;
      const auto told = on.run_for(20 * kSecond);
      REQUIRE(told.size() == 2);
      CHECK(told[0].at == start);
      CHECK(told[1].at - start <= kSecond);
      for (const Told& each : told) {
        CHECK(each.to == ip(ip(group).is_v4() ? "224.0.0.22" : "ff02::16"));
        CHECK(body(each) == only(record(kind, group, {source})));
      }
    };
    tells(on.join_source(group, a), kAllow, a);
    tells(on.join_source(group, b), kAllow, b);
    tells(on.leave_source(group, a), kBlock, a);
    tells(on.leave_source(group, b), kBlock, b);
  }
}

TEST_CASE("sources that come and go while others are still told go together (RFC 3376 5.1)") {
  Member on;
  const std::string_view group = "232.1.1.1";
  on.join_source(group, "10.0.0.2");
  on.join_source(group, "10.0.0.3");
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 3);
  CHECK(body(told[0]) == only(record(kAllow, group, {"10.0.0.2"})));
  CHECK(body(told[1]) == only(record(kAllow, group, {"10.0.0.2", "10.0.0.3"})));
  CHECK(body(told[2]) == only(record(kAllow, group, {"10.0.0.3"})));
  on.join_source(group, "10.0.0.4");
  on.leave_source(group, "10.0.0.2");
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 3);
  CHECK(body(told[1]) == Bytes{0, 0, 0, 2} + record(kAllow, group, {"10.0.0.4"}) +
                             record(kBlock, group, {"10.0.0.2"}));
}

TEST_CASE("who listens to any source outweighs those who listen to some (RFC 3376 3.2)") {
  Member on;
  const std::string_view group = "232.1.1.1";
  REQUIRE(on.join_source(group, "10.0.0.2") == Errno::ok);
  on.run_for(20 * kSecond);
  socket::Socket& other = on.host.udp_socket();
  REQUIRE(other.set_membership(ip(group), on.host.eth0, true, on.host.now) == Errno::ok);
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  for (const Told& each : told) CHECK(body(each) == only(record(kToExclude, group)));
  // Meanwhile single sources change nothing.
  REQUIRE(on.join_source(group, "10.0.0.3") == Errno::ok);
  REQUIRE(on.join_source(group, "10.0.0.4") == Errno::ok);
  REQUIRE(on.leave_source(group, "10.0.0.4") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).empty());
  other.close(on.host.now);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  for (const Told& each : told)
    CHECK(body(each) == only(record(kToInclude, group, {"10.0.0.2", "10.0.0.3"})));
}

TEST_CASE("of two who listen to one source, the second is not told, nor that one of them leaves") {
  Member on;
  REQUIRE(on.join_source("ff3e::77", "fd00::2") == Errno::ok);
  on.run_for(20 * kSecond);
  socket::Socket& other = on.host.udp_socket();
  REQUIRE(other.set_source_membership(ip("ff3e::77"), ip("fd00::2"), on.host.eth0, true,
                                      on.host.now) == Errno::ok);
  REQUIRE(on.leave_source("ff3e::77", "fd00::2") == Errno::ok);
  CHECK(on.run_for(20 * kSecond).empty());
  other.close(on.host.now);
  const auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 2);
  CHECK(body(told[1]) == only(record(kBlock, "ff3e::77", {"fd00::2"})));
}

TEST_CASE("a member that names its first source tells its new mode, and not that it left") {
  Member on;
  REQUIRE(on.join("239.1.2.3") == Errno::ok);
  on.run_for(20 * kSecond);
  REQUIRE(on.join_source("239.1.2.3", "10.0.0.2") == Errno::ok);
  // What is heard by the second time is told then.
  REQUIRE(on.join_source("239.1.2.3", "10.0.0.3") == Errno::ok);
  const auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 3);
  CHECK(body(told[0]) == only(record(kToInclude, "239.1.2.3", {"10.0.0.2"})));
  CHECK(body(told[1]) == only(record(kToInclude, "239.1.2.3", {"10.0.0.2", "10.0.0.3"})));
  CHECK(body(told[2]) == only(record(kAllow, "239.1.2.3", {"10.0.0.3"})));
}

TEST_CASE("queries are answered with the sources that are heard (RFC 3376 5.2, RFC 3810 6.2)") {
  Member on;
  const std::string_view group = "232.1.1.1";
  on.join_source(group, "10.0.0.2");
  on.join_source(group, "10.0.0.3");
  on.join_source("ff3e::77", "fd00::2");
  on.join("239.1.2.3");
  on.run_for(20 * kSecond);
  const auto answer = [&](std::string_view to, const Bytes& query) {
    on.igmp(to, query);
    const auto told = on.run_for(2 * kSecond);
    return told.size() == 1 ? body(told[0]) : Bytes(told.size());
  };
  const Bytes both = record(kIsInclude, group, {"10.0.0.2", "10.0.0.3"});
  CHECK(answer("224.0.0.1", igmp_query(10, "0.0.0.0", 4)) ==
        Bytes{0, 0, 0, 2} + both + record(kIsExclude, "239.1.2.3"));
  CHECK(answer(group, igmp_query(10, group, 4)) == only(both));
  CHECK(answer(group, igmp_source_query(10, group, {"10.0.0.9", "10.0.0.3"})) ==
        only(record(kIsInclude, group, {"10.0.0.3"})));
  CHECK(answer(group, igmp_source_query(10, group, {"10.0.0.9"})).empty());
  // Who hears any source hears those that are asked for.
  CHECK(answer("239.1.2.3", igmp_source_query(10, "239.1.2.3", {"10.0.0.9"})) ==
        only(record(kIsInclude, "239.1.2.3", {"10.0.0.9"})));

  on.mld("ff3e::77", mld_source_query(1000, "ff3e::77", {"fd00::2", "fd00::9"}));
  const auto told = on.run_for(2 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(body(told[0]) == only(record(kIsInclude, "ff3e::77", {"fd00::2"})));
}

TEST_CASE(
    "queries that wait are answered together: all sources, or the whole group (RFC 3376 5.2)") {
  Member on;
  const std::string_view group = "232.1.1.1";
  for (const auto* source : {"10.0.0.2", "10.0.0.3", "10.0.0.4"}) on.join_source(group, source);
  on.run_for(20 * kSecond);
  on.igmp(group, igmp_source_query(50, group, {"10.0.0.2"}));
  on.igmp(group, igmp_source_query(50, group, {"10.0.0.3"}));
  auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(body(told[0]) == only(record(kIsInclude, group, {"10.0.0.2", "10.0.0.3"})));

  const Bytes all = only(record(kIsInclude, group, {"10.0.0.2", "10.0.0.3", "10.0.0.4"}));
  for (const bool whole_first : {true, false}) {
    on.igmp(group,
            whole_first ? igmp_query(50, group, 4) : igmp_source_query(50, group, {"10.0.0.2"}));
    on.igmp(group,
            whole_first ? igmp_source_query(50, group, {"10.0.0.2"}) : igmp_query(50, group, 4));
    told = on.run_for(20 * kSecond);
    REQUIRE(told.size() == 1);
    CHECK(body(told[0]) == all);
  }
  // So are more sources than are kept.
  Bytes many = igmp_query(50, group, 3) + Bytes{100};
  for (std::uint8_t i = 0; i < 100; i++) many = many + Bytes{10, 9, 9, i};
  on.igmp(group, many);
  told = on.run_for(20 * kSecond);
  REQUIRE(told.size() == 1);
  CHECK(body(told[0]) == all);
}

TEST_CASE(
    "older queriers are told of groups alone, not of sources (RFC 3376 7.2.1, RFC 3810 8.2.1)") {
  Member on;
  on.igmp("224.0.0.1", igmp_query(100, "0.0.0.0", 0));
  on.mld("ff02::1", mld_query(100, "::", 0));
  for (const Names& names :
       {Names{"232.1.1.1", "10.0.0.2", "10.0.0.3"}, Names{"ff3e::77", "fd00::2", "fd00::3"}}) {
    const std::string_view group = names[0], a = names[1], b = names[2];
    CAPTURE(group);
    const bool v4 = ip(group).is_v4();
    REQUIRE(on.join_source(group, a) == Errno::ok);
    auto told = on.run_for(20 * kSecond);
    REQUIRE(told.size() == 2);
    for (const Told& each : told) {
      CHECK(each.to == ip(group));
      CHECK(each.message[0] == (v4 ? 0x16 : 131));
    }
    REQUIRE(on.join_source(group, b) == Errno::ok);
    REQUIRE(on.leave_source(group, a) == Errno::ok);
    CHECK(on.run_for(20 * kSecond).empty());
    REQUIRE(on.leave_source(group, b) == Errno::ok);
    told = on.run_for(20 * kSecond);
    REQUIRE(told.size() == 1);
    CHECK(told[0].message[0] == (v4 ? 0x17 : 132));
  }
}

TEST_CASE("more sources than a report has room for go into several (RFC 3810 5.2.15)") {
  Member on;
  const auto source = [](int i) { return "fd00::1:" + std::to_string(i); };
  for (int i = 0; i < 128; i++) {
    socket::Socket& socket = i < 64 ? *on.socket : on.host.udp_socket();
    REQUIRE(socket.set_source_membership(ip("ff3e::77"), ip(source(i)), on.host.eth0, true,
                                         on.host.now) == Errno::ok);
  }
  on.run_for(20 * kSecond);
  on.mld("ff3e::77", mld_query(1000, "ff3e::77", 4));
  const auto told = on.run_for(2 * kSecond);
  REQUIRE(told.size() == 2);
  std::set<IpAddress> sources;
  for (const Told& each : told) {
    const Bytes& message = each.message;
    CHECK(message.size() <= 1500 - 48);
    CHECK(wire::load16(&message[6]) == 1);
    CHECK(message[8] == kIsInclude);
    REQUIRE(message.size() == 28u + 16u * wire::load16(&message[10]));
    for (std::size_t at = 28; at < message.size(); at += 16)
      sources.insert(IpAddress::from_bytes(std::span(message).subspan(at, 16)));
  }
  // 1424 bytes for sources, then what is left.
  CHECK(told[0].message.size() == 28 + 89 * 16);
  CHECK(sources.size() == 128);
}

TEST_CASE("a query that is shorter than its sources sets nothing off") {
  Member on;
  on.join_source("232.1.1.1", "10.0.0.2");
  on.join_source("ff3e::77", "fd00::2");
  on.run_for(20 * kSecond);
  Bytes igmp = igmp_source_query(10, "232.1.1.1", {"10.0.0.2"});
  igmp.pop_back();
  on.igmp("232.1.1.1", igmp);
  CHECK(on.host.dropped(Drop::igmp_ignored) == 1);
  Bytes mld = mld_source_query(10, "ff3e::77", {"fd00::2"});
  mld.pop_back();
  on.mld("ff3e::77", mld);
  CHECK(on.host.dropped(Drop::icmp_malformed) == 1);
  CHECK(on.run_for(2 * kSecond).empty());
}

TEST_CASE("a link that is up again is told the sources that are heard") {
  Member on;
  on.join_source("232.1.1.1", "10.0.0.2");
  on.run_for(20 * kSecond);
  on.host.stack.set_up(on.host.eth0, false, on.host.now);
  on.join_source("232.1.1.1", "10.0.0.3");
  on.host.stack.set_up(on.host.eth0, true, on.host.now);
  const auto told = on.run_for(20 * kSecond);
  REQUIRE(told.size() >= 2);
  CHECK(body(told[0]) == only(record(kAllow, "232.1.1.1", {"10.0.0.2", "10.0.0.3"})));
}

TEST_CASE("the group of an address is told as heard from any source, whatever sockets name") {
  Member on;
  REQUIRE(on.join_source("ff02::1:ff00:1", "fd00::2") == Errno::ok);
  on.run_for(20 * kSecond);
  const std::array asked = {mld_query(1000, "::", 4), mld_query(1000, "ff02::1:ff00:1", 4)};
  for (const Bytes& query : asked) {
    on.mld("ff02::1:ff00:1", query);
    const auto told = on.run_for(2 * kSecond);
    REQUIRE(told.size() == 1);
    CHECK(body(told[0]) == only(record(kIsExclude, "ff02::1:ff00:1")));
  }
}

}  // namespace
}  // namespace vpollnet::test
