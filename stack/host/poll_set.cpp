// SPDX-License-Identifier: MIT
#include "host/poll_set.hpp"

#include <cerrno>
#include <ctime>

namespace vpollnet::host {

void PollSet::assign(std::span<const PollEntry> entries) {
  const Readiness::Lookup lookup;
  for (std::size_t place = 0; place < entries.size(); place++) {
    const PollEntry& entry = entries[place];
    if (entry.fd < 0) continue;
    Readiness* const own = lookup.find(entry.fd);
    if (own != nullptr) own_.push_back({own->weak_from_this().lock(), place, entry.events});
    if (own == nullptr || own->shows_itself()) {
      foreign_.push_back({entry.fd, static_cast<short>(entry.events & 0x7fff), 0});
      foreign_places_.push_back(place);
    }
  }
}

void PollSet::clear() {
  for (std::size_t i = 0; i < waiters_.size(); i++) {
    if (own_[i].readiness != nullptr) own_[i].readiness->remove(waiters_[i]);
  }
  waiters_.clear();
  own_.clear();
  foreign_.clear();
  foreign_places_.clear();
}

void PollSet::subscribe(Watcher& watcher) {
  waiters_.reserve(own_.size());  // they are linked by address
  for (const Own& own : own_) {
    Waiter& waiter = waiters_.emplace_back(Waiter{.watcher = &watcher, .events = own.events});
    if (own.readiness != nullptr) own.readiness->add(waiter);
  }
}

bool PollSet::own_is_ready() const {
  for (const Own& own : own_) {
    if (own.now() != 0) return true;
  }
  return false;
}

Errno PollSet::wait(int waker, Nanos timeout, bool& woken) {
  if (timeout < 0) timeout = 0;
  timespec limit{};
  limit.tv_sec = static_cast<time_t>(timeout / kSecond);
  limit.tv_nsec = static_cast<long>(timeout % kSecond);
  foreign_.push_back({waker, POLLIN, 0});
  const int found =
      ::ppoll(foreign_.data(), foreign_.size(), timeout == kNever ? nullptr : &limit, nullptr);
  const int error = errno;
  woken = found == 1 && foreign_.back().revents != 0;
  foreign_.pop_back();
  return found < 0 ? Errno(error) : Errno::ok;
}

int PollSet::collect(std::span<PollEntry> entries) const {
  for (PollEntry& entry : entries) entry.returned = 0;
  int ready = 0;
  for (const Own& own : own_) {
    entries[own.place].returned = own.now();
    ready += entries[own.place].returned != 0;
  }
  for (std::size_t i = 0; i < foreign_.size(); i++) {
    PollEntry& entry = entries[foreign_places_[i]];
    if (entry.returned != 0) continue;  // a kernel's socket of ours that is closed
    entry.returned = static_cast<unsigned short>(foreign_[i].revents);
    ready += entry.returned != 0;
  }
  return ready;
}

Result<int> PollSet::look(std::span<PollEntry> entries) {
  if (!foreign_.empty()) {
    const timespec at_once{};
    if (::ppoll(foreign_.data(), foreign_.size(), &at_once, nullptr) < 0) return Errno(errno);
  }
  return collect(entries);
}

}  // namespace vpollnet::host
