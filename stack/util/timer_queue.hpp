// SPDX-License-Identifier: MIT
// Which of many objects has the earliest deadline.
#pragma once

#include <cstddef>
#include <vector>

#include "util/time.hpp"

namespace vpollnet {

/// The queue's part of an object that has a deadline. Must not move or die while it is queued:
/// call TimerQueue::cancel first.
struct TimerEntry {
  Nanos armed_for = kNever;
  std::size_t position = 0;
};

/// A binary heap over entries that live in their objects. O(log n) to arm and cancel, O(1) to ask.
///
/// A deadline that moves away is not re-sorted (a retransmission timer is restarted by each ACK):
/// the entry comes up at its old time, and its owner arms it again for the true one.
template <class Object, TimerEntry Object::*kEntry>
class TimerQueue {
 public:
  /// Makes `object` come up at `deadline` or earlier. kNever leaves an armed entry alone.
  void arm(Object& object, Nanos deadline) {
    TimerEntry& entry = object.*kEntry;
    if (deadline >= entry.armed_for) return;
    if (entry.armed_for == kNever) {
      entry.position = heap_.size();
      heap_.push_back(&object);
    }
    entry.armed_for = deadline;
    sift_up(entry.position);
  }

  void cancel(Object& object) {
    TimerEntry& entry = object.*kEntry;
    if (entry.armed_for == kNever) return;
    const std::size_t hole = entry.position;
    Object* last = heap_.back();
    heap_.pop_back();
    entry.armed_for = kNever;
    if (last == &object) return;
    place(last, hole);
    sift_up(hole);
    sift_down((last->*kEntry).position);
  }

  Nanos next() const { return heap_.empty() ? kNever : (heap_.front()->*kEntry).armed_for; }

  /// Takes out one object that is due at `now`; null if there is none.
  Object* pop_due(Nanos now) {
    if (next() > now) return nullptr;
    Object* due = heap_.front();
    cancel(*due);
    return due;
  }

  /// Sorts anew what comes first, for as long as its deadline, by `deadline_of(object)`, has moved
  /// away: `most` entries at most. Whoever is woken for one of them is then not woken for each.
  template <class DeadlineOf>
  void put_off(int most, DeadlineOf deadline_of) {
    for (; most > 0 && !heap_.empty(); most--) {
      Object& first = *heap_.front();
      const Nanos deadline = deadline_of(first);
      if (deadline <= next()) return;
      cancel(first);
      arm(first, deadline);
    }
  }

  std::size_t size() const { return heap_.size(); }

 private:
  static Nanos key(const Object* object) { return (object->*kEntry).armed_for; }
  void place(Object* object, std::size_t position) {
    heap_[position] = object;
    (object->*kEntry).position = position;
  }
  void sift_up(std::size_t at) {
    Object* object = heap_[at];
    while (at > 0 && key(object) < key(heap_[(at - 1) / 2])) {
      place(heap_[(at - 1) / 2], at);
      at = (at - 1) / 2;
    }
    place(object, at);
  }
  void sift_down(std::size_t at) {
    Object* object = heap_[at];
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && key(heap_[child + 1]) < key(heap_[child])) child++;
      if (key(object) <= key(heap_[child])) break;
      place(heap_[child], at);
      at = child;
    }
    place(object, at);
  }

  std::vector<Object*> heap_;
};

}  // namespace vpollnet
