// SPDX-License-Identifier: MIT
#include "host/switching/mac_table.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace vpollnet;
using namespace vpollnet::host;
using Outcome = MacTable::Outcome;

namespace {

constexpr SecretKey kSecret{0x243f6a8885a308d3, 0x13198a2e03707344};
constexpr std::uint64_t mac(std::uint64_t number, std::uint16_t vid = 1) {
  return MacTable::key(0x020000000000 + number, vid);
}

struct Table : MacTable {
  explicit Table(std::size_t limit, Nanos ageing = 300 * kSecond)
      : MacTable(limit, ageing, kSecret) {}
};

}  // namespace

TEST_CASE("an address is found on the port that it was last heard on") {
  Table table(16);
  CHECK(table.find(mac(1), 0) == MacTable::kNoPort);
  CHECK(table.learn(mac(1), 3, 0) == Outcome::learned);
  CHECK(table.find(mac(1), 0) == 3);
  CHECK(table.learn(mac(1), 3, 1) == Outcome::known);
  CHECK(table.learn(mac(1), 4, 1 + MacTable::kMoveHold) == Outcome::moved);
  CHECK(table.find(mac(1), kSecond) == 4);
  CHECK(table.size() == 1);
}

TEST_CASE("each VLAN has addresses of its own") {
  Table table(16);
  table.learn(mac(1, 10), 0, 0);
  CHECK(table.learn(mac(1, 20), 1, 0) == Outcome::learned);
  CHECK(table.find(mac(1, 10), 0) == 0);
  CHECK(table.find(mac(1, 20), 0) == 1);
  CHECK(table.find(mac(1, 30), 0) == MacTable::kNoPort);
}

TEST_CASE("an address in use on one port is not believed on another") {
  Table table(16);
  table.learn(mac(1), 0, 0);
  CHECK(table.learn(mac(1), 1, MacTable::kMoveHold - 1) == Outcome::refused);
  CHECK(table.find(mac(1), MacTable::kMoveHold) == 0);
  // What was refused does not count as heard.
  CHECK(table.learn(mac(1), 1, MacTable::kMoveHold) == Outcome::moved);
}

TEST_CASE("an address is forgotten when the ageing time is over, and not before") {
  Table table(16, 300 * kSecond);
  table.learn(mac(1), 0, 0);
  table.learn(mac(1), 0, 10 * kSecond);
  CHECK(table.find(mac(1), 310 * kSecond - 1) == 0);
  CHECK(table.list(310 * kSecond - 1).size() == 1);
  CHECK(table.find(mac(1), 310 * kSecond) == MacTable::kNoPort);
  CHECK(table.list(310 * kSecond).empty());
}

TEST_CASE("the list tells address, VLAN, port and age") {
  Table table(16);
  table.learn(mac(0x0a0b0c, 7), 2, kSecond);
  const auto list = table.list(4 * kSecond);
  REQUIRE(list.size() == 1);
  CHECK(list[0].mac.to_string() == "02:00:00:0a:0b:0c");
  CHECK(list[0].vid == 7);
  CHECK(list[0].port == 2);
  CHECK(list[0].age == 3 * kSecond);
}

TEST_CASE("a flood takes only from its own port, and what was silent for longest first") {
  Table table(100);
  for (std::uint64_t i = 0; i < 30; i++) table.learn(mac(i), 0, kSecond);
  // 10,000 addresses on port 1: it has what is left, and no more.
  for (std::uint64_t i = 0; i < 10'000; i++) table.learn(mac(1000 + i), 1, 2 * kSecond);
  CHECK(table.size() == 100);
  CHECK(table.evictions() == 10'000 - 70);
  for (std::uint64_t i = 0; i < 30; i++) CHECK(table.find(mac(i), 3 * kSecond) == 0);
  CHECK(table.find(mac(1000 + 9'999), 3 * kSecond) == 1);
  CHECK(table.find(mac(1000), 3 * kSecond) == MacTable::kNoPort);
}

TEST_CASE("a port with less than its share gets room from the one with most") {
  Table table(10);
  for (std::uint64_t i = 0; i < 10; i++) table.learn(mac(i), 0, static_cast<Nanos>(i));
  for (std::uint64_t i = 10; i < 15; i++) table.learn(mac(i), 1, 20);
  for (std::uint64_t i = 10; i < 15; i++) CHECK(table.find(mac(i), 20) == 1);
  for (std::uint64_t i = 0; i < 5; i++) CHECK(table.find(mac(i), 20) == MacTable::kNoPort);
  // At equal shares each pays for itself.
  table.learn(mac(99), 1, 21);
  for (std::uint64_t i = 5; i < 10; i++) CHECK(table.find(mac(i), 21) == 0);
}

TEST_CASE("an entry that was heard again stays when one has to go") {
  Table table(3);
  table.learn(mac(1), 0, 1);
  table.learn(mac(2), 0, 2);
  table.learn(mac(3), 0, 3);
  table.learn(mac(1), 0, 4);
  table.learn(mac(4), 0, 5);
  CHECK(table.find(mac(1), 5) == 0);
  CHECK(table.find(mac(2), 5) == MacTable::kNoPort);
}

TEST_CASE("what is too old goes before anything that is in use, whoever has it") {
  Table table(10, 100);
  for (std::uint64_t i = 0; i < 2; i++) table.learn(mac(i), 0, 0);
  for (std::uint64_t i = 2; i < 10; i++) table.learn(mac(i), 1, 90);
  table.learn(mac(10), 1, 150);
  CHECK(table.evictions() == 0);
  for (std::uint64_t i = 2; i < 10; i++) CHECK(table.find(mac(i), 150) == 1);
  CHECK(table.size() == 9);
}

TEST_CASE("a port that is forgotten leaves the others' addresses") {
  Table table(64);
  for (std::uint64_t i = 0; i < 60; i++) {
    table.learn(mac(i), static_cast<MacTable::Port>(i % 3), 0);
  }
  table.forget_port(1);
  for (std::uint64_t i = 0; i < 60; i++) {
    CHECK(table.find(mac(i), 0) == (i % 3 == 1 ? MacTable::kNoPort : i % 3));
  }
  CHECK(table.size() == 40);
  table.forget_port(200);
}

TEST_CASE("the table stays right through many changes") {
  // Against a model that is as simple as can be.
  Table table(64);
  std::set<std::uint64_t> there;
  std::uint64_t state = 1;
  for (int step = 0; step < 100'000; step++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t key = mac(state >> 33 & 127);
    table.learn(key, static_cast<MacTable::Port>(state >> 60), step * kSecond / 4);
    CHECK(table.size() <= 64);
    CHECK(table.find(key, step * kSecond / 4) != MacTable::kNoPort);
    if (step % 1000 == 0) {
      there.clear();
      for (const auto& entry : table.list(step * kSecond / 4)) {
        std::uint64_t mac = 0;
        for (const auto byte : entry.mac.bytes) mac = mac << 8 | byte;
        CHECK(table.find(MacTable::key(mac, entry.vid), step * kSecond / 4) == entry.port);
        there.insert(mac);
      }
      CHECK(there.size() == table.list(step * kSecond / 4).size());
    }
  }
}

TEST_CASE("a table of one entry works") {
  Table table(1);
  for (std::uint64_t i = 0; i < 100; i++) {
    table.learn(mac(i), static_cast<MacTable::Port>(i % 2), 0);
    CHECK(table.find(mac(i), 0) == i % 2);
    CHECK(table.size() == 1);
  }
}
