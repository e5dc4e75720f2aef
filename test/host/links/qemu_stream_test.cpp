// SPDX-License-Identifier: MIT
#include "host/links/qemu_stream.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "host/links/sockets.hpp"
#include "wire/bytes.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;

namespace {

Bytes framed(const Bytes& frame) {
  Bytes bytes(kFramePrefix + frame.size());
  wire::store32(bytes.data(), static_cast<std::uint32_t>(frame.size()));
  std::copy(frame.begin(), frame.end(), bytes.begin() + kFramePrefix);
  return bytes;
}

/// QEMU's side, byte by byte.
struct Peer {
  explicit Peer(const std::string& path) : fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    SocketAddress address;
    REQUIRE(!SocketAddress::of_path(path, address));
    connected = ::connect(fd, address.get(), address.size()) == 0;
  }
  ~Peer() { ::close(fd); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  void send(const Bytes& bytes) const {
    REQUIRE(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  Bytes receive(std::size_t size) const {
    Bytes bytes(size);
    const ssize_t got = ::recv(fd, bytes.data(), size, MSG_WAITALL);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  int fd;
  bool connected = false;
};

struct Fixture {
  Folder folder;
  std::string path = folder.at("vm.sock");
  Driven link{"qemu:stream://" + path + "?listen"};

  bool comes_up() {
    return eventually([&] {
      link.poll();
      return link.device->absence() == Errno::ok;
    });
  }
  bool goes_down(Errno why) {
    return eventually([&] {
      link.poll();
      return link.device->absence() == why;
    });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture,
                  "a listening link is down until QEMU connects, and again when it is gone") {
  REQUIRE_MESSAGE(link.device != nullptr, link.error());
  CHECK(link.device->absence() == Errno::not_connected);
  CHECK(link.device->capabilities().mtu == 1500);
  const int listening = link.device->fd();
  for (int i = 0; i < 3; i++) {
    {
      Peer peer(path);
      CHECK(peer.connected);
      CHECK(comes_up());
      CHECK(link.device->fd() != listening);
      peer.send(framed(ethernet(1, 2)));
      CHECK(link.receive(1) == Frames{ethernet(1, 2)});
      CHECK(link.send(ethernet(2, 1)) == Errno::ok);
      CHECK(peer.receive(64) == framed(ethernet(2, 1)));
    }
    CHECK(goes_down(Errno::not_connected));
    CHECK(link.device->fd() == listening);
  }
  link.device = nullptr;
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE_FIXTURE(Fixture, "a second QEMU waits until the first one is gone") {
  auto first = std::make_unique<Peer>(path);
  CHECK(comes_up());
  const Peer second(path);
  second.send(framed(ethernet(1, 3)));
  first->send(framed(ethernet(1, 2)));
  CHECK(link.receive(1) == Frames{ethernet(1, 2)});
  CHECK(link.poll().empty());
  first = nullptr;
  CHECK(goes_down(Errno::not_connected));
  CHECK(link.receive(1) == Frames{ethernet(1, 3)});
}

TEST_CASE_FIXTURE(Fixture,
                  "frames come in however the stream is cut, also half of one and then the end") {
  {
    const Peer peer(path);
    CHECK(comes_up());
    const Bytes bytes = framed(ethernet(1, 2, 1514, 7));
    for (std::size_t i = 0; i < bytes.size(); i++) {
      CHECK(link.poll().empty());
      peer.send({bytes[i]});
    }
    CHECK(link.receive(1) == Frames{ethernet(1, 2, 1514, 7)});
    Bytes half = bytes;
    half.resize(700);
    peer.send(half);
    CHECK(link.poll().empty());
  }
  CHECK(goes_down(Errno::not_connected));
  // Nothing of the half is left.
  const Peer peer(path);
  CHECK(comes_up());
  peer.send(framed(ethernet(1, 2)));
  CHECK(link.receive(1) == Frames{ethernet(1, 2)});
  peer.send(framed(Bytes(13)));
  peer.send(framed(ethernet(1, 3)));
  CHECK(link.receive(1) == Frames{ethernet(1, 3)});
  CHECK(link.counters.dropped(LinkDrop::malformed) == 1);
}

TEST_CASE_FIXTURE(
    Fixture, "lengths that cannot be end the connection with EPROTO, and the next one is taken") {
  for (const std::uint32_t length : {0u, 69633u, 0xffffffffu}) {
    const Peer peer(path);
    CHECK(comes_up());
    Bytes bytes = framed(ethernet(1, 2));
    bytes.resize(68);
    wire::store32(&bytes[64], length);
    peer.send(bytes);
    CHECK(link.receive(1) == Frames{ethernet(1, 2)});
    CHECK(goes_down(Errno::protocol));
    CHECK(peer.receive(1).empty());
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "a QEMU that does not read is waited for, and no byte is lost or kept twice") {
  const Peer peer(path);
  CHECK(comes_up());
  int sent = 0;
  // The frames that the device takes while its socket has no room, and those that it refuses.
  for (Errno error = Errno::ok; error != Errno::again; sent++) {
    Packet packet(link.pool.copy(ethernet(2, 1, 1000, static_cast<std::uint8_t>(sent))));
    error = link.device->write(packet, link.pool);
    if (error == Errno::again) break;
    REQUIRE(error == Errno::ok);
    REQUIRE(sent < 100'000);
  }
  CHECK(link.pool.live() <= QemuStream::kBatch + 1);
  for (int i = 0; i < sent; i++) {
    CHECK(peer.receive(1004) == framed(ethernet(2, 1, 1000, static_cast<std::uint8_t>(i))));
    link.device->flush(link.pool);
  }
  CHECK(link.pool.live() == 0);
  CHECK(link.counters.dropped() == 0);
}

TEST_CASE_FIXTURE(Fixture, "what waits for a QEMU that ends is dropped and counted") {
  {
    const Peer peer(path);
    CHECK(comes_up());
    while (link.send(ethernet(2, 1, 1000)) == Errno::ok) {
    }
  }
  CHECK(goes_down(Errno(ECONNRESET)));
  CHECK(link.counters.dropped(LinkDrop::down) > 0);
  CHECK(link.pool.live() == 0);
}

TEST_CASE("a link that connects: refused at once, or gone with its QEMU") {
  Folder folder;
  const std::string path = folder.at("vm.sock");
  const Driven refused("qemu:stream://" + path);
  CHECK(refused.failure.error == Errno(ENOENT));
  CHECK(refused.failure.detail.find("server=on") != std::string::npos);
  const Driven nobody("qemu:stream://127.0.0.1:" + std::to_string(free_udp_port()));
  CHECK(nobody.failure.error == Errno::refused);

  Driven listening("qemu:stream://" + path + "?listen");
  Driven link("qemu:stream://" + path);
  REQUIRE_MESSAGE(link.device != nullptr, link.error());
  CHECK(link.device->absence() == Errno::ok);
  link.send(ethernet(2, 1));
  CHECK(listening.receive(1) == Frames{ethernet(2, 1)});
  listening.device = nullptr;
  CHECK(eventually([&] {
    link.poll();
    return link.last != Errno::again;
  }));
  CHECK(link.last == Errno::reset);
  CHECK(link.device->is_gone(link.last));
}

TEST_CASE("a listening link over TCP says which address is taken") {
  const std::string url = "qemu:stream://127.0.0.1:" + std::to_string(free_udp_port()) + "?listen";
  const Driven first(url);
  REQUIRE_MESSAGE(first.device != nullptr, first.error());
  const Driven second(url);
  CHECK(second.failure.error == Errno::address_in_use);
  CHECK(second.failure.detail.find("127.0.0.1:") != std::string::npos);
}
