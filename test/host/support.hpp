// SPDX-License-Identifier: MIT
// What the tests of the host side share.
#pragma once

#include <dirent.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>
#include <thread>

#include "host/clock.hpp"
#include "host/pump.hpp"

namespace vpollnet::host::test {

inline std::size_t entries_of(const char* directory) {
  DIR* open = opendir(directory);
  if (open == nullptr) return 0;
  std::size_t count = 0;
  while (readdir(open) != nullptr) count++;
  closedir(open);
  return count;
}

/// Descriptors and threads of this process.
struct Holdings {
  std::size_t descriptors = entries_of("/proc/self/fd");
  std::size_t threads = entries_of("/proc/self/task");
};

/// A thread that has been joined may be listed for a moment longer, also in `before`.
inline bool back_to(const Holdings& before) {
  for (int i = 0; i < 1000; i++) {
    const Holdings now;
    if (now.descriptors == before.descriptors && now.threads <= before.threads) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

/// Waits up to ten seconds for `condition`.
template <class Condition>
bool eventually(Condition condition) {
  const Nanos limit = monotonic_now() + 10 * kSecond;
  while (!condition()) {
    if (monotonic_now() > limit) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// A member with a deadline and some frames to handle, without a stack.
class FakeMember final : public PumpMember {
 public:
  explicit FakeMember(std::shared_ptr<Pump> pump) : pump_(std::move(pump)) {}
  ~FakeMember() override {
    Pump::Hold hold(*pump_);
    pump_->remove(*this);
  }

  /// Handles `frames` and, at `deadline`, one timer.
  void give(int frames, Nanos deadline = kNever) {
    Pump::Hold hold(*pump_);
    frames_ += frames;
    deadline_ = deadline;
    pump_->touch(*this);
  }

  bool run(Nanos now, int& budget) override {
    runs++;
    if (deadline_ <= now) {
      fired_at = now;
      deadline_ = kNever;
    }
    while (frames_ > 0 && budget > 0) {
      frames_--;
      budget--;
      handled++;
    }
    return frames_ == 0;
  }
  Nanos next_deadline() const override { return deadline_; }

  std::atomic<int> runs{0};
  std::atomic<int> handled{0};
  std::atomic<Nanos> fired_at{0};

 private:
  std::shared_ptr<Pump> pump_;
  int frames_ = 0;
  Nanos deadline_ = kNever;
};

}  // namespace vpollnet::host::test
