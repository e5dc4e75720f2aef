// SPDX-License-Identifier: MIT
#include "host/links/datagram_device.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <string>

#include "host/links/sockets.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;

namespace {

std::string on_loopback(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

std::string udp(std::uint16_t remote, std::uint16_t local, const std::string& more = "") {
  return "udp://" + on_loopback(remote) + "?local=" + on_loopback(local) + more;
}

}  // namespace

TEST_CASE("a frame is a datagram, both ways, up to the size that UDP has room for") {
  const std::uint16_t one = free_udp_port();
  const std::uint16_t two = free_udp_port();
  Driven near(udp(two, one));
  REQUIRE_MESSAGE(near.device != nullptr, near.error());
  // Loopback's 65536, cut to what IPv4 has, less IPv4, UDP and Ethernet.
  CHECK(near.device->capabilities().mtu == 65535 - 20 - 8 - 14);
  Driven far(udp(one, two));
  REQUIRE(far.device != nullptr);
  for (const std::size_t size : {14u, 60u, 1514u, 9014u, 65507u}) {
    CHECK(near.send(ethernet(2, 1, size, 7)) == Errno::ok);
    CHECK(far.receive(1) == Frames{ethernet(2, 1, size, 7)});
  }
  CHECK(far.send(ethernet(1, 2)) == Errno::ok);
  CHECK(near.receive(1).size() == 1);
  // What the kernel refuses is lost alone.
  Packet large(near.pool.copy(ethernet(2, 1, 65508)));
  CHECK(near.device->write(large, near.pool) == Errno::ok);
  CHECK(near.send(ethernet(2, 1, 60)) == Errno::ok);
  CHECK(far.receive(1).size() == 1);
  CHECK(near.counters.dropped(LinkDrop::too_long) == 1);
  Packet larger(near.pool.copy(ethernet(2, 1, 65536)));
  CHECK(near.device->write(larger, near.pool) == Errno::message_size);
}

TEST_CASE("a burst goes out in batches, in its order, and comes in in batches") {
  const std::uint16_t one = free_udp_port();
  const std::uint16_t two = free_udp_port();
  Driven near(udp(two, one));
  Driven far(udp(one, two));
  REQUIRE(near.device != nullptr);
  REQUIRE(far.device != nullptr);
  constexpr int kFrames = 200;
  for (int i = 0; i < kFrames; i++) {
    Packet packet(near.pool.copy(ethernet(2, 1, 60, static_cast<std::uint8_t>(i))));
    REQUIRE(near.device->write(packet, near.pool) == Errno::ok);
  }
  CHECK(near.device->flush(near.pool) == Errno::ok);
  const auto all = far.receive(kFrames);
  REQUIRE(all.size() == kFrames);
  for (int i = 0; i < kFrames; i++) CHECK(all[static_cast<std::size_t>(i)][59] == i);
  CHECK(near.pool.live() == 0);
}

TEST_CASE("who is not the peer is not heard, but with `any`; a datagram of 13 bytes is no frame") {
  const std::uint16_t one = free_udp_port();
  const std::uint16_t two = free_udp_port();
  const std::uint16_t three = free_udp_port();
  Driven near(udp(two, one));
  Driven far(udp(one, two));
  Driven stranger(udp(one, three));
  REQUIRE(near.device != nullptr);
  REQUIRE(far.device != nullptr);
  REQUIRE(stranger.device != nullptr);
  stranger.send(ethernet(1, 3));
  far.send(Bytes(13));
  far.send(ethernet(1, 2));
  CHECK(near.receive(1) == Frames{ethernet(1, 2)});
  CHECK(near.counters.dropped(LinkDrop::wrong_peer) == 1);
  CHECK(near.counters.dropped(LinkDrop::malformed) == 1);
  near.device = nullptr;
  Driven all(udp(two, one, "&any"));
  REQUIRE(all.device != nullptr);
  stranger.send(ethernet(1, 3));
  CHECK(all.receive(1) == Frames{ethernet(1, 3)});
}

TEST_CASE("a peer that is not there does no harm, and is heard when it comes") {
  const std::uint16_t one = free_udp_port();
  const std::uint16_t two = free_udp_port();
  Driven near(udp(two, one));
  REQUIRE(near.device != nullptr);
  for (int i = 0; i < 5; i++) {
    CHECK(near.send(ethernet(2, 1)) == Errno::ok);
    CHECK(near.poll().empty());
    CHECK(near.last == Errno::again);
  }
  Driven far(udp(one, two));
  REQUIRE(far.device != nullptr);
  near.send(ethernet(2, 1));
  CHECK(far.receive(1).size() == 1);
  CHECK(near.counters.dropped() == 0);
}

TEST_CASE("frames over Unix datagrams: the peer comes, goes, and comes back") {
  Folder folder;
  const std::string ours = folder.at("ours");
  const std::string its = folder.at("its");
  Driven near("qemu:dgram://" + ours + "?remote=" + its);
  REQUIRE_MESSAGE(near.device != nullptr, near.error());
  CHECK(near.device->capabilities().mtu == 1500);
  near.send(ethernet(2, 1));
  CHECK(near.counters.dropped(LinkDrop::device_error) == 1);
  for (int i = 0; i < 2; i++) {
    Driven far("qemu:dgram://" + its + "?remote=" + ours);
    REQUIRE_MESSAGE(far.device != nullptr, far.error());
    // Whoever begins.
    if (i == 1) {
      far.send(ethernet(1, 2));
      CHECK(near.receive(1).size() == 1);
    }
    CHECK(near.send(ethernet(2, 1, 1514)) == Errno::ok);
    CHECK(far.receive(1) == Frames{ethernet(2, 1, 1514)});
  }
  CHECK(near.counters.dropped() == 1);
}

TEST_CASE("a Unix datagram that is longer than any frame is dropped, not cut") {
  Folder folder;
  Driven near("qemu:dgram://" + folder.at("ours") + "?remote=" + folder.at("its"));
  REQUIRE(near.device != nullptr);
  SocketAddress to;
  REQUIRE_FALSE(SocketAddress::of_path(folder.at("ours"), to));
  Failure failure;
  const Descriptor peer = open_socket(AF_UNIX, SOCK_DGRAM, failure);
  for (const std::size_t size : {70'000u, 60u}) {
    const Bytes bytes = ethernet(1, 2, size);
    REQUIRE(::sendto(peer.get(), bytes.data(), size, 0, to.get(), to.size()) ==
            static_cast<ssize_t>(size));
  }
  CHECK(near.receive(1) == Frames{ethernet(1, 2, 60)});
  CHECK(near.counters.dropped(LinkDrop::too_long) == 1);
}

TEST_CASE("a Unix peer that does not read is waited for by the descriptor that shows its room") {
  Folder folder;
  Driven near("qemu:dgram://" + folder.at("ours") + "?remote=" + folder.at("its"));
  Driven far("qemu:dgram://" + folder.at("its") + "?remote=" + folder.at("ours"));
  REQUIRE(near.device != nullptr);
  REQUIRE(far.device != nullptr);
  int accepted = 0;
  while (near.send(ethernet(2, 1, 1514)) == Errno::ok) REQUIRE(++accepted < 100'000);
  pollfd room{near.device->room_fd(), POLLOUT, 0};
  CHECK(::poll(&room, 1, 0) == 0);
  CHECK(far.receive(1).size() >= 1);
  CHECK(::poll(&room, 1, 1000) == 1);
  CHECK(near.counters.dropped() == 0);
}

TEST_CASE("in a group all hear each other, and nobody itself") {
  const std::string url =
      "udp://239.77.0.1:" + std::to_string(free_udp_port()) + "?local=127.0.0.1&dev=lo";
  Driven one(url);
  Driven two(url);
  Driven three(url);
  REQUIRE_MESSAGE(one.device != nullptr, one.error());
  REQUIRE(two.device != nullptr);
  REQUIRE(three.device != nullptr);
  one.send(ethernet(0xff, 1));
  two.send(ethernet(0xff, 2));
  CHECK(one.receive(1) == Frames{ethernet(0xff, 2)});
  CHECK(two.receive(1) == Frames{ethernet(0xff, 1)});
  CHECK(three.receive(2).size() == 2);
  CHECK(one.poll().empty());
  CHECK(one.counters.dropped() == 0);
}

TEST_CASE("what is wrong with the URL of a link over datagrams is said") {
  const auto detail = [](const std::string& url) {
    const Driven driven(url);
    CHECK(driven.device == nullptr);
    return driven.failure.detail;
  };
  const auto says = [&](const std::string& url, const std::string& what) {
    CAPTURE(url);
    CHECK(detail(url).find(what) != std::string::npos);
  };
  says("udp://10.0.0.1", "the place of udp: is an address and a port");
  says("udp://localhost:7", "the place of udp:");
  says("udp://127.0.0.1:7?local=[::1]:7", "different families");
  says("udp://127.0.0.1:7?local=x", "local is an address and a port");
  says("udp://127.0.0.1:7?local=192.0.2.77:7", "192.0.2.77 is no address of this machine");
  says("udp://127.0.0.1:7?dev=nosuch0", "no network interface 'nosuch0'");
  says("udp://127.0.0.1:7?ttl=0", "'ttl' is a whole number from 1 to 255");
  says("udp://127.0.0.1:7?remote=1", "no parameter 'remote'");
  says("qemu:dgram://127.0.0.1:7", "needs remote=");
  says("qemu:dgram:///tmp/a.sock", "needs remote=");
  says("qemu:dgram:///tmp/a.sock?remote=", "1 to 107 bytes");
  says("qemu:dgram:///tmp/" + std::string(120, 'a') + "?remote=/tmp/b", "1 to 107 bytes");
  says("qemu:dgram:///no/such/folder/a?remote=/tmp/b", "folder");
  says("qemu:tcp://127.0.0.1:7", "qemu:stream://");
  const std::uint16_t port = free_udp_port();
  const Driven first(udp(7, port));
  REQUIRE(first.device != nullptr);
  says(udp(7, port), "in use by another socket");
}

TEST_CASE(
    "the path of a Unix socket: a left one is replaced, another program's and a file are not") {
  Folder folder;
  const std::string path = folder.at("sock");
  const std::string url = "qemu:dgram://" + path + "?remote=" + folder.at("its");
  // Left by a process that died.
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  SocketAddress address;
  REQUIRE(!SocketAddress::of_path(path, address));
  REQUIRE(::bind(fd, address.get(), address.size()) == 0);
  {
    const Driven refused(url);
    CHECK(refused.failure.error == Errno::address_in_use);
    CHECK(refused.failure.detail.find("another program") != std::string::npos);
  }
  ::close(fd);
  REQUIRE(std::filesystem::exists(path));
  {
    const Driven ours(url);
    CHECK_MESSAGE(ours.device != nullptr, ours.error());
    const Driven second(url);
    CHECK(second.failure.error == Errno::address_in_use);
  }
  CHECK_FALSE(std::filesystem::exists(path));

  ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  {
    const Driven refused(url);
    CHECK(refused.failure.error == Errno::address_in_use);
    CHECK(refused.failure.detail.find("no socket") != std::string::npos);
  }
  CHECK(std::filesystem::exists(path));
  std::filesystem::remove(path);
  // A path that became somebody else's is left alone.
  Driven ours(url);
  REQUIRE(ours.device != nullptr);
  std::filesystem::remove(path);
  ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ours.device = nullptr;
  CHECK(std::filesystem::exists(path));
}
