// SPDX-License-Identifier: MIT
// The packet filter where it stands in the stack; the rules themselves are compared at the end.
#include <doctest/doctest.h>

#include "test/stack/support/router.hpp"

namespace vpollnet::test {
namespace {

using filter::Action;
using filter::Direction;
using filter::FlowState;
using filter::Rule;
using filter::RuleSet;

constexpr std::uint8_t bit(Direction direction) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(direction));
}
constexpr std::uint8_t bit(FlowState state) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(state));
}

Rule rule(Action action) {
  Rule made;
  made.action = action;
  return made;
}

/// What leaves over the wan, and answers to it; nothing else is forwarded.
RuleSet outward_only(const Router& router) {
  RuleSet set;
  Rule known = rule(Action::accept);
  known.states = bit(FlowState::established) | bit(FlowState::related);
  set.rules.push_back(known);
  Rule out = rule(Action::accept);
  out.directions = bit(Direction::forward);
  out.in = {router.lan};
  out.out = {router.wan};
  out.states = bit(FlowState::fresh);
  set.rules.push_back(out);
  set.policy[0] = Action::drop;
  return set;
}

bool passes(Router& router, InterfaceId towards) {
  bool any = false;
  for (const Sent& frame : router.take()) any = any || frame.interface == towards;
  return any;
}

TEST_CASE("answers pass the filter, and what nobody asked for does not") {
  Router router;
  router.forward();
  REQUIRE(router.host.stack.set_filter(outward_only(router)) == Errno::ok);
  for (const auto& [in, out] :
       {std::pair{router.inner4, router.world4}, {router.inner6, router.world6}}) {
    router.from_wan(udp_packet(out, 53, in, 1000));
    CHECK_FALSE(passes(router, router.lan));
    router.from_lan(udp_packet(in, 1000, out, 53));
    CHECK(passes(router, router.wan));
    router.from_wan(udp_packet(out, 53, in, 1000));
    CHECK(passes(router, router.lan));
    router.from_wan(udp_packet(out, 54, in, 1000));
    CHECK_FALSE(passes(router, router.lan));
    // Echo, by its identifier.
    router.from_wan(echo_packet(out, in, false, 77));
    CHECK_FALSE(passes(router, router.lan));
    router.from_lan(echo_packet(in, out, true, 77));
    CHECK(passes(router, router.wan));
    router.from_wan(echo_packet(out, in, false, 77));
    CHECK(passes(router, router.lan));
  }
  CHECK(router.host.dropped(Drop::filter_dropped) == 6);
  CHECK(router.host.stack.connections().size() == 4);
}

TEST_CASE("a TCP flow begins with a SYN; a segment without one is invalid") {
  Router router;
  router.forward();
  RuleSet set;
  Rule invalid = rule(Action::drop);
  invalid.states = bit(FlowState::invalid);
  set.rules.push_back(invalid);
  router.host.stack.set_filter(set);
  const auto send = [&](std::uint8_t flags) {
    router.from_lan(tcp_packet(router.inner4, 1, router.world4, 80, flags));
    return passes(router, router.wan);
  };
  for (const int flags : {0x00, 0x01, 0x02 | 0x01, 0x02 | 0x04, 0x10, 0x12, 0x04, 0x29, 0x3f}) {
    CAPTURE(flags);
    CHECK_FALSE(send(static_cast<std::uint8_t>(flags)));  // security case T06 among them
  }
  CHECK(send(wire::kSyn));
  CHECK(send(wire::kAck));
}

TEST_CASE("an ICMP error about a flow is related, one about nothing is invalid (RFC 5508)") {
  Router router;
  router.forward();
  router.host.stack.set_filter(outward_only(router));
  const auto error = [&](std::uint16_t port) {
    const Bytes about = udp_packet(router.inner4, port, router.world4, 53);
    router.from_wan(ipv4({.protocol = 1, .source = router.outer4, .destination = router.inner4},
                         icmpv4({wire::kIcmpv4Unreachable, 1, 0}, about)));
    return passes(router, router.lan);
  };
  router.from_lan(udp_packet(router.inner4, 1000, router.world4, 53));
  router.take();
  CHECK(error(1000));
  CHECK_FALSE(error(1001));
}

TEST_CASE("what is refused is told so: RST for TCP, port unreachable or prohibited for the rest") {
  Router router;
  router.forward();
  RuleSet set;
  set.policy[0] = Action::reject;
  router.host.stack.set_filter(set);
  router.from_lan(
      tcp_packet(router.inner4, 1000, router.world4, 80, wire::kSyn, 500, 0, pattern(3)));
  router.from_lan(tcp_packet(router.inner6, 1000, router.world6, 80, wire::kAck, 500, 777));
  auto sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(ends_of(sent[0].payload()) == Ends{router.world4, 80, router.inner4, 1000});
  auto reset = wire::parse_tcp(sent[0].transport())->header;
  CHECK(reset.flags == (wire::kRst | wire::kAck));
  CHECK(reset.acknowledgment == 504);  // RFC 9293 3.10.7.1
  CHECK(ends_of(sent[1].payload()) == Ends{router.world6, 80, router.inner6, 1000});
  reset = wire::parse_tcp(sent[1].transport())->header;
  CHECK(reset.flags == wire::kRst);
  CHECK(reset.sequence == 777);
  router.from_lan(tcp_packet(router.inner4, 1000, router.world4, 80, wire::kRst));
  CHECK(router.take().empty());  // no RST for a RST

  router.from_lan(udp_packet(router.inner4, 1, router.world4, 2));
  router.from_lan(udp_packet(router.inner6, 1, router.world6, 2));
  sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4PortUnreachable, 0});
  CHECK(sent[1].icmp() ==
        wire::IcmpHeader{wire::kIcmpv6Unreachable, wire::kIcmpv6PortUnreachable, 0});
  set.policy[0] = Action::prohibit;
  router.host.stack.set_filter(set);
  router.from_lan(tcp_packet(router.inner4, 1, router.world4, 2, wire::kSyn));
  router.from_lan(tcp_packet(router.inner6, 1, router.world6, 2, wire::kSyn));
  sent = router.take();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].icmp() ==
        wire::IcmpHeader{wire::kIcmpv4Unreachable, wire::kIcmpv4CommunicationProhibited, 0});
  CHECK(sent[1].icmp() == wire::IcmpHeader{wire::kIcmpv6Unreachable, wire::kIcmpv6Prohibited, 0});
  CHECK(router.host.stack.connections().empty());
}

TEST_CASE("what is for the router itself is filtered too, but never neighbour discovery") {
  Router router;
  RuleSet set;
  set.policy[1] = Action::drop;
  router.host.stack.set_filter(set);  // works without forwarding
  const socket::Socket& socket = router.host.udp_socket(7);
  router.from_lan(udp_packet(router.inner4, 1, router.lan4, 7));
  router.from_lan(udp_packet(router.inner6, 1, router.lan6, 7));
  CHECK((socket.readiness() & socket::kIn) == 0);
  CHECK(router.take().empty());
  router.from_lan(ndp(router.inner6, router.lan6,
                      wire::NeighbourSolicitation{router.lan6, mac(0x12), std::nullopt}));
  CHECK(router.take().size() == 1);
  Rule allowed = rule(Action::accept);
  allowed.protocol = 17;
  allowed.destination_ports = {{7, 7}};
  set.rules = {allowed};
  router.host.stack.set_filter(set);
  router.from_lan(udp_packet(router.inner6, 1, router.lan6, 7));
  CHECK((socket.readiness() & socket::kIn) != 0);
}

TEST_CASE("what the stack sends is filtered; its own sockets learn of it") {
  Router router;
  RuleSet set;
  set.policy[2] = Action::drop;
  router.host.stack.set_filter(set);
  socket::Socket& udp = router.host.udp_socket();
  CHECK(router.host.send(udp, router.outer4, 9, {1}) == Errno::not_permitted);
  CHECK(router.host.send(udp, router.outer6, 9, {1}) == Errno::not_permitted);
  CHECK(router.take().empty());
  set.policy[2] = Action::reject;
  router.host.stack.set_filter(set);
  for (const IpAddress& to : {router.outer4, router.outer6}) {
    socket::Socket& tcp = **router.host.stack.sockets().open(socket::Type::tcp);
    tcp.connect({to, 80}, router.host.now);
    router.host.settle();
    CHECK(*tcp.option(socket::Option::error) == ECONNREFUSED);
    CHECK(router.take().empty());
  }
  // Answers to what came in are another matter.
  Rule known = rule(Action::accept);
  known.states = bit(FlowState::established);
  set.rules = {known};
  router.host.stack.set_filter(set);
  router.from_lan(echo_packet(router.inner4, router.lan4, true, 5));
  CHECK(router.take().size() == 1);
  // What it says to itself is nobody's business.
  socket::Socket& own = router.host.udp_socket(99);
  CHECK(router.host.send(udp, ip("127.0.0.1"), 99, {1}) == Errno::ok);
  router.host.settle();
  CHECK((own.readiness() & socket::kIn) != 0);
}

TEST_CASE("fragments are put together for the filter, and go on no larger than they came") {
  Router router;
  router.forward();
  RuleSet set;
  Rule allowed = rule(Action::accept);
  allowed.protocol = 17;
  allowed.destination_ports = {{53, 53}};
  set.rules = {allowed};
  set.policy[0] = Action::drop;
  router.host.stack.set_filter(set);
  const Bytes datagram = udp(router.inner4, router.world4, 1, 53, pattern(2000));
  wire::Ipv4Header header{.identification = 8,
                          .more_fragments = true,
                          .protocol = 17,
                          .source = router.inner4,
                          .destination = router.world4};
  const auto part = [&](std::size_t begin, std::size_t end) {
    return Bytes(datagram.begin() + static_cast<std::ptrdiff_t>(begin),
                 datagram.begin() + static_cast<std::ptrdiff_t>(end));
  };
  router.from_lan(ipv4(header, part(0, 1000)));
  CHECK(router.take().empty());
  header.more_fragments = false;
  header.fragment_offset = 1000;
  router.from_lan(ipv4(header, part(1000, 2008)));
  auto sent = router.take();
  REQUIRE(sent.size() >= 2);
  Bytes together(datagram.size());
  for (const Sent& frame : sent) {
    CHECK(frame.payload().size() <= 1028);
    const Bytes data = frame.transport();
    std::copy(data.begin(), data.end(), together.begin() + frame.ipv4()->header.fragment_offset);
  }
  CHECK(together == datagram);

  // IPv6: in fragments again, since no router may cut what was not cut by its sender.
  const Bytes datagram6 = udp(router.inner6, router.world6, 1, 53, pattern(2000));
  const auto part6 = [&](std::size_t begin, std::size_t end, bool more) {
    Bytes front(wire::kIpv6FragmentHeader);
    wire::emit_ipv6_fragment({17, static_cast<std::uint16_t>(begin), more, 77}, front);
    return ipv6(
        {.next_header = wire::kNextFragment, .source = router.inner6, .destination = router.world6},
        front + Bytes(datagram6.begin() + static_cast<std::ptrdiff_t>(begin),
                      datagram6.begin() + static_cast<std::ptrdiff_t>(end)));
  };
  router.from_lan(part6(1200, 2008, false));
  router.from_lan(part6(0, 1200, true));
  sent = router.take();
  REQUIRE(sent.size() == 2);
  for (const Sent& frame : sent) {
    CHECK(frame.interface == router.wan);
    CHECK(frame.ipv6()->next_header == wire::kNextFragment);
    CHECK(frame.ipv6()->hop_limit == 63);
    CHECK(frame.payload().size() <= 1248);
  }
}

TEST_CASE("a tiny first fragment does not get a flow past the filter (RFC 1858)") {
  Router router;
  router.forward();
  RuleSet set;
  set.policy[0] = Action::drop;
  router.host.stack.set_filter(set);
  wire::Ipv4Header header{.identification = 8,
                          .more_fragments = true,
                          .protocol = 6,
                          .source = router.inner4,
                          .destination = router.world4};
  router.from_lan(ipv4(header, pattern(8)));
  header.more_fragments = false;
  header.fragment_offset = 8;
  router.from_lan(ipv4(header, pattern(32)));
  CHECK(router.take().empty());
}

TEST_CASE("rules are replaced all at once, flows stay known, and counts begin anew") {
  Router router;
  router.forward();
  router.host.stack.set_filter(outward_only(router));
  router.from_lan(udp_packet(router.inner4, 1000, router.world4, 53));
  router.from_wan(udp_packet(router.world4, 53, router.inner4, 1000));
  FilterInfo info = router.host.stack.filter_info();
  CHECK(info.rules[0].packets == 1);
  CHECK(info.rules[1].packets == 1);
  CHECK(info.rules[1].bytes == 31);
  RuleSet set = outward_only(router);
  set.rules.pop_back();
  router.host.stack.set_filter(set);
  CHECK(router.host.stack.filter_info().rules.size() == 1);
  CHECK(router.host.stack.filter_info().rules[0].packets == 0);
  router.take();
  router.from_wan(udp_packet(router.world4, 53, router.inner4, 1000));
  CHECK(passes(router, router.lan));
  router.from_lan(udp_packet(router.inner4, 1001, router.world4, 53));
  CHECK_FALSE(passes(router, router.wan));
  CHECK(router.host.stack.filter_info().policies[0].packets == 1);
  router.host.stack.set_filter(std::nullopt);
  router.from_lan(udp_packet(router.inner4, 1001, router.world4, 53));
  CHECK(passes(router, router.wan));
  CHECK(router.host.stack.connections().empty());
}

TEST_CASE("a set with too many rules, or a policy that decides nothing, is refused") {
  Router router;
  RuleSet set;
  set.rules.resize(RuleSet::kMaxRules + 1);
  CHECK(router.host.stack.set_filter(set) == Errno::invalid);
  set.rules.clear();
  set.policy[1] = Action::count;
  CHECK(router.host.stack.set_filter(set) == Errno::invalid);
}

TEST_CASE("the log has what a rule noted, and no more than its bound") {
  Router router;
  router.forward();
  RuleSet set;
  set.rules = {rule(Action::log), rule(Action::count)};
  router.host.stack.set_filter(set);
  for (std::uint16_t port = 1; port <= 300; port++) {
    router.from_lan(udp_packet(router.inner4, port, router.world4, 53));
  }
  const auto log = router.host.stack.take_filter_log();
  REQUIRE(log.size() == filter::Filter::kLogEntries);
  CHECK(log.back().subject.tuple.source_port == 300);
  CHECK(log.back().subject.in == router.lan);
  CHECK(log.back().subject.out == router.wan);
  CHECK(log.back().subject.state == FlowState::fresh);
  CHECK(router.host.stack.take_filter_log().empty());
  CHECK(router.host.stack.filter_info().rules[1].packets == 300);
}

TEST_CASE("a rule fits what fits all of it") {
  filter::Subject subject{.direction = Direction::forward,
                          .in = 2,
                          .out = 3,
                          .tuple = {ip("10.0.0.5"), ip("192.0.2.9"), 4000, 443, 6, {}},
                          .state = FlowState::fresh};
  const auto check = [&](auto change) {
    Rule made;
    change(made);
    return filter::fits(made, subject);
  };
  CHECK(check([](Rule&) {}));
  CHECK(check([](Rule& one) { one.directions = bit(Direction::forward); }));
  CHECK_FALSE(check([](Rule& one) { one.directions = bit(Direction::input); }));
  CHECK(check([](Rule& one) { one.in = {1, 2}; }));
  CHECK_FALSE(check([](Rule& one) { one.in = {3}; }));
  CHECK(check([](Rule& one) { one.out = {3}; }));
  CHECK_FALSE(check([](Rule& one) { one.out = {2}; }));
  CHECK(check([](Rule& one) { one.sources = {cidr("fd00::/8"), cidr("10.0.0.0/24")}; }));
  CHECK_FALSE(check([](Rule& one) { one.sources = {cidr("10.0.1.0/24")}; }));
  CHECK(check([](Rule& one) { one.destinations = {cidr("192.0.2.9/32")}; }));
  CHECK_FALSE(check([](Rule& one) { one.destinations = {cidr("192.0.2.8/32")}; }));
  CHECK(check([](Rule& one) { one.protocol = std::uint8_t{6}; }));
  CHECK_FALSE(check([](Rule& one) { one.protocol = std::uint8_t{17}; }));
  CHECK(check([](Rule& one) { one.destination_ports = {{80, 80}, {400, 443}}; }));
  CHECK_FALSE(check([](Rule& one) { one.destination_ports = {{444, 65'535}}; }));
  CHECK(check([](Rule& one) { one.source_ports = {{4000, 4000}}; }));
  CHECK_FALSE(check([](Rule& one) { one.source_ports = {{0, 3999}}; }));
  CHECK_FALSE(check([](Rule& one) { one.icmp_type = std::uint8_t{0}; }));
  CHECK(check([](Rule& one) { one.states = bit(FlowState::fresh); }));
  CHECK_FALSE(check([](Rule& one) { one.states = bit(FlowState::established); }));
  subject.icmp = true;
  subject.icmp_type = 8;
  CHECK(check([](Rule& one) { one.icmp_type = std::uint8_t{8}; }));
  CHECK_FALSE(check([](Rule& one) { one.icmp_type = std::uint8_t{0}; }));
  CHECK_FALSE(check([](Rule& one) { one.icmp_code = std::uint8_t{1}; }));
}

}  // namespace
}  // namespace vpollnet::test
