// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <vector>

#include "wire/bytes.hpp"
#include "wire/icmpv6.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"

namespace vpollnet::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Verdict = Ipv6Chain::Verdict;

Ipv4Header v4_header(std::uint16_t payload) {
  Ipv4Header header;
  header.traffic_class = 0xb9;
  header.identification = 0x1234;
  header.dont_fragment = true;
  header.hop_limit = 63;
  header.protocol = 17;
  header.source = *IpAddress::parse("192.0.2.1");
  header.destination = *IpAddress::parse("192.0.2.2");
  header.payload_length = payload;
  return header;
}

Bytes v4_packet(const Ipv4Header& header) {
  Bytes bytes(ipv4_size(header) + header.payload_length);
  emit_ipv4(header, bytes);
  return bytes;
}

/// A packet with `options` (a multiple of four) and a checksum that is right.
Bytes v4_with_options(const Bytes& options) {
  Bytes bytes = v4_packet(v4_header(8));
  bytes.insert(bytes.begin() + 20, options.begin(), options.end());
  bytes[0] = static_cast<std::uint8_t>(4 << 4 | (20 + options.size()) / 4);
  store16(&bytes[2], static_cast<std::uint16_t>(bytes.size()));
  finish_ipv4(std::span(bytes).first(20 + options.size()));
  return bytes;
}

TEST_CASE("IPv4 headers come back, fragments and router alert too") {
  Ipv4Header header = v4_header(100);
  CHECK(parse_ipv4(v4_packet(header), 120)->header == header);
  header.dont_fragment = false;
  header.more_fragments = true;
  header.fragment_offset = 65528;
  header.router_alert = true;
  const auto parsed = parse_ipv4(v4_packet(header), 124);
  REQUIRE(parsed);
  CHECK(parsed->header == header);
  CHECK(parsed->length == 24);
  CHECK(parsed->checksum_ok);
  CHECK(parsed->options_ok);
  CHECK(parsed->header.is_fragment());
}

TEST_CASE("[I01] lengths that contradict each other are refused, a trailer is not") {
  const Bytes good = v4_packet(v4_header(12));
  CHECK(parse_ipv4(good, 32));
  CHECK(parse_ipv4(good, 46)->header.payload_length == 12);
  CHECK_FALSE(parse_ipv4(good, 31));
  Bytes bad = good;
  for (unsigned ihl = 0; ihl < 5; ihl++) {
    bad[0] = static_cast<std::uint8_t>(4 << 4 | ihl);
    CHECK_FALSE(parse_ipv4(bad, 32));
  }
  bad = good;
  bad[0] = 0x4f;  // 60 bytes of header in a packet of 32
  CHECK_FALSE(parse_ipv4(bad, 32));
  bad = good;
  store16(&bad[2], 19);
  CHECK_FALSE(parse_ipv4(bad, 32));
  for (std::size_t length = 0; length < 20; length++)
    CHECK_FALSE(parse_ipv4(std::span(good).first(length), 32));
}

TEST_CASE("[I02] another version is refused and a bad checksum is told") {
  Bytes bytes = v4_packet(v4_header(0));
  for (std::size_t i = 1; i < 20; i++) {
    Bytes bad = bytes;
    bad[i] ^= 0x10;
    const auto parsed = parse_ipv4(bad, SIZE_MAX);
    if (parsed) CHECK_FALSE(parsed->checksum_ok);
  }
  bytes[0] = 0x65;
  CHECK_FALSE(parse_ipv4(bytes, 20));
}

TEST_CASE("[I03] option lists are read within their bounds and source routes are seen") {
  CHECK(parse_ipv4(v4_with_options({1, 1, 1, 0}), 32)->options_ok);
  CHECK(parse_ipv4(v4_with_options({0, 7, 0, 0}), 32)->options_ok);
  CHECK(parse_ipv4(v4_with_options({68, 4, 5, 0}), 32)->options_ok);
  for (const Bytes& bad :
       {Bytes{7, 0, 0, 0}, Bytes{7, 1, 0, 0}, Bytes{7, 5, 4, 0}, Bytes{1, 1, 1, 7},
        Bytes{7, 2, 0, 0}, Bytes{7, 3, 3, 0}, Bytes{7, 3, 5, 0}, Bytes{99, 0, 0, 0}}) {
    const auto parsed = parse_ipv4(v4_with_options(bad), 32);
    REQUIRE(parsed);
    CHECK_FALSE(parsed->options_ok);
    CHECK_FALSE(parsed->source_route);
  }
  for (const std::uint8_t type : {131, 137}) {
    CHECK(parse_ipv4(v4_with_options({type, 7, 4, 10, 0, 0, 1, 0}), 36)->source_route);
    CHECK(parse_ipv4(v4_with_options({type, 3, 9, 0}), 32)->source_route);
  }
}

// --- IPv6
// -----------------------------------------------------------------------------------------

constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kTcp = 6;

Ipv6Header v6_header(std::uint8_t next) {
  Ipv6Header header;
  header.traffic_class = 0xb8;
  header.flow_label = 0xfedcb;
  header.next_header = next;
  header.hop_limit = 7;
  header.source = *IpAddress::parse("2001:db8::1");
  header.destination = *IpAddress::parse("2001:db8::2");
  return header;
}

Bytes v6_packet(std::uint8_t next, const Bytes& payload, const char* destination = "2001:db8::2") {
  Ipv6Header header = v6_header(next);
  header.destination = *IpAddress::parse(destination);
  header.payload_length = static_cast<std::uint16_t>(payload.size());
  Bytes bytes(kIpv6Header);
  emit_ipv6(header, bytes);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes bytes;
  for (const Bytes& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

Bytes fragment_header(std::uint8_t next, std::uint16_t offset, bool more) {
  Bytes bytes(8);
  emit_ipv6_fragment({next, offset, more, 0xdeadbeef}, bytes);
  return bytes;
}

Bytes options_header(std::uint8_t next, Bytes options) {
  const std::size_t units = (2 + options.size() + 7) / 8;
  Bytes bytes(8 * units);
  bytes[0] = next;
  bytes[1] = static_cast<std::uint8_t>(units - 1);
  std::copy(options.begin(), options.end(), bytes.begin() + 2);
  return bytes;
}

void check_problem(const Bytes& packet, std::uint8_t code, std::uint32_t pointer) {
  const Ipv6Chain chain = walk_ipv6(packet);
  CHECK(chain.verdict == Verdict::problem);
  CHECK(chain.problem_code == code);
  CHECK(chain.problem_pointer == pointer);
}

TEST_CASE("[V01] IPv6 headers come back; a payload longer than the packet is refused") {
  Ipv6Header header = v6_header(kUdp);
  header.payload_length = 8;
  Bytes bytes(kIpv6Header);
  emit_ipv6(header, bytes);
  CHECK(parse_ipv6(bytes, 48) == header);
  CHECK(parse_ipv6(bytes, 60) == header);
  CHECK_FALSE(parse_ipv6(bytes, 47));
  CHECK_FALSE(parse_ipv6(bytes, 0));
  for (std::size_t length = 0; length < bytes.size(); length++)
    CHECK_FALSE(parse_ipv6(std::span(bytes).first(length), 48));
  bytes[0] = 0x45;
  CHECK_FALSE(parse_ipv6(bytes, 48));
}

TEST_CASE("a chain of known headers leads to the upper layer") {
  const Bytes udp(8);
  CHECK(walk_ipv6(v6_packet(kUdp, udp)).verdict == Verdict::upper);
  Bytes alert(8);
  emit_ipv6_router_alert(kNextRouting, alert);
  const Bytes packet = v6_packet(kNextHopByHop, join({alert,
                                                      {kNextDestination, 0, 0, 0, 0, 0, 0, 0},
                                                      options_header(kUdp, {1, 4, 0, 0, 0, 0}),
                                                      udp}));
  const Ipv6Chain chain = walk_ipv6(packet);
  CHECK(chain.verdict == Verdict::upper);
  CHECK(chain.protocol == kUdp);
  CHECK(chain.offset == 40 + 24);
  CHECK(chain.protocol_field == 56);
  CHECK(chain.router_alert);
  CHECK_FALSE(chain.fragment);
  // Cut anywhere inside the chain it leads nowhere.
  for (std::size_t length = 0; length < 64; length++)
    CHECK(walk_ipv6(std::span(packet).first(length)).verdict == Verdict::drop);
}

TEST_CASE("[V02] options are skipped, dropped or reported as their two high bits say") {
  const Bytes udp(8);
  const auto with = [&](std::uint8_t type, const char* to) {
    return v6_packet(kNextHopByHop, join({options_header(kUdp, {1, 0, type, 0, 0, 0}), udp}), to);
  };
  CHECK(walk_ipv6(with(0x1e, "2001:db8::2")).verdict == Verdict::upper);
  CHECK(walk_ipv6(with(0x5e, "2001:db8::2")).verdict == Verdict::drop);
  for (const char* to : {"2001:db8::2", "ff02::1"}) {
    check_problem(with(0x9e, to), kProblemOption, 44);
    CHECK(walk_ipv6(with(0x9e, to)).problem_to_group);
  }
  check_problem(with(0xde, "2001:db8::2"), kProblemOption, 44);
  CHECK_FALSE(walk_ipv6(with(0xde, "2001:db8::2")).problem_to_group);
  CHECK(walk_ipv6(with(0xde, "ff02::1")).verdict == Verdict::drop);
}

TEST_CASE("[V02][V04] headers and options that run past their end are dropped") {
  const Bytes udp(8);
  for (const std::uint8_t header : {kNextHopByHop, kNextDestination, kNextRouting}) {
    Bytes packet = v6_packet(header, join({{kUdp, 1, 1, 0, 1, 0, 0, 0}, {}, Bytes(7)}));
    CHECK(walk_ipv6(packet).verdict == Verdict::drop);
    packet[41] = 255;
    CHECK(walk_ipv6(packet).verdict == Verdict::drop);
  }
  for (const Bytes& options :
       {Bytes{1, 5, 0, 0, 0, 0}, Bytes{5, 255, 0, 0, 0, 0}, Bytes{0, 0, 0, 0, 0, 5}}) {
    const Bytes packet = v6_packet(kNextDestination, join({options_header(kUdp, options), udp}));
    CHECK(walk_ipv6(packet).verdict == Verdict::drop);
  }
}

TEST_CASE("[V03] a length of 255 units is 2048 bytes, not zero") {
  Bytes header(2048);
  header[0] = kUdp;
  header[1] = 255;
  const Ipv6Chain chain = walk_ipv6(v6_packet(kNextDestination, join({header, Bytes(8)})));
  CHECK(chain.verdict == Verdict::upper);
  CHECK(chain.offset == 40 + 2048);
  header.resize(2040);
  CHECK(walk_ipv6(v6_packet(kNextDestination, header)).verdict == Verdict::drop);
}

TEST_CASE("[V05] long chains, misplaced and repeated headers and jumbograms are refused") {
  Bytes chain;
  for (int i = 0; i < 1000; i++) chain.insert(chain.end(), {kNextDestination, 0, 1, 4, 0, 0, 0, 0});
  check_problem(v6_packet(kNextDestination, chain), kProblemTooManyHeaders,
                40 + 8 * kMaxExtensionHeaders);
  check_problem(v6_packet(kNextDestination, join({{kNextHopByHop, 0, 1, 4, 0, 0, 0, 0},
                                                  {kUdp, 0, 1, 4, 0, 0, 0, 0},
                                                  Bytes(8)})),
                kProblemNextHeader, 40);
  check_problem(v6_packet(kNextFragment, join({fragment_header(kNextFragment, 0, false),
                                               fragment_header(kUdp, 0, false), Bytes(8)})),
                kProblemNextHeader, 40);
  CHECK(walk_ipv6(v6_packet(kNextFragment, join({fragment_header(kUdp, 0, false), Bytes(8)})), true)
            .verdict == Verdict::problem);
  check_problem(
      v6_packet(kNextHopByHop, join({options_header(kUdp, {0xc2, 4, 0, 1, 0, 0}), Bytes(8)})),
      kProblemOption, 42);
  Bytes options;
  for (unsigned i = 0; i <= kMaxOptions; i++) options.insert(options.end(), {0x1e, 0});
  check_problem(v6_packet(kNextDestination, join({options_header(kUdp, options), Bytes(8)})),
                kProblemTooManyOptions, 42 + 2 * kMaxOptions);
}

TEST_CASE("[V06] routing headers with segments left are refused, those without are passed over") {
  for (const std::uint8_t type : {0, 2, 3, 4, 253}) {
    check_problem(v6_packet(kNextRouting, join({{kUdp, 0, type, 1, 0, 0, 0, 0}, Bytes(8)})),
                  kProblemField, 42);
    CHECK(walk_ipv6(v6_packet(kNextRouting, join({{kUdp, 0, type, 0, 0, 0, 0, 0}, Bytes(8)})))
              .verdict == Verdict::upper);
  }
}

TEST_CASE("[V08] a first fragment without its whole header chain is reported with code 3") {
  Bytes tcp(24);
  tcp[12] = 6 << 4;
  const auto first = [](std::uint8_t next, const Bytes& data) {
    return v6_packet(kNextFragment, join({fragment_header(next, 0, true), data}));
  };
  const Ipv6Chain chain = walk_ipv6(first(kTcp, tcp));
  CHECK(chain.verdict == Verdict::fragment);
  CHECK(chain.protocol == kTcp);
  CHECK(chain.offset == 48);
  CHECK(chain.fragment_at == 40);
  CHECK(chain.fragment_field == 6);
  CHECK(chain.fragment == Ipv6Fragment{kTcp, 0, true, 0xdeadbeef});
  tcp[12] = 8 << 4;
  check_problem(first(kTcp, tcp), kProblemFirstFragment, 0);
  check_problem(first(kTcp, Bytes(16)), kProblemFirstFragment, 0);
  check_problem(first(kUdp, {}), kProblemFirstFragment, 0);
  check_problem(first(kNextDestination, {kTcp, 1, 1, 4, 0, 0, 0, 0}), kProblemFirstFragment, 0);
  // The others have no chain to look at.
  const Ipv6Chain second = walk_ipv6(
      v6_packet(kNextFragment, join({fragment_header(kNextDestination, 1232, false), {1, 2, 3}})));
  CHECK(second.verdict == Verdict::fragment);
  CHECK(second.protocol == kNextDestination);
}

TEST_CASE("[F02][F03] fragments of odd length or beyond 65535 are reported with code 0") {
  check_problem(v6_packet(kNextFragment, join({fragment_header(kUdp, 8, true), Bytes(9)})),
                kProblemField, 4);
  check_problem(v6_packet(kNextFragment, join({fragment_header(kUdp, 65528, false), Bytes(8)})),
                kProblemField, 42);
  CHECK(walk_ipv6(v6_packet(kNextFragment, join({fragment_header(kUdp, 65528, false), Bytes(7)})))
            .verdict == Verdict::fragment);
}

TEST_CASE("[V09] an atomic fragment is a whole packet") {
  const Ipv6Chain chain =
      walk_ipv6(v6_packet(kNextFragment, join({fragment_header(kUdp, 0, false), Bytes(8)})));
  CHECK(chain.verdict == Verdict::upper);
  CHECK(chain.protocol == kUdp);
  CHECK(chain.offset == 48);
  CHECK(chain.fragment->atomic());
}

// --- ICMP
// -----------------------------------------------------------------------------------------

TEST_CASE("[V10] ICMP headers come back and are never shorter than eight bytes") {
  const IcmpHeader header = IcmpHeader::echo(kIcmpv4EchoRequest, 0x1234, 0x5678);
  Bytes bytes(kIcmpHeader);
  emit_icmpv4(header, bytes);
  CHECK(parse_icmpv4(bytes) == header);
  CHECK(parse_icmpv6(bytes)->identifier() == 0x1234);
  CHECK(parse_icmpv6(bytes)->sequence() == 0x5678);
  for (std::size_t length = 0; length < bytes.size(); length++)
    CHECK_FALSE(parse_icmpv4(std::span(bytes).first(length)));
  CHECK(icmpv4_is_error(kIcmpv4TimeExceeded));
  CHECK_FALSE(icmpv4_is_error(4));  // source quench (RFC 6633)
  CHECK(icmpv4_forbids_answer(5));
  CHECK_FALSE(icmpv4_forbids_answer(kIcmpv4EchoRequest));
}

TEST_CASE("[C01] quotations that are cut short or no first fragment are ignored") {
  Ipv4Header header = v4_header(1000);
  Bytes v4 = v4_packet(header);
  v4.resize(28);
  REQUIRE(parse_icmpv4_quote(v4));
  CHECK(parse_icmpv4_quote(v4)->destination == header.destination);
  CHECK(parse_icmpv4_quote(v4)->transport.size() == 8);
  for (std::size_t length = 0; length < v4.size(); length++)
    CHECK_FALSE(parse_icmpv4_quote(std::span(v4).first(length)));
  header.fragment_offset = 8;
  CHECK_FALSE(parse_icmpv4_quote(v4_packet(header)));

  Bytes v6 = v6_packet(kNextFragment, join({fragment_header(kUdp, 0, true), Bytes(1232)}));
  v6.resize(40 + 8 + 9);
  REQUIRE(parse_icmpv6_quote(v6));
  CHECK(parse_icmpv6_quote(v6)->protocol == kUdp);
  CHECK(parse_icmpv6_quote(v6)->transport.size() == 9);
  for (std::size_t length = 0; length < 56; length++)
    CHECK_FALSE(parse_icmpv6_quote(std::span(v6).first(length)));
  CHECK_FALSE(parse_icmpv6_quote(
      v6_packet(kNextFragment, join({fragment_header(kUdp, 8, false), Bytes(64)}))));
}

}  // namespace
}  // namespace vpollnet::wire
