// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <set>

#include "socket/ports.hpp"

namespace vpollnet::socket {
namespace {

TEST_CASE("[T10] ephemeral ports do not follow one another") {
  KeyedRandom random({5, 6});
  std::set<std::uint16_t> taken;
  int successors = 0;
  std::uint16_t last = 0;
  for (int i = 0; i < 2000; i++) {
    const auto port = choose_port(random, [&](std::uint16_t p) { return !taken.contains(p); });
    REQUIRE(port);
    REQUIRE(*port >= kFirstEphemeralPort);
    CHECK(taken.insert(*port).second);
    successors += *port == last + 1;
    last = *port;
  }
  CHECK(successors < 10);
}

TEST_CASE("the last free port is found, and then there is none") {
  KeyedRandom random({5, 6});
  CHECK(choose_port(random, [](std::uint16_t port) { return port == 65535; }) == 65535);
  CHECK(choose_port(random, [](std::uint16_t port) { return port == 49152; }) == 49152);
  CHECK_FALSE(choose_port(random, [](std::uint16_t) { return false; }));
}

}  // namespace
}  // namespace vpollnet::socket
