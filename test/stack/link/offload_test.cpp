// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <vector>

#include "link/offload.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::link {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

Bytes all_bytes(const Packet& packet) {
  Bytes bytes(packet.size());
  packet.copy_out(0, bytes);
  return bytes;
}

Bytes pattern(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; i++) bytes[i] = static_cast<std::uint8_t>(i * 13 + i / 251);
  return bytes;
}

struct Case {
  bool v4 = true;
  std::size_t link_header = 14;
  std::size_t payload = 10000;
  std::uint16_t mss = 1448;
  std::uint8_t protocol = kTcp;

  IpAddress source() const { return *IpAddress::parse(v4 ? "10.0.0.1" : "fd00::1"); }
  IpAddress destination() const { return *IpAddress::parse(v4 ? "10.0.0.2" : "fd00::2"); }
  std::size_t ip_size() const { return v4 ? 20 : 40; }

  wire::TcpHeader tcp() const {
    wire::TcpHeader header;
    header.source_port = 1000;
    header.destination_port = 2000;
    header.sequence = 0xfffff000;
    header.acknowledgment = 5;
    header.flags = wire::kAck | wire::kPsh | wire::kFin | wire::kCwr;
    header.timestamps = {1, 2};
    return header;
  }

  /// The payload in pieces of odd sizes, the checksum as a sender without offloads leaves it.
  Packet packet(BlockPool& pool) const {
    Packet result;
    const Bytes bytes = pattern(payload);
    for (std::size_t at = 0, step = 1; at < payload; at += step, step = step * 3 + 2) {
      result.append(pool.copy(std::span(bytes).subspan(at, std::min(step, payload - at))));
    }
    std::size_t field = wire::kTcpChecksumOffset;
    if (protocol == kTcp) {
      wire::emit_tcp(tcp(), result.prepend(wire::tcp_size(tcp())));
    } else {
      field = wire::kUdpChecksumOffset;
      wire::emit_udp({1000, 2000, static_cast<std::uint16_t>(payload + 8), 0}, result.prepend(8));
    }
    const auto length = static_cast<std::uint32_t>(result.size());
    wire::store16(&result.writable(field + 2, pool)[field],
                  wire::pseudo_header(source(), destination(), protocol, length).folded());
    result.checksum = ChecksumState::partial;
    result.checksum_from_end = length;
    result.checksum_field = static_cast<std::uint16_t>(field);
    if (v4) {
      wire::Ipv4Header header;
      header.identification = 0xffff;
      header.dont_fragment = true;
      header.protocol = protocol;
      header.source = source();
      header.destination = destination();
      header.payload_length = static_cast<std::uint16_t>(length);
      wire::emit_ipv4(header, result.prepend(20));
    } else {
      wire::Ipv6Header header;
      header.next_header = protocol;
      header.source = source();
      header.destination = destination();
      header.payload_length = static_cast<std::uint16_t>(length);
      wire::emit_ipv6(header, result.prepend(40));
    }
    const auto link = result.prepend(link_header);
    std::fill(link.begin(), link.end(), std::uint8_t{0x5a});
    result.gso_size = mss;
    return result;
  }
};

std::vector<Packet> cut(const Case& test, bool finish, BlockPool& pool) {
  std::vector<Packet> pieces;
  segment(test.packet(pool), test.link_header, finish, pool,
          [&](Packet&& piece) { pieces.push_back(std::move(piece)); });
  return pieces;
}

/// Checks the link and IP headers of a piece and takes them off.
void check_headers(const Case& test, Packet& piece, std::size_t index, BlockPool& pool) {
  const auto bytes = piece.linear(pool);
  for (std::size_t i = 0; i < test.link_header; i++) CHECK(bytes[i] == 0x5a);
  const auto ip = bytes.subspan(test.link_header);
  if (test.v4) {
    const auto parsed = wire::parse_ipv4(ip, ip.size());
    REQUIRE(parsed);
    CHECK(parsed->checksum_ok);
    CHECK(parsed->header.payload_length == ip.size() - 20);
    CHECK(parsed->header.identification == static_cast<std::uint16_t>(0xffff + index));
  } else {
    const auto header = wire::parse_ipv6(ip, ip.size());
    REQUIRE(header);
    CHECK(header->payload_length == ip.size() - 40);
  }
  piece.trim_front(test.link_header + test.ip_size());
}

TEST_CASE("segments put together again are the same bytes, and each one is a packet that holds") {
  for (const bool v4 : {true, false}) {
    for (const std::size_t link_header : {0u, 14u}) {
      for (const std::size_t payload : {1449u, 2896u, 10000u, 65000u}) {
        BlockPool pool;
        const Case test{v4, link_header, payload};
        auto pieces = cut(test, true, pool);
        REQUIRE(pieces.size() == (payload + test.mss - 1) / test.mss);
        Bytes together;
        for (std::size_t i = 0; i < pieces.size(); i++) {
          Packet& piece = pieces[i];
          CHECK(piece.gso_size == 0);
          CHECK(piece.checksum == ChecksumState::unverified);
          check_headers(test, piece, i, pool);
          CHECK(wire::transport_checksum_ok(piece, test.source(), test.destination(), kTcp));
          const auto parsed = wire::parse_tcp(piece.linear(pool));
          REQUIRE(parsed);
          CHECK(parsed->header.sequence ==
                static_cast<std::uint32_t>(0xfffff000 + together.size()));
          CHECK(parsed->header.timestamps == test.tcp().timestamps);
          const bool first = i == 0;
          const bool last = i + 1 == pieces.size();
          CHECK(parsed->header.has(wire::kAck));
          CHECK(parsed->header.has(wire::kCwr) == first);
          CHECK(parsed->header.has(wire::kFin) == last);
          CHECK(parsed->header.has(wire::kPsh) == last);
          piece.trim_front(parsed->length);
          CHECK(piece.size() <= test.mss);
          const Bytes bytes = all_bytes(piece);
          together.insert(together.end(), bytes.begin(), bytes.end());
        }
        CHECK(together == pattern(payload));
      }
    }
  }
}

TEST_CASE(
    "a link that does checksums gets them partial, and completing them gives the same bytes") {
  for (const bool v4 : {true, false}) {
    BlockPool pool;
    const Case test{.v4 = v4};
    const auto finished = cut(test, true, pool);
    auto partial = cut(test, false, pool);
    REQUIRE(partial.size() == finished.size());
    for (std::size_t i = 0; i < partial.size(); i++) {
      CHECK(partial[i].checksum == ChecksumState::partial);
      CHECK(all_bytes(partial[i]) != all_bytes(finished[i]));
      finish_checksum(partial[i], pool);
      CHECK(all_bytes(partial[i]) == all_bytes(finished[i]));
    }
  }
}

TEST_CASE("the payload of a large packet is shared by its segments, not copied") {
  BlockPool pool;
  const Bytes bytes = pattern(60000);
  const Slice body = pool.copy(bytes);
  Case test{.payload = 0};
  Packet packet = test.packet(pool);
  packet.append(body);
  auto* lengths = &packet.writable(54, pool)[0];
  wire::store16(lengths + 14 + 2, static_cast<std::uint16_t>(packet.size() - 14));
  const std::size_t live = pool.live();
  std::vector<Packet> pieces;
  segment(std::move(packet), 14, true, pool,
          [&](Packet&& piece) { pieces.push_back(std::move(piece)); });
  CHECK(pool.live() == live);
  CHECK(body.block()->references == 1 + pieces.size());
  // Nor has completing the checksums changed the bytes that the sender keeps for retransmission.
  CHECK(Bytes(body.bytes().begin(), body.bytes().end()) == bytes);
}

TEST_CASE("a packet that is no larger than a segment goes as it is, with its checksum completed") {
  for (const bool v4 : {true, false}) {
    for (const std::uint16_t mss : {0, 1000}) {
      BlockPool pool;
      const Case test{v4, 14, 1000, mss};
      auto pieces = cut(test, true, pool);
      REQUIRE(pieces.size() == 1);
      CHECK(pieces[0].gso_size == 0);
      check_headers(test, pieces[0], 0, pool);
      CHECK(wire::transport_checksum_ok(pieces[0], test.source(), test.destination(), kTcp));
    }
  }
}

TEST_CASE("UDP packets are cut into datagrams of their own") {
  for (const bool v4 : {true, false}) {
    BlockPool pool;
    const Case test{v4, 14, 5000, 1200, kUdp};
    auto pieces = cut(test, true, pool);
    REQUIRE(pieces.size() == 5);
    Bytes together;
    for (std::size_t i = 0; i < pieces.size(); i++) {
      check_headers(test, pieces[i], i, pool);
      CHECK(wire::transport_checksum_ok(pieces[i], test.source(), test.destination(), kUdp));
      CHECK(wire::parse_udp(pieces[i].linear(pool), pieces[i].size())->length == pieces[i].size());
      pieces[i].trim_front(8);
      const Bytes bytes = all_bytes(pieces[i]);
      together.insert(together.end(), bytes.begin(), bytes.end());
    }
    CHECK(together == pattern(5000));
  }
}

TEST_CASE("what cannot be understood is handed on, not read beyond its end") {
  for (std::size_t size = 0; size < 90; size++) {
    for (const bool v4 : {true, false}) {
      BlockPool pool;
      Packet packet = Case{.v4 = v4}.packet(pool);
      packet.truncate(size);
      int pieces = 0;
      segment(std::move(packet), 14, true, pool, [&](Packet&&) { pieces++; });
      CHECK(pieces == 1);
    }
  }
}

}  // namespace
}  // namespace vpollnet::link
