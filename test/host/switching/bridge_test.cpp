// SPDX-License-Identifier: MIT
// The forwarding rules, in virtual time: frames are put in by hand, and a list says what left.
#include "host/switching/bridge.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr SecretKey kSecret{0x243f6a8885a308d3, 0x13198a2e03707344};
constexpr std::uint64_t kBroadcast = 0xffffffffffff;
constexpr std::uint64_t mac(std::uint64_t number) { return 0x020000000000 + number; }

void append_mac(Bytes& bytes, std::uint64_t mac) {
  for (int shift = 40; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::uint8_t>(mac >> shift));
}

void append16(Bytes& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

/// An Ethernet frame of a type that nobody looks into. `control`: the VLAN tag's; -1: no tag.
Bytes frame(std::uint64_t to, std::uint64_t from, int control = -1, std::size_t payload = 46) {
  Bytes bytes;
  append_mac(bytes, to);
  append_mac(bytes, from);
  if (control >= 0) {
    append16(bytes, wire::kEtherVlan);
    append16(bytes, static_cast<std::uint16_t>(control));
  }
  append16(bytes, 0x88b5);
  for (std::size_t i = 0; i < payload; i++) bytes.push_back(static_cast<std::uint8_t>(i));
  return bytes;
}

PortVlans access(std::uint16_t vid) { return {.untagged = vid, .tagged = {}}; }
PortVlans trunk(std::initializer_list<std::size_t> vids, std::uint16_t native = 0) {
  PortVlans vlans{.untagged = native, .tagged = {}};
  for (const std::size_t vid : vids) vlans.tagged.set(vid);
  return vlans;
}

struct Lab final : BridgeSink {
  explicit Lab(BridgeConfig config = {}) : bridge(config, kSecret, pool, *this) {}

  PortNumber port(const PortVlans& vlans = {}, std::uint32_t mtu = 1500, Offloads offloads = {}) {
    return bridge.add_port({.vlans = vlans, .mtu = mtu, .offloads = offloads});
  }
  void transmit(PortNumber number, Packet&& packet) override {
    Bytes bytes(packet.size());
    packet.copy_out(0, bytes);
    out.emplace_back(number, std::move(bytes));
    packets.push_back(std::move(packet));
  }
  void on_loop(const BridgeLoop& loop) override { loops.push_back(loop); }

  /// Where the frame went, as "0 2".
  std::string put(PortNumber number, const Bytes& bytes) {
    return put(number, Packet(pool.copy(bytes)));
  }
  std::string put(PortNumber number, Packet&& packet) {
    out.clear();
    packets.clear();
    bridge.receive(number, std::move(packet), now);
    std::string ports;
    for (const auto& [to, bytes] : out) ports += (ports.empty() ? "" : " ") + std::to_string(to);
    return ports;
  }
  std::uint64_t dropped(PortNumber number, BridgeDrop reason) {
    return bridge.counters(number).drops[static_cast<std::size_t>(reason)];
  }

  BlockPool pool;
  Bridge bridge;
  Nanos now = kSecond;
  std::vector<std::pair<PortNumber, Bytes>> out;
  std::vector<Packet> packets;
  std::vector<BridgeLoop> loops;
};

/// A large TCP segment over IPv4 with its checksum left to the device, as a stack makes it.
Packet large_segment(BlockPool& pool, const Bytes& link_header, std::size_t payload,
                     std::uint16_t segment) {
  Bytes bytes = link_header;
  const std::size_t ip = bytes.size();
  bytes.resize(ip + 40 + payload);
  bytes[ip] = 0x45;
  wire::store16(&bytes[ip + 2], static_cast<std::uint16_t>(40 + payload));
  bytes[ip + 8] = 64;
  bytes[ip + 9] = 6;
  bytes[ip + 20 + 12] = 5 << 4;
  Packet packet(pool.copy(bytes));
  packet.gso_size = segment;
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = static_cast<std::uint32_t>(20 + payload);
  packet.checksum_field = 16;
  return packet;
}

Bytes ipv4_header(std::uint64_t to, std::uint64_t from, int control = -1) {
  Bytes bytes = frame(to, from, control, 0);
  wire::store16(&bytes[bytes.size() - 2], wire::kEtherIpv4);
  return bytes;
}

}  // namespace

TEST_CASE("what nobody was heard for goes to all other ports, and never back") {
  Lab lab;
  for (int i = 0; i < 4; i++) lab.port();
  CHECK(lab.put(1, frame(mac(9), mac(1))) == "0 2 3");
  CHECK(lab.put(1, frame(kBroadcast, mac(1))) == "0 2 3");
  CHECK(lab.put(1, frame(0x01005e000001, mac(1))) == "0 2 3");
  CHECK(lab.bridge.counters(1).flooded == 3);
}

TEST_CASE("an address that was heard gets its frames alone") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(2, frame(kBroadcast, mac(2)));
  const Bytes sent = frame(mac(2), mac(0));
  CHECK(lab.put(0, sent) == "2");
  CHECK(lab.out[0].second == sent);
  CHECK(lab.bridge.counters(0).flooded == 0);
}

TEST_CASE("a frame between two hosts of one port goes nowhere") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(0, frame(kBroadcast, mac(1)));
  CHECK(lab.put(0, frame(mac(1), mac(2))) == "");
  CHECK(lab.dropped(0, BridgeDrop::same_port) == 1);
}

TEST_CASE("a host that moves is found at its new place") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(0, frame(kBroadcast, mac(1)));
  lab.now += MacTable::kMoveHold;
  lab.put(1, frame(kBroadcast, mac(1)));
  CHECK(lab.put(2, frame(mac(1), mac(2))) == "1");
  CHECK(lab.bridge.counters(1).moved == 1);
}

TEST_CASE("after the ageing time a silent host's frames are flooded again") {
  Lab lab({.ageing = 60 * kSecond});
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(2, frame(kBroadcast, mac(2)));
  lab.now += 60 * kSecond - 1;
  CHECK(lab.put(0, frame(mac(2), mac(0))) == "2");
  lab.now += 1;
  CHECK(lab.put(0, frame(mac(2), mac(0))) == "1 2");
}

TEST_CASE("frames to the groups that end at each bridge are not forwarded") {
  Lab lab;
  for (int i = 0; i < 2; i++) lab.port();
  for (std::uint64_t last = 0; last < 16; last++) {
    CHECK(lab.put(0, frame(0x0180c2000000 + last, mac(1))) == "");
  }
  CHECK(lab.dropped(0, BridgeDrop::reserved) == 16);
  CHECK(lab.put(0, frame(0x0180c2000010, mac(1))) == "1");
}

TEST_CASE("a group, or nothing, is no source: it is neither forwarded nor learned") {
  Lab lab;
  for (int i = 0; i < 2; i++) lab.port();
  CHECK(lab.put(0, frame(mac(1), 0x030000000001)) == "");
  CHECK(lab.put(0, frame(mac(1), kBroadcast)) == "");
  CHECK(lab.put(0, frame(mac(1), 0)) == "");
  CHECK(lab.dropped(0, BridgeDrop::bad_frame) == 3);
  CHECK(lab.bridge.table().size() == 0);
}

TEST_CASE("a frame that ends in its header or in its tag is dropped, at each length") {
  Lab lab;
  lab.port(trunk({10}, 1));
  lab.port(trunk({10}, 1));
  const Bytes whole = frame(mac(1), mac(2), 10);
  for (std::size_t length = 0; length < 18; length++) {
    CHECK(lab.put(0, Bytes(whole.begin(), whole.begin() + static_cast<long>(length))) == "");
  }
  CHECK(lab.dropped(0, BridgeDrop::bad_frame) == 18);
  CHECK(lab.put(0, Bytes(whole.begin(), whole.begin() + 18)) == "1");
}

TEST_CASE("VLANs do not hear each other") {
  Lab lab;
  lab.port(access(10));
  lab.port(access(10));
  lab.port(access(20));
  lab.port(access(20));
  CHECK(lab.put(0, frame(kBroadcast, mac(1))) == "1");
  CHECK(lab.put(2, frame(kBroadcast, mac(2))) == "3");
  // The same address may be in both.
  CHECK(lab.put(3, frame(mac(2), mac(1))) == "2");
  CHECK(lab.put(1, frame(mac(1), mac(3))) == "0");
  CHECK(lab.put(1, frame(mac(2), mac(3))) == "0");
}

TEST_CASE("a trunk carries its VLANs with their tags, and its native one without") {
  Lab lab;
  const PortNumber ten = lab.port(access(10));
  const PortNumber one = lab.port(access(1));
  const PortNumber twenty = lab.port(access(20));
  const PortNumber both = lab.port(trunk({10}, 1));
  CHECK(lab.put(ten, frame(kBroadcast, mac(1))) == "3");
  CHECK(lab.out[0].second == frame(kBroadcast, mac(1), 10));
  CHECK(lab.put(one, frame(kBroadcast, mac(2))) == "3");
  CHECK(lab.out[0].second == frame(kBroadcast, mac(2)));
  CHECK(lab.put(twenty, frame(kBroadcast, mac(3))) == "");
  CHECK(lab.dropped(twenty, BridgeDrop::no_port) == 1);
  CHECK(lab.put(both, frame(mac(1), mac(4), 10)) == "0");
  CHECK(lab.out[0].second == frame(mac(1), mac(4)));
  CHECK(lab.put(both, frame(mac(2), mac(4))) == "1");
  CHECK(lab.put(both, frame(mac(3), mac(4), 20)) == "");
  CHECK(lab.dropped(both, BridgeDrop::vlan) == 1);
}

TEST_CASE("a trunk without a native VLAN takes no frame without a tag") {
  Lab lab;
  lab.port(trunk({10}));
  lab.port(access(10));
  CHECK(lab.put(0, frame(kBroadcast, mac(1))) == "");
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 0)) == "");
  CHECK(lab.dropped(0, BridgeDrop::vlan) == 2);
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 10)) == "1");
}

TEST_CASE("an access port takes no tag but one of a priority alone") {
  Lab lab;
  lab.port(access(10));
  lab.port(access(10));
  lab.port(trunk({10}));
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 10)) == "");
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 20)) == "");
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 4095)) == "");
  CHECK(lab.dropped(0, BridgeDrop::vlan) == 2);
  CHECK(lab.dropped(0, BridgeDrop::bad_frame) == 1);
  // Priority 5: gone where there is no tag, kept where there is one.
  CHECK(lab.put(0, frame(kBroadcast, mac(1), 5 << 13)) == "1 2");
  CHECK(lab.out[0].second == frame(kBroadcast, mac(1)));
  CHECK(lab.out[1].second == frame(kBroadcast, mac(1), 5 << 13 | 10));
}

TEST_CASE("from trunk to trunk a frame keeps its bytes, priority and drop eligibility too") {
  Lab lab;
  lab.port(trunk({10, 20}));
  lab.port(trunk({20, 30}));
  const Bytes sent = frame(kBroadcast, mac(1), 7 << 13 | 1 << 12 | 20);
  CHECK(lab.put(0, sent) == "1");
  CHECK(lab.out[0].second == sent);
}

TEST_CASE("a tag behind a tag, and a provider's tag, are payload") {
  Lab lab;
  lab.port(access(10));
  lab.port(access(10));
  lab.port(trunk({10}));
  Bytes provider = frame(kBroadcast, mac(1), 77);
  wire::store16(&provider[12], wire::kEtherServiceVlan);
  CHECK(lab.put(0, provider) == "1 2");
  CHECK(lab.out[0].second == provider);
  Bytes outer = frame(kBroadcast, mac(1), 10);
  outer.insert(outer.begin() + 16, provider.begin() + 12, provider.end());
  outer.resize(16 + provider.size() - 12);
  CHECK(lab.out[1].second == outer);
  lab.now += MacTable::kMoveHold;
  CHECK(lab.put(2, outer) == "0 1");
  CHECK(lab.out[0].second == provider);
}

TEST_CASE("a frame longer than the MTU of its port is dropped there, and a tag does not count") {
  Lab lab;
  lab.port(access(10), 9000);
  lab.port(access(10), 1500);
  lab.port(trunk({10}), 1500);
  lab.port(access(10), 9000);
  CHECK(lab.put(0, frame(kBroadcast, mac(1), -1, 1500)) == "1 2 3");
  CHECK(lab.put(0, frame(kBroadcast, mac(1), -1, 1501)) == "3");
  CHECK(lab.dropped(1, BridgeDrop::egress_mtu) == 1);
  CHECK(lab.dropped(2, BridgeDrop::egress_mtu) == 1);
}

TEST_CASE("a large packet is cut up where the link does not do it, with a tag and without") {
  Lab lab;
  const Offloads all{.segmentation = true, .checksum = true};
  lab.port(access(10), 1500, all);
  lab.port(access(10), 1500, all);
  lab.port(access(10), 1500);
  lab.port(trunk({10}), 1500);
  lab.port(trunk({10}), 1500, {.segmentation = false, .checksum = true});
  CHECK(lab.put(0, large_segment(lab.pool, ipv4_header(kBroadcast, mac(1)), 4000, 1460)) ==
        "1 2 2 2 3 3 3 4 4 4");
  CHECK(lab.packets[0].gso_size == 1460);
  CHECK(lab.packets[0].checksum == ChecksumState::partial);
  CHECK(lab.out[1].second.size() == 1514);
  CHECK(lab.packets[1].checksum == ChecksumState::unverified);
  CHECK(lab.out[4].second.size() == 1518);
  CHECK(wire::load16(&lab.out[4].second[12]) == wire::kEtherVlan);
  CHECK(wire::load16(&lab.out[4].second[14]) == 10);
  CHECK(lab.out[6].second.size() == 18 + 40 + 4000 - 2 * 1460);
  CHECK(lab.packets[7].checksum == ChecksumState::partial);
  // The checksums are those that the same packets have without a tag.
  for (std::size_t i = 0; i < 3; i++) {
    const Bytes& plain = lab.out[1 + i].second;
    const Bytes& tagged = lab.out[4 + i].second;
    CHECK(std::equal(plain.begin() + 12, plain.end(), tagged.begin() + 16, tagged.end()));
  }
}

TEST_CASE("a large packet whose segments are too long for the port is dropped") {
  Lab lab;
  const Offloads all{.segmentation = true, .checksum = true};
  lab.port(access(1), 9000, all);
  lab.port(access(1), 1500, all);
  lab.port(access(1), 1500);
  CHECK(lab.put(0, large_segment(lab.pool, ipv4_header(kBroadcast, mac(1)), 4000, 1461)) == "");
  CHECK(lab.dropped(1, BridgeDrop::egress_mtu) == 1);
  CHECK(lab.dropped(2, BridgeDrop::egress_mtu) == 1);
}

TEST_CASE("a checksum left for the device is completed where the link does not do it") {
  Lab lab;
  lab.port(access(1), 1500, {.segmentation = true, .checksum = true});
  lab.port(access(1), 1500);
  Packet packet = large_segment(lab.pool, ipv4_header(kBroadcast, mac(1)), 100, 0);
  CHECK(lab.put(0, std::move(packet)) == "1");
  CHECK(lab.packets[0].checksum == ChecksumState::unverified);
  CHECK(wire::load16(&lab.out[0].second[14 + 20 + 16]) != 0);
}

TEST_CASE("a tag fits before a packet whose head is full") {
  Lab lab;
  lab.port(access(10));
  lab.port(trunk({10}));
  Packet packet(lab.pool.copy(frame(kBroadcast, mac(1), -1, 400)));
  packet.contiguous(Packet::kHeadCapacity, lab.pool);
  packet.writable(Packet::kHeadCapacity, lab.pool);
  REQUIRE(packet.head_size() == Packet::kHeadCapacity);
  packet.checksum_from_end = 0x12345678;  // what stands before the head in memory
  packet.checksum_field = 0x1234;
  CHECK(lab.put(0, std::move(packet)) == "1");
  CHECK(lab.packets[0].checksum_from_end == 0x12345678);
  CHECK(lab.packets[0].checksum_field == 0x1234);
  CHECK(lab.out[0].second == frame(kBroadcast, mac(1), 10, 400));
}

TEST_CASE("flooded copies do not share the bytes that a tag changes") {
  Lab lab;
  lab.port(access(10));
  lab.port(trunk({10}));
  lab.port(access(10));
  lab.port(trunk({10}));
  const Bytes sent = frame(kBroadcast, mac(1), -1, 100);
  CHECK(lab.put(0, sent) == "1 2 3");
  CHECK(lab.out[0].second == frame(kBroadcast, mac(1), 10, 100));
  CHECK(lab.out[1].second == sent);
  CHECK(lab.out[2].second == frame(kBroadcast, mac(1), 10, 100));
  // The other way round, from one with a tag.
  CHECK(lab.put(1, frame(kBroadcast, mac(2), 10, 100)) == "0 2 3");
  CHECK(lab.out[0].second == frame(kBroadcast, mac(2), -1, 100));
  CHECK(lab.out[2].second == frame(kBroadcast, mac(2), 10, 100));
}

TEST_CASE("a port that is down gets nothing and is forgotten") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(1, frame(kBroadcast, mac(1)));
  lab.bridge.set_up(1, false);
  CHECK(lab.put(0, frame(mac(1), mac(0))) == "2");
  lab.bridge.set_up(1, true);
  CHECK(lab.put(0, frame(mac(1), mac(0))) == "1 2");
  // The host may come back anywhere at once.
  CHECK(lab.put(2, frame(mac(0), mac(1))) == "0");
}

TEST_CASE("the number of a port that was removed is used again, without its past") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(1, frame(kBroadcast, mac(1)));
  lab.bridge.remove_port(1);
  CHECK(lab.put(0, frame(mac(1), mac(0))) == "2");
  CHECK(lab.port() == 1);
  CHECK(lab.bridge.counters(1).flooded == 0);
  CHECK(lab.put(0, frame(mac(1), mac(0))) == "1 2");
}

TEST_CASE("there are at most 256 ports") {
  Lab lab;
  for (std::size_t i = 0; i < Bridge::kMostPorts; i++) CHECK(lab.port() == i);
  CHECK(lab.port() == MacTable::kNoPort);
  lab.bridge.remove_port(100);
  CHECK(lab.port() == 100);
}

TEST_CASE("a frame that comes back by another port is dropped, and many are reported as a loop") {
  Lab lab;
  for (int i = 0; i < 3; i++) lab.port();
  for (int i = 0; i < 1000; i++) {
    CHECK(lab.put(0, frame(kBroadcast, mac(1))) == "1 2");
    lab.now += kMillisecond;
    CHECK(lab.put(1, frame(kBroadcast, mac(1))) == "");
  }
  CHECK(lab.dropped(1, BridgeDrop::looped) == 1000);
  REQUIRE(lab.loops.size() == 1);
  CHECK(lab.loops[0].key == MacTable::key(mac(1), 1));
  CHECK(lab.loops[0].port == 0);
  CHECK(lab.loops[0].echo == 1);
  lab.now += Bridge::kLoopReportPause;
  for (int i = 0; i < 20; i++) {
    lab.put(0, frame(kBroadcast, mac(1)));
    lab.put(1, frame(kBroadcast, mac(1)));
  }
  CHECK(lab.loops.size() == 2);
}

TEST_CASE("a port has only so many frames a second flooded, and all the unicast that it likes") {
  Lab lab({.storm_limit = 1000});
  for (int i = 0; i < 3; i++) lab.port();
  lab.put(2, frame(kBroadcast, mac(2)));
  int flooded = 0;
  for (int i = 0; i < 20'000; i++) {
    lab.now += kSecond / 10'000;
    if (!lab.put(0, frame(kBroadcast, mac(1))).empty()) flooded++;
    CHECK(lab.put(0, frame(mac(2), mac(1))) == "2");
  }
  CHECK(flooded == 2000);
  CHECK(lab.dropped(0, BridgeDrop::storm) == 18'000);
  CHECK(lab.put(1, frame(kBroadcast, mac(3))) == "0 2");
}

TEST_CASE("without a storm limit everything is flooded") {
  Lab lab({.storm_limit = 0});
  for (int i = 0; i < 2; i++) lab.port();
  for (int i = 0; i < 200'000; i++) lab.put(0, frame(kBroadcast, mac(1)));
  CHECK(lab.bridge.counters(0).flooded == 200'000);
}

TEST_CASE("whatever comes, each frame goes somewhere or is counted, and no bytes are invented") {
  Lab lab({.ageing = 10 * kSecond, .table_size = 32});
  const Offloads all{.segmentation = true, .checksum = true};
  lab.port(access(10), 1500, all);
  lab.port(trunk({1, 10, 20}, 30), 300);
  lab.port(trunk({10}), 9000, all);
  lab.port(access(1), 68, {.segmentation = false, .checksum = true});
  KeyedRandom random(kSecret);
  const std::array<std::uint16_t, 6> types{0x8100, 0x88a8, 0x0800, 0x86dd, 0x8100, 0x88b5};
  for (int round = 0; round < 50'000; round++) {
    lab.now += kMillisecond;
    Bytes bytes(random.below(250));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    // Mostly near to a frame: few hosts, the types and VLANs that matter, an IP header perhaps.
    if (bytes.size() > 60 && random.below(4) != 0) {
      const Bytes addresses = frame(mac(random.below(8)), mac(8 + random.below(8)), -1, 0);
      std::copy(addresses.begin(), addresses.begin() + 12, bytes.begin());
      std::size_t at = 12;
      for (; at < 24; at += 4) {
        const std::uint16_t type = types[random.below(types.size())];
        wire::store16(&bytes[at], type);
        wire::store16(&bytes[at + 2], static_cast<std::uint16_t>(random.below(4) * 10));
        if (type != 0x8100 && type != 0x88a8) break;
      }
      bytes[at + 2] = random.below(2) == 0 ? 0x45 : 0x60;
      bytes[at + 11] = 6;
    }
    const std::size_t size = bytes.size();
    Packet packet(lab.pool.copy(bytes));
    // What a device may claim of it.
    packet.gso_size =
        random.below(2) == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(random.below(100));
    if (random.below(2) == 0) {
      packet.checksum = ChecksumState::partial;
      packet.checksum_from_end = random.below(300);
      packet.checksum_field = static_cast<std::uint16_t>(random.below(40));
    }
    if (random.below(4) == 0) packet.contiguous(random.below(161), lab.pool);
    const bool large = packet.gso_size != 0;
    const auto number = static_cast<PortNumber>(random.below(4));
    const std::string went = lab.put(number, std::move(packet));
    if (lab.bridge.last_drop() != BridgeDrop::count_) {
      CHECK(went == "");
    }
    for (const auto& [to, sent] : lab.out) {
      CHECK(to != number);
      CHECK(sent.size() >= wire::kEthernetHeader);
      if (!large) CHECK(sent.size() <= size + wire::kVlanTag);
    }
  }
  CHECK(lab.bridge.table().size() <= 32);
  lab.packets.clear();
  lab.out.clear();
  CHECK(lab.pool.live() == 0);
}

TEST_CASE("two bridges with two cables between them: each frame arrives once, nothing circles") {
  // 0: a host; 1 and 2: the cables.
  Lab left;
  Lab right;
  for (int i = 0; i < 3; i++) {
    left.port();
    right.port();
  }
  int at_left = 0;
  int at_right = 0;
  int carried = 0;
  const auto settle = [&](Lab& first) {
    Lab* here = &first;
    std::vector<std::pair<PortNumber, Bytes>> waiting = here->out;
    while (!waiting.empty()) {
      Lab* there = here == &left ? &right : &left;
      std::vector<std::pair<PortNumber, Bytes>> next;
      for (const auto& [port, bytes] : waiting) {
        if (port == 0) {
          (here == &left ? at_left : at_right)++;
          continue;
        }
        REQUIRE(++carried < 1000);
        there->put(port, bytes);
        next.insert(next.end(), there->out.begin(), there->out.end());
      }
      waiting = next;
      here = there;
    }
  };
  for (int i = 0; i < 20; i++) {
    left.put(0, frame(kBroadcast, mac(1)));
    settle(left);
    right.put(0, frame(mac(1), mac(2)));
    settle(right);
    left.now = right.now += kMillisecond;
  }
  CHECK(at_right == 20);
  CHECK(at_left == 20);
  CHECK(left.loops.size() + right.loops.size() >= 1);
}
