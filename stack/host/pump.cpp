// SPDX-License-Identifier: MIT
#include "host/pump.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <system_error>

#include "host/clock.hpp"
#include "host/inspector.hpp"
#include "host/links/cable.hpp"
#include "host/signals_blocked.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint64_t kTimerId = UINT64_MAX;
constexpr Nanos kAtOnce = 1;  // 0 would disarm the timer

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

std::shared_ptr<Pump> Pump::create() {
  Pump* pump = new Pump;
  try {
    SignalsBlocked blocked;
    pump->thread_ = std::thread([pump] { pump->loop(); });
  } catch (...) {
    delete pump;
    throw;
  }
  pthread_setname_np(pump->thread_.native_handle(), "vpollnet-pump");
  return {pump, &Pump::stop};
}

Pump::Pump()
    : cables_(std::make_unique<CableSegments>()), inspector_(std::make_unique<Inspector>(*this)) {
  // A half-made object has no destructor run: close what is open before throwing.
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) fail("epoll_create1");
  timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  epoll_event event{};
  // Edge-triggered: an expiry is reported once and need not be read.
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kTimerId;
  if (timer_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, timer_fd_, &event) != 0) {
    const int error = errno;
    if (timer_fd_ >= 0) ::close(timer_fd_);
    ::close(epoll_fd_);
    errno = error;
    fail("timerfd_create");
  }
}

Pump::~Pump() {
  assert(timers_.size() == 0 && first_touched_ == nullptr && hold_ends_.empty());
  ::close(timer_fd_);
  ::close(epoll_fd_);
}

void Pump::stop(Pump* pump) {
  if (std::this_thread::get_id() == pump->thread_.get_id()) {
    // In the middle of its own work: it cannot join itself, so it deletes the pump on its way out.
    pump->thread_.detach();
    pump->delete_self_ = true;
    pump->stopping_ = true;
    return;
  }
  pump->stopping_ = true;
  pump->lock_.lock();
  pump->arm(kAtOnce);
  pump->lock_.unlock();
  pump->thread_.join();
  delete pump;
}

void Pump::remove(PumpMember& member) {
  timers_.cancel(member);
  if (!member.touched_) return;
  member.touched_ = false;
  PumpMember* before = nullptr;
  PumpMember* at = first_touched_;
  while (at != &member) {
    before = at;
    at = at->next_touched_;
  }
  (before == nullptr ? first_touched_ : before->next_touched_) = member.next_touched_;
  if (last_touched_ == &member) last_touched_ = before;
}

void Pump::forget(HoldEnd& item) {
  if (item.place_ == SIZE_MAX) return;
  hold_ends_[item.place_] = nullptr;
  item.place_ = SIZE_MAX;
}

Result<Pump::SourceId> Pump::watch(PumpSource& source, int fd, std::uint32_t events) {
  std::size_t place = sources_.size();
  if (free_sources_.empty()) {
    sources_.emplace_back();
    free_sources_.push_back(static_cast<std::uint32_t>(place));
  }
  place = free_sources_.back();
  const SourceId id = static_cast<SourceId>(sources_[place].generation) << 32 | place;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return Errno(errno);
  free_sources_.pop_back();
  sources_[place].source = &source;
  return id;
}

void Pump::change(SourceId id, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
}

void Pump::unwatch(SourceId id, int fd) {
  SourceSlot& slot = sources_[static_cast<std::uint32_t>(id)];
  slot.source = nullptr;
  slot.generation++;
  free_sources_.push_back(static_cast<std::uint32_t>(id));
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

void Pump::arm(Nanos deadline) {
  if (deadline >= armed_) return;  // it wakes too early once, finds nothing and arms anew
  armed_ = deadline;
  if (deadline < kAtOnce) deadline = kAtOnce;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(deadline / kSecond);
  when.it_value.tv_nsec = static_cast<long>(deadline % kSecond);
  timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void Pump::run_members(Nanos now) {
  while (PumpMember* due = timers_.pop_due(now)) touch(*due);
  int budget = kFramesPerHold;
  while (first_touched_ != nullptr && budget > 0) {
    PumpMember& member = *first_touched_;
    first_touched_ = member.next_touched_;
    if (first_touched_ == nullptr) last_touched_ = nullptr;
    member.touched_ = false;
    if (!member.run(now, budget)) touch(member);
    // A touched member runs again anyway, and says then when it wants to be woken.
    if (!member.touched_) timers_.arm(member, member.next_deadline());
  }
}

bool Pump::work(Nanos now) {
  run_members(now);
  for (std::size_t i = 0; i < hold_ends_.size(); i++) {
    HoldEnd* item = hold_ends_[i];
    if (item == nullptr) continue;
    item->place_ = SIZE_MAX;
    item->on_hold_end();
  }
  hold_ends_.clear();
  // The end of a hold may touch a member too, as when a device turns out to be gone.
  return first_touched_ != nullptr;
}

void Pump::wake(std::vector<std::shared_ptr<Wakeable>>& all) {
  for (const std::shared_ptr<Wakeable>& who : all) who->wake();
  all.clear();
}

void Pump::loop() {
  std::array<epoll_event, 64> events;
  std::vector<std::shared_ptr<Wakeable>> wakes;
  while (!stopping_) {
    const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), -1);
    bool left = false;
    do {
      lock_.lock();
      const Nanos now = now_ = monotonic_now();
      if (now >= armed_) armed_ = kNever;
      for (int i = left ? count : 0; i < count; i++) {
        const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
        if (id == kTimerId) continue;
        const SourceSlot& slot = sources_[static_cast<std::uint32_t>(id)];
        if (slot.generation == id >> 32 && slot.source != nullptr) {
          slot.source->on_ready(events[static_cast<std::size_t>(i)].events);
        }
      }
      left = work(now);
      if (!left) arm(timers_.next());
      wakes.swap(wakes_);
      const FairLock::Mark mark = lock_.unlock_marked();
      wake(wakes);
      lock_.give_way(mark);
    } while (left && !stopping_);
  }
  if (delete_self_) delete this;
}

Pump::Hold::Hold(Pump& pump) : pump_(pump) {
  pump.lock_.lock();
  now_ = pump.now_ = monotonic_now();
}

void Pump::Hold::release() {
  pump_.arm(pump_.work(now_) ? kAtOnce : pump_.timers_.next());
  if (pump_.wakes_.empty()) {
    pump_.lock_.unlock();
    return;
  }
  // Memory for the list goes round. Taken out of its place meanwhile: to let go of the last one who
  // is woken may be a hold of its own.
  thread_local std::vector<std::shared_ptr<Wakeable>> spare;
  std::vector<std::shared_ptr<Wakeable>> wakes = std::move(spare);
  wakes.swap(pump_.wakes_);
  pump_.lock_.unlock();
  wake(wakes);
  spare = std::move(wakes);
}

}  // namespace vpollnet::host
