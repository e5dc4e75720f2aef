// SPDX-License-Identifier: MIT
#include "host/links/vxlan_header.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace vpollnet;
using namespace vpollnet::host;

TEST_CASE("the VXLAN header has the I flag, the VNI, and zeros where it is reserved (RFC 7348 5)") {
  std::array<std::uint8_t, 8> bytes;
  bytes.fill(0xee);
  emit_vxlan(0x123456, bytes);
  CHECK(bytes == std::array<std::uint8_t, 8>{0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0});
  CHECK(parse_vxlan(bytes) == 0x123456);
  emit_vxlan(kMostVni, bytes);
  CHECK(parse_vxlan(bytes) == kMostVni);
  emit_vxlan(0, bytes);
  CHECK(parse_vxlan(bytes) == 0);
}

TEST_CASE("what is reserved in a VXLAN header is ignored on receipt (RFC 7348 5)") {
  const std::array<std::uint8_t, 8> bytes{0xff, 0xff, 0xff, 0xff, 0, 0, 42, 0xff};
  CHECK(parse_vxlan(bytes) == 42);
}

TEST_CASE("without the I flag, or with less than a header, there is no VNI (RFC 7348 5)") {
  const std::array<std::uint8_t, 8> bytes{0xf7, 0, 0, 0, 0, 0, 42, 0};
  CHECK(parse_vxlan(bytes) == std::nullopt);
  const std::array<std::uint8_t, 8> good{0x08, 0, 0, 0, 0, 0, 42, 0};
  for (std::size_t size = 0; size < 8; size++) {
    CHECK(parse_vxlan(std::span(good).first(size)) == std::nullopt);
  }
}
