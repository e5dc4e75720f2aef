// SPDX-License-Identifier: MIT
#include "host/links/vxlan.hpp"

#include <doctest/doctest.h>

#include <string>

#include "host/links/sockets.hpp"
#include "host/links/vxlan_header.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;

namespace {

std::string on_loopback(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

/// An end point whose datagrams the test writes and reads itself.
struct RawPeer {
  explicit RawPeer(std::uint16_t own_port, std::uint16_t to)
      : udp("udp://" + on_loopback(to) + "?local=" + on_loopback(own_port) + "&any") {
    REQUIRE(udp.device != nullptr);
  }
  void send(Bytes header, const Bytes& frame) {
    header.insert(header.end(), frame.begin(), frame.end());
    udp.send(header);
  }
  /// The next datagram that comes.
  Bytes receive() {
    const auto all = udp.receive(1);
    return all.empty() ? Bytes() : all.front();
  }
  bool silent() { return udp.poll().empty(); }
  Driven udp;
};

Bytes vxlan_of(std::uint32_t vni) {
  Bytes bytes(kVxlanHeader);
  emit_vxlan(vni, bytes);
  return bytes;
}

struct Fixture {
  std::uint16_t ours = free_udp_port();
  std::uint16_t first_port = free_udp_port();
  std::uint16_t second_port = free_udp_port();
  Driven link{"vxlan://" + on_loopback(first_port) + "," + on_loopback(second_port) +
              "?vni=42&local=" + on_loopback(ours)};
  RawPeer first{first_port, ours};
  RawPeer second{second_port, ours};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "broadcast and unknown addresses go to each end point, known ones to one") {
  REQUIRE_MESSAGE(link.device != nullptr, link.error());
  CHECK(link.device->capabilities().mtu == 65535 - 20 - 8 - 8 - 14);
  for (const std::uint8_t to : {0xff, 9}) {
    link.send(ethernet(to, 1));
    const Bytes got = first.receive();
    REQUIRE(got.size() == 68);
    CHECK(Bytes(got.begin(), got.begin() + 8) == vxlan_of(42));
    CHECK(Bytes(got.begin() + 8, got.end()) == ethernet(to, 1));
    CHECK(second.receive() == got);
  }
  // Host 9 is heard from the second, and is asked for there alone from then on.
  second.send(vxlan_of(42), ethernet(1, 9));
  CHECK(link.receive(1) == Frames{ethernet(1, 9)});
  link.send(ethernet(9, 1));
  CHECK(second.receive().size() == 68);
  CHECK(first.silent());
  // It moves. While it was heard there just now, that is not believed.
  first.send(vxlan_of(42), ethernet(1, 9));
  CHECK(link.receive(1).size() == 1);
  link.send(ethernet(9, 1));
  CHECK(second.receive().size() == 68);
  std::this_thread::sleep_for(std::chrono::nanoseconds(MacTable::kMoveHold));
  first.send(vxlan_of(42), ethernet(1, 9));
  CHECK(link.receive(1).size() == 1);
  link.send(ethernet(9, 1));
  CHECK(first.receive().size() == 68);
  CHECK(second.silent());
  CHECK(link.counters.dropped() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "what is no frame of this segment is dropped and counted, and teaches nothing") {
  REQUIRE(link.device != nullptr);
  first.send(vxlan_of(43), ethernet(1, 9));
  first.send({0, 0, 0, 0, 0, 0, 42, 0}, ethernet(1, 9));
  first.send({8, 0, 0}, {});
  first.send(vxlan_of(42), Bytes(13));
  RawPeer stranger(free_udp_port(), ours);
  first.send({0xff, 0xff, 0xff, 0xff, 0, 0, 42, 0xff}, ethernet(1, 8));
  CHECK(link.receive(1) == Frames{ethernet(1, 8)});
  CHECK(link.counters.dropped(LinkDrop::not_for_us) == 1);
  CHECK(link.counters.dropped(LinkDrop::malformed) == 3);
  link.send(ethernet(9, 1));
  CHECK(first.receive().size() == 68);
  CHECK(second.receive().size() == 68);
}

TEST_CASE_FIXTURE(Fixture, "the header finds room in front of a frame whose head is full") {
  REQUIRE(link.device != nullptr);
  const Bytes bytes = ethernet(0xff, 1, 400, 7);
  Packet frame(link.pool.copy(bytes));
  frame.writable(Packet::kHeadCapacity, link.pool);
  REQUIRE(frame.head_size() == Packet::kHeadCapacity);
  CHECK(link.device->write(frame, link.pool) == Errno::ok);
  CHECK(link.device->flush(link.pool) == Errno::ok);
  const Bytes got = first.receive();
  REQUIRE(got.size() == 408);
  CHECK(Bytes(got.begin() + 8, got.end()) == bytes);
}

TEST_CASE_FIXTURE(Fixture, "a group's address as a source is not learned") {
  REQUIRE(link.device != nullptr);
  Bytes odd = ethernet(1, 9);
  odd[6] = 3;
  first.send(vxlan_of(42), odd);
  CHECK(link.receive(1).size() == 1);
  Bytes to = ethernet(9, 1);
  to[0] = 3;
  link.send(to);
  CHECK(second.receive().size() == 68);
}

TEST_CASE("flows are spread over source ports, each on one, and answered where they were") {
  const std::uint16_t ours = free_udp_port();
  const std::uint16_t its = free_udp_port();
  Driven link("vxlan://" + on_loopback(its) + "?vni=42&ports=4&local=" + on_loopback(ours));
  REQUIRE_MESSAGE(link.device != nullptr, link.error());
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const SocketAddress address({.address = IpAddress::v4(127, 0, 0, 1), .port = its});
  REQUIRE(::bind(fd, address.get(), address.size()) == 0);
  std::vector<std::uint16_t> ports;
  for (std::uint8_t host = 0; host < 32; host++) {
    link.send(ethernet(static_cast<std::uint8_t>(100 + host / 2), 1));
    std::array<char, 100> buffer;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    REQUIRE(recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from),
                     &size) == 68);
    ports.push_back(from.sin_port);
  }
  ::close(fd);
  for (std::size_t i = 0; i < ports.size(); i += 2) CHECK(ports[i] == ports[i + 1]);
  std::sort(ports.begin(), ports.end());
  CHECK(std::unique(ports.begin(), ports.end()) - ports.begin() > 1);
}

TEST_CASE("of more end points than are kept the oldest go, and what was learned with them") {
  const std::uint16_t ours = free_udp_port();
  const std::uint16_t its = free_udp_port();
  Driven link("vxlan://" + on_loopback(its) + "?vni=42&any&local=0.0.0.0:" + std::to_string(ours));
  REQUIRE_MESSAGE(link.device != nullptr, link.error());
  RawPeer remote(its, ours);
  // Each from an address of its own, 127.1.X.Y, with a host of its own behind it.
  const auto hear = [&](std::size_t number) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto high = static_cast<std::uint8_t>(number >> 8);
    const auto low = static_cast<std::uint8_t>(number);
    const SocketAddress own({.address = IpAddress::v4(127, 1, high, low), .port = its});
    const SocketAddress to({.address = IpAddress::v4(127, 0, 0, 1), .port = ours});
    REQUIRE(::bind(fd, own.get(), own.size()) == 0);
    Bytes frame = ethernet(1, low);
    frame[10] = high;
    Bytes bytes = vxlan_of(42);
    bytes.resize(bytes.size() + frame.size());
    std::copy(frame.begin(), frame.end(), bytes.begin() + kVxlanHeader);
    REQUIRE(::sendto(fd, bytes.data(), bytes.size(), 0, to.get(), to.size()) == 68);
    ::close(fd);
    REQUIRE(link.receive(1).size() == 1);
  };
  const auto is_known = [&](std::size_t number) {
    Bytes frame = ethernet(static_cast<std::uint8_t>(number), 1);
    frame[4] = static_cast<std::uint8_t>(number >> 8);
    link.send(frame);
    return remote.udp.poll().empty();  // an unknown one goes to the remote
  };
  hear(1);
  CHECK(is_known(1));
  for (std::size_t number = 2; number < Vxlan::kMostEndPoints + 10; number++) hear(number);
  CHECK_FALSE(is_known(1));
  CHECK(is_known(Vxlan::kMostEndPoints));
  hear(1);
  CHECK(is_known(1));
}

TEST_CASE("what is wrong with the URL of a VXLAN link is said") {
  const auto says = [](const std::string& url, const std::string& what) {
    CAPTURE(url);
    const Driven driven(url);
    CHECK(driven.device == nullptr);
    CHECK(driven.failure.detail.find(what) != std::string::npos);
  };
  says("vxlan://127.0.0.1", "needs vni=");
  says("vxlan://127.0.0.1?vni=16777216", "'vni' is a whole number from 0 to 16777215");
  says("vxlan://?vni=42", "an end point of vxlan:");
  says("vxlan://127.0.0.1,?vni=42", "an end point of vxlan:");
  says("vxlan://127.0.0.1,[::1]?vni=42", "different families");
  says("vxlan://239.0.0.1,239.0.0.2?vni=42&dev=lo", "one multicast group");
  says("vxlan://127.0.0.1?vni=42&ports=33", "'ports' is a whole number from 1 to 32");
  says("vxlan://127.0.0.1?vni=42&group=239.0.0.1", "no parameter 'group'");
  std::string many = "vxlan://127.0.0.1";
  for (int i = 2; i <= 33; i++) many += ",127.0.0." + std::to_string(i);
  says(many + "?vni=42", "32 end points at most, not 33");
}
