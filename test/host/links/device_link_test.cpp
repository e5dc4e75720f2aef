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

namespace {

/// A device that gathers, waits for a peer, and changes its descriptor when that comes.
class PeerDevice final : public Device {
 public:
  struct State {
    int first_fd = -1;   ///< readable when the peer comes
    int second_fd = -1;  ///< what is read from then on
    int room_fd = -1;
    bool present = false;
    Errno at_flush = Errno::ok;
    int gathered = 0;
    int sent = 0;
    int flushes = 0;
  };
  explicit PeerDevice(State& state) : state_(state) {}
  int fd() const override { return state_.present ? state_.second_fd : state_.first_fd; }
  int room_fd() const override { return state_.room_fd; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t, BlockPool& pool, std::vector<Packet>& frames) override {
    char byte = 0;
    if (::recv(fd(), &byte, 1, MSG_DONTWAIT) != 1) return Errno::again;
    if (state_.present) {
      frames.emplace_back(pool.copy(std::vector<std::uint8_t>(60)));
      drop(LinkDrop::not_for_us);
    }
    state_.present = byte != 'x';
    return Errno::ok;
  }
  Errno write(Packet&, BlockPool&) override {
    if (state_.gathered == 4) return Errno::again;
    state_.gathered++;
    return Errno::ok;
  }
  bool gathers() const override { return true; }
  Errno flush(BlockPool&) override {
    state_.flushes++;
    if (state_.at_flush != Errno::ok) return state_.at_flush;
    state_.sent += std::exchange(state_.gathered, 0);
    return Errno::ok;
  }
  Errno absence() const override { return state_.present ? Errno::ok : Errno::not_connected; }
  bool is_gone(Errno error) const override { return error == Errno::no_such_device; }

 private:
  State& state_;
  LinkCapabilities capabilities_;
};

struct PeerFixture {
  PeerFixture() {
    for (int* pair : {first, second, room}) {
      REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    }
    state.first_fd = first[0];
    state.second_fd = second[0];
    state.room_fd = room[0];
    Pump::Hold hold(*pump);
    auto opened = DeviceLink::open(std::make_unique<PeerDevice>(state), *pump, member);
    REQUIRE(opened);
    link = std::move(*opened);
    member.link = link.get();
  }
  ~PeerFixture() {
    {
      Pump::Hold hold(*pump);
      member.link = nullptr;
      link = nullptr;
    }
    for (const int* pair : {first, second, room}) {
      ::close(pair[0]);
      ::close(pair[1]);
    }
  }
  PeerFixture(const PeerFixture&) = delete;
  PeerFixture& operator=(const PeerFixture&) = delete;

  /// Reads its link as a network does.
  class Member final : public PumpMember, public FrameReceiver {
   public:
    explicit Member(std::shared_ptr<Pump> pump) : pump_(std::move(pump)) {}
    ~Member() override {
      Pump::Hold hold(*pump_);
      pump_->remove(*this);
    }
    bool run(Nanos now, int& budget) override {
      return link == nullptr || link->deliver(*this, now, budget);
    }
    Nanos next_deadline() const override { return kNever; }
    void receive(Packet&&, Nanos) override { received++; }
    DeviceLink* link = nullptr;
    int received = 0;

   private:
    std::shared_ptr<Pump> pump_;
  };

  template <class Value>
  Value held(Value (*read)(PeerFixture&)) {
    Pump::Hold hold(*pump);
    return read(*this);
  }
  Errno failure() {
    return held<Errno>([](PeerFixture& all) { return all.link->failure(); });
  }
  int received() {
    return held<int>([](PeerFixture& all) { return all.member.received; });
  }
  int sent() {
    return held<int>([](PeerFixture& all) { return all.state.sent; });
  }
  void transmit(int count) {
    Pump::Hold hold(*pump);
    for (int i = 0; i < count; i++) {
      link->transmit(Packet(pump->pool().copy(std::vector<std::uint8_t>(100))));
    }
  }
  static void poke(const int (&pair)[2], char byte) { REQUIRE(::send(pair[1], &byte, 1, 0) == 1); }

  std::shared_ptr<Pump> pump = Pump::create();
  int first[2];
  int second[2];
  int room[2];
  PeerDevice::State state;
  Member member{pump};
  std::unique_ptr<DeviceLink> link;
};

}  // namespace

TEST_CASE_FIXTURE(PeerFixture, "a device without its peer is a link that is down, and comes up") {
  CHECK(failure() == Errno::not_connected);
  transmit(1);
  CHECK(link->counters().dropped(LinkDrop::down) == 1);
  poke(first, 'p');
  CHECK(eventually([&] { return failure() == Errno::ok; }));
  // The descriptor is another one now.
  poke(second, 'f');
  CHECK(eventually([&] { return received() == 1; }));
  CHECK(link->counters().dropped(LinkDrop::not_for_us) == 1);
  poke(second, 'x');
  CHECK(eventually([&] { return failure() == Errno::not_connected; }));
  poke(first, 'p');
  CHECK(eventually([&] { return failure() == Errno::ok; }));
}

TEST_CASE_FIXTURE(PeerFixture, "what a device gathers is sent at the end of the hold") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  const int flushes = state.flushes;
  transmit(3);
  CHECK(sent() == 3);
  CHECK(state.flushes == flushes + 1);
  // More than it takes at once: the rest waits in the link, and follows.
  transmit(11);
  CHECK(sent() == 14);
  CHECK(link->counters().frames_out == 14);
}

TEST_CASE_FIXTURE(PeerFixture, "a device without room is written to when its descriptor shows it") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  // Room shows only once this pair's buffer is no longer full.
  std::vector<char> filling(65536);
  while (::send(room[0], filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
  }
  state.at_flush = Errno::again;
  transmit(6);
  CHECK(sent() == 0);
  held<int>([](PeerFixture& all) {
    all.state.at_flush = Errno::ok;
    return 0;
  });
  CHECK(sent() == 0);
  while (::recv(room[1], filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
  }
  CHECK(eventually([&] { return sent() == 6; }));
  CHECK(link->counters().dropped() == 0);
}

TEST_CASE_FIXTURE(PeerFixture,
                  "a device that is gone at the end of a hold fails its link at once") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  state.at_flush = Errno::no_such_device;
  transmit(1);
  CHECK(failure() == Errno::no_such_device);
}
