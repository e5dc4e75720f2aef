// SPDX-License-Identifier: MIT
// Which address was heard where: the filtering database of a bridge (IEEE 802.1Q 8.8), with the
// dynamic entries that it learns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "util/random.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// Bounded. When it is full, the port that has the most entries gives up the one that was silent
/// for longest: a flood of made-up addresses costs its own port, and never takes from a port that
/// has less than its share. Every call is O(1), or O(ports) where an entry has to go.
class MacTable {
 public:
  using Port = std::uint16_t;
  static constexpr Port kNoPort = 0xffff;

  /// While an address was heard on one port within this time, it is not believed on another: there
  /// it is its own echo, out of a loop. A host that moves is silent for longer, or comes through
  /// when it tries again.
  static constexpr Nanos kMoveHold = 200 * kMillisecond;

  /// IEEE 802.1Q 8.8.3, independent learning: an address is known for each VLAN by itself. `mac` is
  /// 48 bits, `vid` 1 to 4094; so no key is 0.
  static constexpr std::uint64_t key(std::uint64_t mac, std::uint16_t vid) {
    return std::uint64_t{vid} << 48 | mac;
  }
  static MacAddress mac_of(std::uint64_t key);
  static constexpr std::uint16_t vid_of(std::uint64_t key) {
    return static_cast<std::uint16_t>(key >> 48);
  }

  enum class Outcome : std::uint8_t {
    known,    ///< where it was
    learned,  ///< new
    moved,    ///< from another port, where it was silent for kMoveHold
    refused,  ///< it is in use on another port
  };

  /// `limit` entries, at least one. `secret` keeps peers from choosing addresses that collide.
  MacTable(std::size_t limit, Nanos ageing, const SecretKey& secret);

  /// The address was heard on `port`.
  Outcome learn(std::uint64_t key, Port port, Nanos now);
  /// The port of an address that was heard within the ageing time, or kNoPort.
  Port find(std::uint64_t key, Nanos now) const;
  void forget_port(Port port);

  struct Listed {
    MacAddress mac;
    std::uint16_t vid = 0;
    Port port = kNoPort;
    Nanos age = 0;  ///< since it was last heard
  };
  /// By port, those that were silent for longest first.
  std::vector<Listed> list(Nanos now) const;

  std::size_t size() const { return size_; }
  /// Entries that went because the table was full.
  std::uint64_t evictions() const { return evictions_; }

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = UINT32_MAX;
  /// Entries that have been heard again are passed over so many times when one has to go.
  static constexpr int kSecondChances = 16;

  struct Slot {
    std::uint64_t key = 0;  ///< 0: free
    Index entry = kNone;
  };
  struct Entry {
    std::uint64_t key = 0;
    Nanos heard = 0;
    Nanos placed = 0;  ///< `heard` as it was when the entry got its place in the port's list
    Index next = kNone;
    Index previous = kNone;
    Port port = kNoPort;
  };
  struct List {
    Index first = kNone;  ///< silent for longest, as far as `placed` tells
    Index last = kNone;
    std::size_t count = 0;
  };

  std::size_t home(std::uint64_t key) const { return key * multiplier_ >> shift_; }
  Index look_up(std::uint64_t key) const;
  void put(std::uint64_t key, Index entry);
  void take_out(std::uint64_t key);
  List& list_of(Port port);
  void append(Index entry, Port port, Nanos now);
  void unlink(Index entry);
  void remove(Index entry);
  Index silent_for_longest(List& list);
  void make_room(Port learner, Nanos now);
  bool expired(const Entry& entry, Nanos now) const { return now - entry.heard >= ageing_; }

  std::size_t limit_;
  Nanos ageing_;
  std::uint64_t multiplier_;  ///< odd; multiply-shift hashing
  unsigned shift_;
  std::vector<Slot> slots_;  ///< linear probing, at most half full
  std::vector<Entry> entries_;
  std::vector<Index> free_;
  std::vector<List> lists_;  ///< by port
  std::size_t size_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace vpollnet::host
