// SPDX-License-Identifier: MIT
#include "host/pump.hpp"

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <string>

#include "host/links/cable.hpp"
#include "host/network.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::back_to;
using test::eventually;
using test::FakeMember;
using test::Holdings;

TEST_CASE("a pump that is let go leaves no thread and no descriptor") {
  const Holdings before;
  for (int i = 0; i < 20; i++) {
    auto pump = Pump::create();
    FakeMember member(pump);
    member.give(1, monotonic_now() + kMillisecond);
  }
  CHECK(back_to(before));
}

TEST_CASE("the default pump is one for all, and gone with its last holder") {
  const Holdings before;
  auto pump = default_pump();
  CHECK(pump == default_pump());
  pump = nullptr;
  CHECK(back_to(before));
  CHECK(default_pump() != nullptr);
  CHECK(back_to(before));
}

TEST_CASE("the pump thread has a name and takes no signals") {
  auto pump = Pump::create();
  std::string name;
  std::string blocked;
  DIR* tasks = opendir("/proc/self/task");
  REQUIRE(tasks != nullptr);
  while (const dirent* task = readdir(tasks)) {
    const std::string path = std::string("/proc/self/task/") + task->d_name + "/status";
    std::FILE* file = std::fopen(path.c_str(), "r");
    if (file == nullptr) continue;
    std::array<char, 256> line{};
    std::string task_name;
    while (std::fgets(line.data(), line.size(), file) != nullptr) {
      const std::string text(line.data());
      if (text.starts_with("Name:")) task_name = text.substr(6, text.size() - 7);
      if (text.starts_with("SigBlk:") && task_name == "vpollnet-pump") {
        name = task_name;
        blocked = text.substr(8, 16);
      }
    }
    std::fclose(file);
  }
  closedir(tasks);
  CHECK(name == "vpollnet-pump");
  REQUIRE(blocked.size() == 16);
  // SIGINT, SIGTERM, SIGCHLD, SIGALRM are bits 1, 14, 16, 13.
  const auto mask = std::stoull(blocked, nullptr, 16);
  CHECK((mask & 0x1'6002) == 0x1'6002);
}

TEST_CASE("a call runs what it sets off before it returns") {
  auto pump = Pump::create();
  FakeMember member(pump);
  member.give(10);
  CHECK(member.handled == 10);
  CHECK(member.runs == 1);
}

TEST_CASE("a hold is bounded, and the pump thread does the rest") {
  auto pump = Pump::create();
  FakeMember member(pump);
  member.give(1000);
  CHECK(member.handled >= Pump::kFramesPerHold);
  CHECK(eventually([&] { return member.handled == 1000; }));
}

TEST_CASE("members take turns when the bound is reached") {
  auto pump = Pump::create();
  FakeMember busy(pump);
  FakeMember quiet(pump);
  busy.give(1'000'000);
  quiet.give(1);
  CHECK(eventually([&] { return quiet.handled == 1; }));
}

TEST_CASE("a deadline comes up on the pump thread, on time") {
  auto pump = Pump::create();
  FakeMember member(pump);
  const Nanos deadline = monotonic_now() + 20 * kMillisecond;
  member.give(0, deadline);
  CHECK(eventually([&] { return member.fired_at != 0; }));
  CHECK(member.fired_at >= deadline);
  CHECK(member.fired_at < deadline + 10 * kSecond);
}

TEST_CASE("an earlier deadline wakes a pump that sleeps until a later one") {
  auto pump = Pump::create();
  FakeMember patient(pump);
  FakeMember hasty(pump);
  patient.give(0, monotonic_now() + 3600 * kSecond);
  const Nanos deadline = monotonic_now() + 5 * kMillisecond;
  hasty.give(0, deadline);
  CHECK(eventually([&] { return hasty.fired_at != 0; }));
  CHECK(hasty.fired_at >= deadline);
  CHECK(patient.fired_at == 0);
}

TEST_CASE("a deadline that moves away is not forgotten") {
  auto pump = Pump::create();
  FakeMember member(pump);
  member.give(0, monotonic_now() + 5 * kMillisecond);
  const Nanos later = monotonic_now() + 40 * kMillisecond;
  member.give(0, later);
  CHECK(eventually([&] { return member.fired_at != 0; }));
  CHECK(member.fired_at >= later);
}

namespace {

class CountingSource final : public PumpSource {
 public:
  CountingSource(Pump& pump, PumpMember& member) : pump_(pump), member_(member) {}
  void on_ready(std::uint32_t events) override {
    seen = events;
    pump_.touch(member_);
  }
  std::atomic<std::uint32_t> seen{0};

 private:
  Pump& pump_;
  PumpMember& member_;
};

}  // namespace

TEST_CASE("a descriptor that is watched is reported, and not after unwatch") {
  auto pump = Pump::create();
  FakeMember member(pump);
  CountingSource source(*pump, member);
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  REQUIRE(fd >= 0);
  Pump::SourceId id = 0;
  {
    Pump::Hold hold(*pump);
    auto watched = pump->watch(source, fd, EPOLLIN | EPOLLET);
    REQUIRE(watched);
    id = *watched;
  }
  eventfd_write(fd, 1);
  CHECK(eventually([&] { return source.seen == EPOLLIN; }));
  CHECK(eventually([&] { return member.runs > 0; }));
  {
    Pump::Hold hold(*pump);
    pump->unwatch(id, fd);
  }
  source.seen = 0;
  eventfd_write(fd, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(source.seen == 0);
  close(fd);
}

namespace {

/// Lets go of the last reference while the pump thread runs it.
class LastHolder final : public PumpMember {
 public:
  bool run(Nanos now, int&) override {
    if (pump == nullptr || now < due) return true;
    due = kNever;
    pump->remove(*this);
    pump = nullptr;
    gone = true;
    return true;
  }
  Nanos next_deadline() const override { return due; }

  std::shared_ptr<Pump> pump;
  Nanos due = kNever;
  std::atomic<bool> gone{false};
};

}  // namespace

TEST_CASE("the last holder may let go on the pump thread itself") {
  const Holdings before;
  // The pump looks at it once more after that, and nobody is left who could wait for this.
  static LastHolder holder;
  {
    std::shared_ptr<Pump> pump = Pump::create();
    Pump& alive = *pump;
    Pump::Hold hold(alive);
    holder.due = hold.now() + 30 * kMillisecond;
    holder.pump = std::move(pump);
    alive.touch(holder);
  }
  CHECK(eventually([&] { return holder.gone.load(); }));
  CHECK(back_to(before));
}

TEST_CASE("a thread that calls in a loop lets others in") {
  auto pump = Pump::create();
  std::atomic<bool> stop{false};
  FakeMember member(pump);
  std::thread greedy([&] {
    while (!stop) {
      Pump::Hold hold(*pump);
      for (int i = 0; i < 2000; i++) asm volatile("" ::: "memory");
    }
  });
  for (int i = 0; i < 200; i++) member.give(1);
  // The pump thread too.
  member.give(0, monotonic_now() + kMillisecond);
  CHECK(eventually([&] { return member.fired_at != 0; }));
  stop = true;
  greedy.join();
  CHECK(member.handled == 200);
}

TEST_CASE("work without end on the pump thread lets callers in") {
  auto pump = Pump::create();
  FakeMember endless(pump);
  FakeMember member(pump);
  endless.give(50'000'000);
  for (int i = 0; i < 200; i++) member.give(1);
  CHECK(eventually([&] { return member.handled == 200; }));
  CHECK(endless.handled < 50'000'000);
}

TEST_CASE("many threads call one pump") {
  auto pump = Pump::create();
  std::array<std::thread, 4> threads;
  std::atomic<int> handled{0};
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      FakeMember member(pump);
      for (int i = 0; i < 2000; i++) member.give(1, monotonic_now() + kMicrosecond * (i % 100));
      eventually([&] { return member.handled == 2000; });
      handled += member.handled;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(handled == 8000);
}

TEST_CASE("what is put on the list of a hold's end runs once, and may be taken off it") {
  struct Counter final : HoldEnd {
    void on_hold_end() override { count++; }
    int count = 0;
  };
  auto pump = Pump::create();
  Counter stays;
  Counter goes;
  {
    Pump::Hold hold(*pump);
    for (int i = 0; i < 3; i++) {
      pump->at_hold_end(goes);
      pump->at_hold_end(stays);
    }
    pump->forget(goes);
  }
  CHECK(stays.count == 1);
  CHECK(goes.count == 0);
}
