// SPDX-License-Identifier: MIT
#include "host/fair_lock.hpp"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace vpollnet::host {
namespace {

// Most holds last a microsecond or two; going to sleep and being woken costs ten times that.
constexpr int kSpins = 40;

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void FairLock::lock_slowly() {
  waiting_.fetch_add(1);
  bool locked = false;
  for (int i = 0; i < kSpins && !locked; i++) {
    relax();
    locked = mutex_.try_lock();
  }
  if (!locked) mutex_.lock();
  passed_over_ = 0;
  waiting_.fetch_sub(1);
  turns_.fetch_add(1);
  turns_.notify_all();
}

FairLock::Mark FairLock::unlock_marked() {
  // Both are read with the lock held: whoever is counted as waiting has yet to add its turn.
  const Mark mark{.turns = turns_.load(), .waited_for = waiting_.load() != 0};
  passed_over_ = 0;
  mutex_.unlock();
  return mark;
}

void FairLock::give_way(const Mark& mark) {
  if (mark.waited_for) turns_.wait(mark.turns);
}

}  // namespace vpollnet::host
