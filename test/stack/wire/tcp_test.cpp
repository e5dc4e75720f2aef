// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <vector>

#include "wire/bytes.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

TcpHeader syn() {
  TcpHeader header;
  header.source_port = 40000;
  header.destination_port = 80;
  header.sequence = 0xfffffff0;
  header.acknowledgment = 0x01020304;
  header.flags = kSyn | kEce | kCwr;
  header.window = 65535;
  header.urgent = 9;
  header.mss = 1460;
  header.window_scale = 7;
  header.sack_permitted = true;
  header.timestamps = {0x11223344, 0x55667788};
  return header;
}

Bytes emit(const TcpHeader& header) {
  Bytes bytes(tcp_size(header), 0xee);
  emit_tcp(header, bytes);
  return bytes;
}

/// A header with `options`, padded with end-of-list to a multiple of four.
Bytes with_options(Bytes options) {
  TcpHeader header;
  header.flags = kSyn;
  Bytes bytes = emit(header);
  options.resize((options.size() + 3) / 4 * 4, 0);
  bytes.insert(bytes.end(), options.begin(), options.end());
  bytes[12] = static_cast<std::uint8_t>(bytes.size() / 4 << 4);
  return bytes;
}

TEST_CASE("a SYN with all options comes back as it was written") {
  const TcpHeader header = syn();
  const Bytes bytes = emit(header);
  CHECK(bytes.size() == 44);
  const auto parsed = parse_tcp(bytes);
  REQUIRE(parsed);
  CHECK(parsed->length == bytes.size());
  const TcpHeader& read = parsed->header;
  CHECK(read.source_port == header.source_port);
  CHECK(read.destination_port == header.destination_port);
  CHECK(read.sequence == header.sequence);
  CHECK(read.acknowledgment == header.acknowledgment);
  CHECK(read.flags == header.flags);
  CHECK(read.window == header.window);
  CHECK(read.urgent == header.urgent);
  CHECK(read.mss == header.mss);
  CHECK(read.window_scale == header.window_scale);
  CHECK(read.sack_permitted);
  CHECK(read.timestamps == header.timestamps);
  CHECK(read.sack_count == 0);
}

TEST_CASE("as many SACK blocks are written as fit beside the timestamps") {
  TcpHeader header;
  header.flags = kAck;
  header.sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
  header.sack_count = 4;
  CHECK(tcp_size(header) == 20 + 4 + 32);
  CHECK(parse_tcp(emit(header))->header.sack_count == 4);
  header.timestamps = {1, 2};
  CHECK(tcp_size(header) == kTcpHeaderMax);
  const auto read = parse_tcp(emit(header))->header;
  CHECK(read.sack_count == 3);
  CHECK(read.sack[2] == SackBlock{5, 6});
  CHECK(emit(header)[20] == 1);
  CHECK(emit(header)[21] == 1);
  CHECK(emit(header)[22] == 8);
}

TEST_CASE("[T03] no prefix of a header is accepted") {
  const Bytes bytes = emit(syn());
  for (std::size_t length = 0; length < bytes.size(); length++) {
    CHECK_FALSE(
        parse_tcp(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))));
  }
  CHECK(parse_tcp(bytes));
}

TEST_CASE("[T03] a data offset below five is refused") {
  Bytes bytes = emit(syn());
  for (unsigned offset = 0; offset < 5; offset++) {
    bytes[12] = static_cast<std::uint8_t>(offset << 4);
    CHECK_FALSE(parse_tcp(bytes));
    CHECK_FALSE(tcp_header_length(bytes));
  }
  bytes[12] = 15 << 4;
  CHECK_FALSE(parse_tcp(bytes));
  CHECK(tcp_header_length(bytes) == 60);
}

TEST_CASE("[T01] an option of illegal length ends the list and harms nothing before it") {
  for (const Bytes& bad : {Bytes{99, 0}, Bytes{99, 1}, Bytes{99, 200}, Bytes{2, 0}, Bytes{5, 1},
                           Bytes{8, 255}, Bytes{3, 9}}) {
    Bytes options{2, 4, 5, 0xb4};
    options.insert(options.end(), bad.begin(), bad.end());
    options.insert(options.end(), {4, 2});
    const auto parsed = parse_tcp(with_options(options));
    REQUIRE(parsed);
    CHECK(parsed->header.mss == 1460);
    CHECK_FALSE(parsed->header.sack_permitted);
  }
  // A kind as the very last byte has no length at all.
  CHECK(parse_tcp(with_options({1, 1, 1, 99})));
  CHECK(parse_tcp(with_options({1, 1, 1, 2})));
}

TEST_CASE("[T01] known options of a wrong length are passed over, unknown ones too") {
  for (const Bytes& bad :
       {Bytes{2, 3, 5}, Bytes{2, 5, 5, 0xb4, 0}, Bytes{3, 2}, Bytes{3, 4, 7, 7}, Bytes{4, 3, 0},
        Bytes{8, 9, 1, 1, 1, 1, 1, 1, 1}, Bytes{5, 2}, Bytes{5, 9, 1, 1, 1, 1, 1, 1, 1},
        Bytes{5, 11, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Bytes{254, 4, 1, 2}}) {
    Bytes options = bad;
    options.insert(options.end(), {4, 2});
    const auto parsed = parse_tcp(with_options(options));
    REQUIRE(parsed);
    CHECK_FALSE(parsed->header.mss);
    CHECK_FALSE(parsed->header.window_scale);
    CHECK_FALSE(parsed->header.timestamps);
    CHECK(parsed->header.sack_count == 0);
    CHECK(parsed->header.sack_permitted);
  }
}

TEST_CASE("[T01] window scales above 14 count as 14") {
  for (const unsigned shift : {0u, 14u, 15u, 255u}) {
    const auto parsed = parse_tcp(with_options({3, 3, static_cast<std::uint8_t>(shift)}));
    CHECK(parsed->header.window_scale == std::min(shift, 14u));
  }
}

TEST_CASE("[T02] the MSS is told as it came, for the connection to put a floor under") {
  for (const std::uint16_t mss : {0, 1, 47, 65535}) {
    Bytes options{2, 4, 0, 0};
    store16(&options[2], mss);
    CHECK(parse_tcp(with_options(options))->header.mss == mss);
  }
}

TEST_CASE("options behind the end of the list are not read") {
  CHECK_FALSE(parse_tcp(with_options({0, 2, 4, 5, 0xb4}))->header.mss);
}

}  // namespace
}  // namespace vpollnet::wire
