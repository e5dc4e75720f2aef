// SPDX-License-Identifier: MIT
#include "host/poll.hpp"

#include "host/clock.hpp"
#include "host/poll_set.hpp"

namespace vpollnet::host {
namespace {

/// Our own sockets alone, without a system call. `foreign` tells whether the kernel is to be asked
/// too.
int look_at_own(std::span<PollEntry> entries, bool& foreign) {
  const Readiness::Lookup lookup;
  int ready = 0;
  for (PollEntry& entry : entries) {
    entry.returned = 0;
    if (entry.fd < 0) continue;
    if (const Readiness* own = lookup.find(entry.fd)) {
      entry.returned = own->matching(entry.events);
      ready += entry.returned != 0;
      foreign = foreign || own->shows_itself();
    } else {
      foreign = true;
    }
  }
  return ready;
}

/// What is reused from one call of a thread to the next.
struct ThreadScratch {
  Watcher watcher;
  PollSet set;
};

ThreadScratch& scratch() {
  thread_local ThreadScratch own;
  return own;
}

}  // namespace

Result<int> poll(std::span<PollEntry> entries, int timeout_ms) {
  bool foreign = false;
  const int ready = look_at_own(entries, foreign);
  if (!foreign && (ready > 0 || timeout_ms == 0)) return ready;
  const Nanos deadline = timeout_ms < 0 ? kNever : monotonic_now() + timeout_ms * kMillisecond;

  ThreadScratch& own = scratch();
  PollSet& set = own.set;
  set.assign(entries);
  const PollSet::Emptied emptied(set);
  if (ready > 0 || timeout_ms == 0) return set.look(entries);

  const Result<int> waker = own.watcher.open();
  if (!waker) return waker.error();
  set.subscribe(own.watcher);
  bool woken = false;
  for (;;) {
    // Raised without a wait: in the last call, while that returned for another reason.
    if (woken || own.watcher.raised()) own.watcher.clear();
    if (set.own_is_ready()) return set.look(entries);
    const Nanos left = timeout_ms < 0 ? kNever : deadline - monotonic_now();
    const Errno error = set.wait(*waker, left, woken);
    if (error != Errno::ok) return error;
    // A wake may be about a readiness that is gone again: then the wait goes on.
    if (!woken || left <= 0) return set.collect(entries);
  }
}

}  // namespace vpollnet::host
