// SPDX-License-Identifier: MIT
#include "host/links/device_link.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
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
  CHECK(link->next_deadline() == kNever);  // nobody said how to open it anew
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
    bool leaves_at_write = false;
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
    if (state_.leaves_at_write) {
      state_.present = false;
      return Errno::not_connected;
    }
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

TEST_CASE_FIXTURE(PeerFixture, "room is waited for where it is missing now, and nowhere else") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  int other[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, other) == 0);
  std::vector<char> filling(65536);
  for (const int fd : {room[0], other[0]}) {
    while (::send(fd, filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
    }
  }
  state.at_flush = Errno::again;
  transmit(1);
  const int flushes = held<int>([](PeerFixture& all) { return all.state.flushes; });
  {
    const Pump::Hold hold(*pump);
    state.room_fd = other[0];
  }
  // The first has room from now on, and would show it again and again.
  while (::recv(room[1], filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
  }
  const auto flushed = [&] {
    return held<int>([](PeerFixture& all) { return all.state.flushes; });
  };
  CHECK(eventually([&] { return flushed() > flushes; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(flushed() < flushes + 10);
  held<int>([](PeerFixture& all) {
    all.state.at_flush = Errno::ok;
    return 0;
  });
  while (::recv(other[1], filling.data(), filling.size(), MSG_DONTWAIT) > 0) {
  }
  CHECK(eventually([&] { return sent() == 1; }));
  {
    const Pump::Hold hold(*pump);
    state.room_fd = room[0];
  }
  for (const int fd : other) ::close(fd);
}

TEST_CASE_FIXTURE(PeerFixture, "a peer that is found to have left by a frame is waited for") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  held<int>([](PeerFixture& all) {
    all.state.leaves_at_write = true;
    return 0;
  });
  transmit(1);
  CHECK(failure() == Errno::not_connected);
  CHECK(link->counters().dropped(LinkDrop::device_error) == 1);
  poke(first, 'p');
  CHECK(eventually([&] { return failure() == Errno::ok; }));
}

TEST_CASE_FIXTURE(PeerFixture,
                  "a device that is gone at the end of a hold fails its link at once") {
  poke(first, 'p');
  REQUIRE(eventually([&] { return failure() == Errno::ok; }));
  state.at_flush = Errno::no_such_device;
  transmit(1);
  CHECK(failure() == Errno::no_such_device);
}

namespace {

/// Devices over socket pairs, each of which dies when its peer closes; opened again on demand.
struct Outlet {
  std::mutex mutex;
  std::condition_variable changed;
  bool works = true;    ///< whether the next attempt finds a device
  bool answers = true;  ///< false: an attempt waits
  int attempts = 0;
  int open = 0;
  int most_open = 0;
  int peer = -1;  ///< the other end of the last one

  void set(bool does_work, bool does_answer) {
    const std::lock_guard guard(mutex);
    works = does_work;
    answers = does_answer;
    changed.notify_all();
  }
  int count(int Outlet::*what) {
    const std::lock_guard guard(mutex);
    return this->*what;
  }
};

class OutletDevice final : public Device {
 public:
  OutletDevice(std::shared_ptr<Outlet> outlet, int fd) : outlet_(std::move(outlet)), fd_(fd) {}
  ~OutletDevice() override {
    ::close(fd_);
    const std::lock_guard guard(outlet_->mutex);
    outlet_->open--;
  }
  int fd() const override { return fd_; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t, BlockPool& pool, std::vector<Packet>& frames) override {
    char byte = 0;
    const ssize_t got = ::recv(fd_, &byte, 1, MSG_DONTWAIT);
    if (got < 0) return Errno::again;
    if (got == 0) return Errno::reset;
    frames.emplace_back(pool.copy(std::vector<std::uint8_t>(60)));
    return Errno::ok;
  }
  Errno write(Packet&, BlockPool&) override {
    return ::send(fd_, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? Errno::ok : Errno(errno);
  }
  bool is_gone(Errno error) const override { return error != Errno::ok; }

 private:
  std::shared_ptr<Outlet> outlet_;
  int fd_;
  LinkCapabilities capabilities_;
};

std::unique_ptr<Device> open_outlet(const std::shared_ptr<Outlet>& outlet, Failure& failure) {
  std::unique_lock lock(outlet->mutex);
  outlet->attempts++;
  outlet->changed.wait(lock, [&] { return outlet->answers; });
  int ends[2];
  if (!outlet->works || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    failure = {Errno::refused, "connect", ""};
    return nullptr;
  }
  outlet->peer = ends[1];
  outlet->open++;
  outlet->most_open = std::max(outlet->most_open, outlet->open);
  return std::make_unique<OutletDevice>(outlet, ends[0]);
}

/// A link to an outlet, and a member that reads it and says when it is to be run again.
struct ReopenFixture {
  class Member final : public PumpMember, public FrameReceiver {
   public:
    bool run(Nanos now, int& budget) override {
      const bool done = link == nullptr || link->deliver(*this, now, budget);
      deadline_ = link == nullptr ? kNever : link->next_deadline();
      return done;
    }
    Nanos next_deadline() const override { return deadline_; }
    void receive(Packet&& frame, Nanos) override {
      received++;
      if (answers) link->transmit(std::move(frame));
    }
    std::unique_ptr<DeviceLink> link;
    std::atomic<int> received{0};
    std::atomic<bool> answers{false};

   private:
    Nanos deadline_ = kNever;
  };

  ReopenFixture() {
    const OpenDevice open = [outlet = outlet](Failure& failure) {
      return open_outlet(outlet, failure);
    };
    Failure failure;
    auto device = open(failure);
    Pump::Hold hold(*pump);
    auto opened = DeviceLink::open(std::move(device), *pump, member, open);
    REQUIRE(opened);
    member.link = std::move(*opened);
  }
  ~ReopenFixture() { remove_link(); }
  ReopenFixture(const ReopenFixture&) = delete;
  ReopenFixture& operator=(const ReopenFixture&) = delete;

  void remove_link() {
    if (pump == nullptr) return;
    {
      Pump::Hold hold(*pump);
      member.link = nullptr;
      pump->remove(member);
    }
    pump = nullptr;
    if (outlet->count(&Outlet::peer) >= 0) ::close(outlet->peer);
    outlet->peer = -1;
  }
  /// The peer goes, and with it the device.
  void cut() {
    ::close(std::exchange(outlet->peer, -1));
    CHECK(eventually([&] { return failure() == Errno::reset; }));
  }
  Errno failure() {
    Pump::Hold hold(*pump);
    return member.link->failure();
  }
  LinkCounters counters() {
    Pump::Hold hold(*pump);
    return member.link->counters();
  }
  void transmit() {
    Pump::Hold hold(*pump);
    member.link->transmit(Packet(pump->pool().copy(std::vector<std::uint8_t>(100))));
  }

  std::shared_ptr<Outlet> outlet = std::make_shared<Outlet>();
  Member member;
  std::shared_ptr<Pump> pump = Pump::create();
};

}  // namespace

TEST_CASE("a device that dies is tried again until it is back, and its link works as before") {
  const test::Holdings before;
  {
    ReopenFixture all;
    all.outlet->set(false, true);
    all.cut();
    all.transmit();
    CHECK(eventually([&] { return all.outlet->count(&Outlet::attempts) >= 3; }));
    CHECK(all.failure() == Errno::reset);
    // The dead one was closed before it was tried anew.
    CHECK(all.outlet->count(&Outlet::open) == 0);
    all.outlet->set(true, true);
    CHECK(eventually([&] { return all.failure() == Errno::ok; }));
    all.transmit();
    char byte = 0;
    CHECK(::recv(all.outlet->peer, &byte, 1, MSG_DONTWAIT) == 1);
    CHECK(::send(all.outlet->peer, "y", 1, 0) == 1);
    CHECK(eventually([&] { return all.member.received == 1; }));
    CHECK(all.counters().dropped(LinkDrop::down) == 1);
    CHECK(all.counters().frames_out == 1);
    // And once more.
    all.cut();
    CHECK(eventually([&] { return all.failure() == Errno::ok; }));
    CHECK(all.outlet->count(&Outlet::most_open) == 1);
  }
  CHECK(test::back_to(before));
}

TEST_CASE("a device that an answer finds gone is gone, though what it had was read") {
  ReopenFixture all;
  all.outlet->set(false, true);
  all.member.answers = true;
  {
    const Pump::Hold hold(*all.pump);
    REQUIRE(::send(all.outlet->peer, "y", 1, 0) == 1);
    ::close(std::exchange(all.outlet->peer, -1));
  }
  CHECK(eventually([&] { return all.failure() == Errno::broken_pipe; }));
  CHECK(eventually([&] { return all.outlet->count(&Outlet::attempts) >= 2; }));
  all.transmit();
  CHECK(all.counters().dropped(LinkDrop::down) == 1);
  all.outlet->set(true, true);
  CHECK(eventually([&] { return all.failure() == Errno::ok; }));
}

TEST_CASE("a link goes while its device is being opened, and its pump with it") {
  const test::Holdings before;
  std::shared_ptr<Outlet> outlet;
  {
    ReopenFixture all;
    outlet = all.outlet;
    outlet->set(true, false);
    all.cut();
    CHECK(eventually([&] { return outlet->count(&Outlet::attempts) == 2; }));
    // Nobody waits for the attempt: the lock is free, and nothing hangs.
    CHECK(all.failure() == Errno::reset);
    all.remove_link();
    CHECK(test::entries_of("/proc/self/fd") == before.descriptors);
  }
  // What it brings now is closed again.
  outlet->set(true, true);
  CHECK(eventually([&] { return outlet->count(&Outlet::peer) >= 0; }));
  CHECK(eventually([&] { return outlet->count(&Outlet::open) == 0; }));
  ::close(outlet->peer);
  CHECK(test::back_to(before));
}
