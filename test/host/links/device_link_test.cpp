// SPDX-License-Identifier: MIT
#include "host/links/device_link.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::eventually;
using test::FakeMember;

namespace {

/// A device over a socket pair, whose kernel buffer fills up.
class PairDevice final : public Device {
 public:
  PairDevice(int fd, Errno& next_error) : fd_(fd), next_error_(next_error) {}
  ~PairDevice() override { ::close(fd_); }
  int fd() const override { return fd_; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t, BlockPool&, std::vector<Packet>&) override { return Errno::again; }
  Errno write(Packet& frame, BlockPool& pool) override {
    if (next_error_ != Errno::ok) return std::exchange(next_error_, Errno::ok);
    const auto bytes = frame.linear(pool);
    if (::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return Errno(errno);
    return Errno::ok;
  }
  bool is_gone(Errno error) const override { return error == Errno::no_such_device; }

 private:
  int fd_;
  Errno& next_error_;
  LinkCapabilities capabilities_;
};

struct Fixture {
  Fixture() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    peer = ends[1];
    Pump::Hold hold(*pump);
    auto opened =
        DeviceLink::open(std::make_unique<PairDevice>(ends[0], next_error), *pump, member);
    REQUIRE(opened);
    link = std::move(*opened);
  }
  ~Fixture() {
    {
      Pump::Hold hold(*pump);
      link = nullptr;
    }
    ::close(peer);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  void send(int count) {
    Pump::Hold hold(*pump);
    for (int i = 0; i < count; i++) {
      link->transmit(Packet(pump->pool().copy(std::vector<std::uint8_t>(1000))));
    }
  }
  int drain() const {
    std::vector<std::uint8_t> buffer(2000);
    int count = 0;
    while (recv(peer, buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) count++;
    return count;
  }

  std::shared_ptr<Pump> pump = Pump::create();
  FakeMember member{pump};
  Errno next_error = Errno::ok;
  std::unique_ptr<DeviceLink> link;
  int peer = -1;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "frames wait for a full device and follow when it has room") {
  send(600);
  const std::uint64_t dropped = link->counters().dropped();
  CHECK(dropped < 600);
  int received = 0;
  CHECK(eventually([&] { return (received += drain()) == 600 - static_cast<int>(dropped); }));
  // Nothing is kept: the next one goes straight through.
  send(1);
  CHECK(drain() == 1);
}

TEST_CASE_FIXTURE(Fixture, "what the queue has no place for is dropped and counted") {
  send(3000);
  CHECK(link->counters().dropped() > 0);
  CHECK(link->counters().dropped() < 3000);
  CHECK(link->failure() == Errno::ok);
}

TEST_CASE_FIXTURE(Fixture, "an error of one frame loses the frame, not the link") {
  next_error = Errno(EIO);
  send(2);
  CHECK(link->counters().dropped() == 1);
  CHECK(link->failure() == Errno::ok);
  CHECK(drain() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a device that is gone is a failed link, and its owner is told") {
  const int runs = member.runs;
  next_error = Errno::no_such_device;
  send(2);
  CHECK(link->failure() == Errno::no_such_device);
  CHECK(link->counters().dropped() == 2);
  CHECK(member.runs > runs);
}
