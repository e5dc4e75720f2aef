// SPDX-License-Identifier: MIT
#include "host/links/headroom.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

using namespace vpollnet;
using namespace vpollnet::host;

TEST_CASE("there is room in front of any packet, whose bytes and marks stay as they are") {
  BlockPool pool;
  std::vector<std::uint8_t> bytes(400);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  for (const std::size_t pulled : {0u, 14u, 152u, 153u, 160u}) {
    Packet frame(pool.copy(bytes));
    if (pulled > 0) frame.writable(pulled, pool);
    frame.gso_size = 100;
    frame.checksum = ChecksumState::partial;
    frame.checksum_from_end = 300;
    frame.checksum_field = 16;
    make_headroom(frame, 8, pool);
    CHECK(frame.head_size() <= Packet::kHeadCapacity - 8);
    CHECK((frame.head_size() == pulled || pulled > 152));
    CHECK(frame.gso_size == 100);
    CHECK(frame.checksum == ChecksumState::partial);
    CHECK(frame.checksum_from_end == 300);
    CHECK(frame.checksum_field == 16);
    const auto all = frame.linear(pool);
    CHECK(std::vector<std::uint8_t>(all.begin(), all.end()) == bytes);
  }
  CHECK(pool.live() == 0);
}
