// SPDX-License-Identifier: MIT
// A connection of libvdeplug whose calls wait, with a library whose faults are ours. The real one
// is tested in test/links/vde.test.ts.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <vector>

#include "host/links/vdeplug.hpp"
#include "host/links/vdeplug_relay.hpp"
#include "host/support.hpp"

namespace vpollnet::host {

/// A stream of 60-byte frames over a pair of sockets, blocking.
struct VdeConnection {
  int data = -1;
  int control = -1;
  std::atomic<int> failing_reads{0};
  std::atomic<int> reads{0};
  std::atomic<bool> closed{false};
};

}  // namespace vpollnet::host

using namespace vpollnet;
using namespace vpollnet::host;
using test::eventually;

namespace {

const VdeLibrary kFake{
    .open = nullptr,
    .receive = [](VdeConnection* connection, void* buffer, std::size_t size, int) -> ssize_t {
      connection->reads++;
      if (connection->failing_reads > 0) {
        connection->failing_reads--;
        errno = EPROTO;
        return -1;
      }
      return ::recv(connection->data, buffer, std::min<std::size_t>(size, 60), MSG_WAITALL);
    },
    .send = [](VdeConnection* connection, const void* buffer, std::size_t size, int) -> ssize_t {
      return ::send(connection->data, buffer, size, MSG_NOSIGNAL);
    },
    .data_fd = [](VdeConnection* connection) { return connection->data; },
    .control_fd = [](VdeConnection* connection) { return connection->control; },
    .close =
        [](VdeConnection* connection) {
          ::close(connection->data);
          ::close(connection->control);
          connection->closed = true;
          return 0;
        },
};

struct Fixture {
  Fixture() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    connection.data = ends[0];
    peer = ends[1];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    connection.control = ends[0];
    control_peer = ends[1];
    Failure failure;
    socket = relay_vde(kFake, &connection, failure);
    REQUIRE(socket >= 0);
  }
  ~Fixture() {
    for (const int fd : {socket, peer, control_peer}) {
      if (fd >= 0) ::close(fd);
    }
    CHECK(eventually([&] { return connection.closed.load(); }));
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  /// What comes, within ten seconds; -1 for nothing.
  static ssize_t receive(int fd) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, 10'000) != 1) return -1;
    std::array<char, 100> buffer;
    return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  }

  VdeConnection connection;
  int peer = -1;
  int control_peer = -1;
  int socket = -1;
};

const std::array<char, 60> kFrame{};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a relay carries frames both ways, and half of one makes nobody wait") {
  REQUIRE(::send(socket, kFrame.data(), kFrame.size(), 0) == 60);
  CHECK(receive(peer) == 60);
  REQUIRE(::send(peer, kFrame.data(), 30, 0) == 30);
  CHECK(eventually([&] { return connection.reads.load() == 1; }));
  char byte = 0;
  CHECK(::recv(socket, &byte, 1, 0) == -1);
  CHECK(errno == EAGAIN);
  REQUIRE(::send(peer, kFrame.data(), 30, 0) == 30);
  CHECK(receive(socket) == 60);
}

TEST_CASE_FIXTURE(Fixture, "a connection whose peer does not read makes nobody wait") {
  std::size_t sent = 0;
  while (::send(socket, kFrame.data(), kFrame.size(), 0) == 60) sent++;
  CHECK(errno == EAGAIN);
  CHECK(sent > 0);
  ::close(std::exchange(peer, -1));  // what the relay waits in ends
}

TEST_CASE_FIXTURE(Fixture, "a relay ends, and closes its connection, with our socket") {
  ::close(std::exchange(socket, -1));
  CHECK(eventually([&] { return connection.closed.load(); }));
}

TEST_CASE_FIXTURE(Fixture, "the end of the data, or of the control connection, shows") {
  SUBCASE("data") { ::close(std::exchange(peer, -1)); }
  SUBCASE("control") { ::close(std::exchange(control_peer, -1)); }
  CHECK(receive(socket) == 0);
}

TEST_CASE_FIXTURE(Fixture, "single errors pass, a connection that does nothing but fail ends") {
  connection.failing_reads = 10;
  REQUIRE(::send(peer, kFrame.data(), kFrame.size(), 0) == 60);
  CHECK(receive(socket) == 60);
  connection.failing_reads = 1000;
  REQUIRE(::send(peer, kFrame.data(), kFrame.size(), 0) == 60);
  CHECK(receive(socket) == 0);
}

namespace {

/// A connection as to a switch: a datagram socket, and a control connection.
struct SwitchFixture {
  SwitchFixture() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    connection.data = ends[0];
    peer = ends[1];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    connection.control = ends[0];
    control_peer = ends[1];
    library.receive = [](VdeConnection* of, void* buffer, std::size_t size, int) -> ssize_t {
      return ::recv(of->data, buffer, size, 0);
    };
    Failure failure;
    plug = VdePlug::over(library, &connection, 1500, failure);
    REQUIRE(plug != nullptr);
    plug->count_in(counters);
  }
  ~SwitchFixture() {
    plug = nullptr;
    CHECK(connection.closed);
    ::close(peer);
    if (control_peer >= 0) ::close(control_peer);
  }
  SwitchFixture(const SwitchFixture&) = delete;
  SwitchFixture& operator=(const SwitchFixture&) = delete;

  void send(std::size_t size) {
    const std::vector<char> frame(size, 'x');
    REQUIRE(::send(peer, frame.data(), size, 0) == static_cast<ssize_t>(size));
  }
  bool readable() const {
    pollfd wait{plug->fd(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }

  VdeLibrary library = kFake;
  VdeConnection connection;
  int peer = -1;
  int control_peer = -1;
  LinkCounters counters;
  std::unique_ptr<VdePlug> plug;
  BlockPool pool;
  std::vector<Packet> frames;
};

}  // namespace

TEST_CASE_FIXTURE(SwitchFixture,
                  "frames of a size that cannot be are dropped, each counted as such") {
  // An Ethernet header, and one with a tag before the largest packet, are the limits.
  for (const std::size_t size : {1, 2, 13, 14, 1514, 1518, 1519, 9235}) send(size);
  CHECK(plug->read(100, pool, frames) == Errno::again);
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].size() == 14);
  CHECK(frames[1].size() == 1514);
  CHECK(frames[2].size() == 1518);
  CHECK(counters.dropped(LinkDrop::wrong_peer) == 1);
  CHECK(counters.dropped(LinkDrop::malformed) == 2);
  CHECK(counters.dropped(LinkDrop::too_long) == 2);

  Packet largest(pool.copy(std::vector<std::uint8_t>(1518)));
  CHECK(plug->write(largest, pool) == Errno::ok);
  Packet larger(pool.copy(std::vector<std::uint8_t>(1519)));
  CHECK(plug->write(larger, pool) == Errno::message_size);
}

TEST_CASE_FIXTURE(SwitchFixture, "a switch that does not read makes a frame wait, not the caller") {
  Packet frame(pool.copy(std::vector<std::uint8_t>(1000)));
  int sent = 0;
  Errno error = Errno::ok;
  while ((error = plug->write(frame, pool)) == Errno::ok && sent < 100'000) sent++;
  CHECK(error == Errno::again);
  CHECK_FALSE(plug->is_gone(error));
}

TEST_CASE_FIXTURE(SwitchFixture, "a switch that ends is found out behind the last frame") {
  CHECK(plug->read(16, pool, frames) == Errno::again);
  CHECK_FALSE(readable());
  REQUIRE(::send(control_peer, "?", 1, 0) == 1);  // what nobody expects there is left alone
  CHECK(plug->read(16, pool, frames) == Errno::again);
  CHECK_FALSE(readable());
  send(60);
  ::close(std::exchange(control_peer, -1));
  CHECK(readable());
  CHECK(plug->read(16, pool, frames) == Errno::again);
  CHECK(frames.size() == 1);
  CHECK(readable());
  CHECK(plug->read(16, pool, frames) == Errno::reset);
}

TEST_CASE("a locator with a zero byte is refused before libvdeplug sees it") {
  Failure failure;
  CHECK(VdePlug::open(std::string("vde://a\0b", 9), 1500, failure) == nullptr);
  CHECK(failure.error == Errno::invalid);
}
