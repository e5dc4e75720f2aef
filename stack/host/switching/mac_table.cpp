// SPDX-License-Identifier: MIT
#include "host/switching/mac_table.hpp"

#include <algorithm>
#include <bit>

namespace vpollnet::host {
MacAddress MacTable::mac_of(std::uint64_t key) {
  MacAddress mac;
  for (std::size_t i = mac.bytes.size(); i-- > 0; key >>= 8) {
    mac.bytes[i] = static_cast<std::uint8_t>(key);
  }
  return mac;
}

MacTable::MacTable(std::size_t limit, Nanos ageing, const SecretKey& secret)
    : limit_(std::max<std::size_t>(limit, 1)), ageing_(ageing), multiplier_(secret[0] | 1) {
  const std::size_t slots = std::bit_ceil(limit_ * 2);
  slots_.resize(slots);
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
}

// --- the hash table ---

MacTable::Index MacTable::look_up(std::uint64_t key) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = home(key);; at = (at + 1) & mask) {
    if (slots_[at].key == key) return slots_[at].entry;
    if (slots_[at].key == 0) return kNone;
  }
}

void MacTable::put(std::uint64_t key, Index entry) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = home(key);
  while (slots_[at].key != 0) at = (at + 1) & mask;
  slots_[at] = {key, entry};
}

void MacTable::take_out(std::uint64_t key) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = home(key);
  while (slots_[hole].key != key) hole = (hole + 1) & mask;
  // What stands behind and could stand in the hole moves there, so that no probe ends too early.
  for (std::size_t at = (hole + 1) & mask; slots_[at].key != 0; at = (at + 1) & mask) {
    const std::size_t wanted = home(slots_[at].key);
    if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = {};
}

// --- the lists, one a port ---

MacTable::List& MacTable::list_of(Port port) {
  if (port >= lists_.size()) lists_.resize(std::size_t{port} + 1);
  return lists_[port];
}

void MacTable::append(Index index, Port port, Nanos now) {
  List& list = list_of(port);
  Entry& entry = entries_[index];
  entry.port = port;
  entry.heard = entry.placed = now;
  entry.previous = list.last;
  entry.next = kNone;
  (list.last == kNone ? list.first : entries_[list.last].next) = index;
  list.last = index;
  list.count++;
}

void MacTable::unlink(Index index) {
  const Entry& entry = entries_[index];
  List& list = lists_[entry.port];
  (entry.previous == kNone ? list.first : entries_[entry.previous].next) = entry.next;
  (entry.next == kNone ? list.last : entries_[entry.next].previous) = entry.previous;
  list.count--;
}

void MacTable::remove(Index index) {
  unlink(index);
  take_out(entries_[index].key);
  free_.push_back(index);
  size_--;
}

MacTable::Index MacTable::silent_for_longest(List& list) {
  // To be heard costs one store; the place in the list is put right when it matters.
  for (int chance = 0; chance < kSecondChances; chance++) {
    const Index first = list.first;
    const Nanos heard = entries_[first].heard;
    if (heard == entries_[first].placed) break;
    const Port port = entries_[first].port;
    unlink(first);
    append(first, port, heard);
  }
  return list.first;
}

void MacTable::make_room(Port learner, Nanos now) {
  // What is too old goes first, whoever has it.
  const List* most = &list_of(learner);
  for (List& list : lists_) {
    while (list.count > 0) {
      const Index oldest = silent_for_longest(list);
      if (!expired(entries_[oldest], now)) break;
      remove(oldest);
    }
    if (list.count > most->count) most = &list;
  }
  if (size_ < limit_) return;
  remove(silent_for_longest(lists_[static_cast<std::size_t>(most - lists_.data())]));
  evictions_++;
}

// --- what a bridge asks ---

MacTable::Outcome MacTable::learn(std::uint64_t key, Port port, Nanos now) {
  Index index = look_up(key);
  if (index != kNone) {
    Entry& entry = entries_[index];
    if (entry.port == port) {
      entry.heard = now;
      return Outcome::known;
    }
    if (now - entry.heard < std::min(kMoveHold, ageing_)) return Outcome::refused;
    unlink(index);
    append(index, port, now);
    return Outcome::moved;
  }
  if (size_ >= limit_) make_room(port, now);
  if (free_.empty()) {
    index = static_cast<Index>(entries_.size());
    entries_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  entries_[index].key = key;
  put(key, index);
  append(index, port, now);
  size_++;
  return Outcome::learned;
}

MacTable::Port MacTable::find(std::uint64_t key, Nanos now) const {
  const Index index = look_up(key);
  if (index == kNone || expired(entries_[index], now)) return kNoPort;
  return entries_[index].port;
}

void MacTable::forget_port(Port port) {
  List& list = list_of(port);
  while (list.count > 0) remove(list.first);
}

std::vector<MacTable::Listed> MacTable::list(Nanos now) const {
  std::vector<Listed> all;
  all.reserve(size_);
  for (const List& list : lists_) {
    for (Index at = list.first; at != kNone; at = entries_[at].next) {
      const Entry& entry = entries_[at];
      if (expired(entry, now)) continue;
      all.push_back({mac_of(entry.key), vid_of(entry.key), entry.port, now - entry.heard});
    }
  }
  return all;
}

}  // namespace vpollnet::host
