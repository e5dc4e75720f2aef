// SPDX-License-Identifier: MIT
// Who on the link has which MAC: one cache for ARP and neighbour discovery, with the states and
// timers of RFC 4861 7.3 for both (RFC 1122 2.3.2.1 wants ARP entries to be probed and to end too).
//
// It sends nothing itself: it returns what is to be sent.
//
// What an unasked-for message may do (security case L02):
//  - create an entry: only a request or solicitation that is addressed to us (RFC 826, RFC 4861
//    7.2.3), and then never at the cost of an entry that is in use;
//  - change the MAC of an entry: yes, since failover depends on it, but ARP at most once in
//    kArpLockTime, and the entry is STALE afterwards, so that it is probed when next used;
//  - confirm that a neighbour is reachable: never.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/time.hpp"
#include "util/timer_queue.hpp"
#include "wire/address.hpp"
#include "wire/arp.hpp"
#include "wire/ndp.hpp"

namespace vpollnet::link {

/// RFC 4861 7.3.2.
enum class NeighbourState : std::uint8_t { incomplete, reachable, stale, delay, probe };

/// "INCOMPLETE", "REACHABLE", ...
const char* to_string(NeighbourState state);

/// Security case L04, RFC 6583: a sweep of the subnet fills these and no more.
struct NeighbourLimits {
  std::size_t entries = 1024;
  std::size_t incomplete = 256;          ///< of which not yet answered
  std::size_t queue_packets = 16;        ///< waiting for one neighbour
  std::size_t queue_bytes = 256 * 1024;  ///< waiting for one neighbour; a first one always fits
  std::size_t all_queue_bytes = 1024 * 1024;     ///< waiting for all
  std::uint32_t solicitations_per_second = 128;  ///< to groups; probes of known neighbours beside
};

/// An ARP request or neighbour solicitation to be sent now.
struct Solicitation {
  IpAddress target;
  IpAddress source;              ///< of the packet that asked for it (RFC 4861 7.2.2)
  std::optional<MacAddress> to;  ///< where a known neighbour is probed; none: to all, or the group
};

/// What a message or a timer leads to.
struct NeighbourActions {
  std::vector<Solicitation> solicitations;
  MacAddress mac;              ///< where `ready` goes
  std::vector<Packet> ready;   ///< waited for `mac`, in the order in which they came
  bool ignored = false;        ///< the message was about nobody whom we know
  std::vector<Packet> failed;  ///< nobody answered: RFC 4861 7.2.2 wants address unreachable
};

struct NeighbourEntry {
  IpAddress address;
  MacAddress mac;
  NeighbourState state = NeighbourState::incomplete;
};

/// The neighbours on one interface. `budget`, `counters` and `random` must outlive it.
class Neighbours {
 public:
  static constexpr Nanos kRetransmit = kSecond;           ///< RETRANS_TIMER (RFC 4861 10)
  static constexpr Nanos kReachable = 30 * kSecond;       ///< REACHABLE_TIME, times 0.5 to 1.5
  static constexpr Nanos kDelayFirstProbe = 5 * kSecond;  ///< DELAY_FIRST_PROBE_TIME
  static constexpr unsigned kSolicitations = 3;  ///< MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT
  static constexpr Nanos kArpLockTime = kSecond;

  Neighbours(Budget& budget, Counters& counters, KeyedRandom& random, NeighbourLimits limits = {});
  ~Neighbours();
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

  /// Where a packet to `address` goes now; nothing if that has to be found out: then enqueue().
  std::optional<MacAddress> find(const IpAddress& address, Nanos now);
  /// Keeps `packet` until `address` is resolved, and begins to ask. `source` is the packet's own.
  NeighbourActions enqueue(const IpAddress& address, const IpAddress& source, Packet&& packet,
                           Nanos now);

  /// Of `arp` the sender is looked at, which must be neither unspecified nor one of our own
  /// addresses. `may_create`: it is a request for us, from a sender that is on this link.
  NeighbourActions on_arp(const wire::ArpPacket& arp, bool may_create, Nanos now);
  /// A solicitation from `source` with its link-layer address (RFC 4861 7.2.3).
  NeighbourActions on_solicitation(const IpAddress& source, const MacAddress& mac, bool may_create,
                                   Nanos now);
  /// RFC 4861 7.2.5.
  NeighbourActions on_advertisement(const wire::NeighbourAdvertisement& message, Nanos now);
  /// A higher layer makes progress through `address` (RFC 4861 7.3.1).
  void confirm(const IpAddress& address, Nanos now);

  NeighbourActions advance(Nanos now);
  Nanos next_deadline() const { return timers_.next(); }

  /// Forgets all; packets that wait are dropped as `reason`.
  void clear(Drop reason);
  std::vector<NeighbourEntry> list() const;
  std::size_t size() const { return entries_.size(); }
  std::size_t incomplete() const { return incomplete_.size(); }

 private:
  struct Entry {
    IpAddress address;
    MacAddress mac;
    NeighbourState state = NeighbourState::incomplete;
    bool used = false;        ///< a packet of ours has asked for it
    unsigned sent = 0;        ///< solicitations without an answer
    Nanos deadline = kNever;  ///< REACHABLE: when it ends. Else the next step, if there is one
    Nanos mac_changed = 0;
    IpAddress source;  ///< of the packet that waits first
    std::vector<Packet> queue;
    std::size_t queued_bytes = 0;
    std::list<Entry*>::iterator place;
    TimerEntry timer;
  };
  struct Hash {
    SecretKey key;
    std::size_t operator()(const IpAddress& address) const { return siphash(key, address.bytes()); }
  };
  static constexpr std::size_t kPacketOverhead = sizeof(Packet);

  Entry* lookup(const IpAddress& address);
  Entry* create(const IpAddress& address, NeighbourState state, bool used);
  bool make_room();
  void erase(Entry& entry, Drop reason);
  void set_state(Entry& entry, NeighbourState state, Nanos now);
  void resolve(Entry& entry, const MacAddress& mac, NeighbourState state, Nanos now,
               NeighbourActions& actions);
  void learn(const IpAddress& address, const MacAddress& mac, bool may_create, Nanos now,
             NeighbourActions& actions);
  void solicit(Entry& entry, Nanos now, NeighbourActions& actions);
  void drop_oldest(Entry& entry, Drop reason);
  std::vector<Packet> take_queue(Entry& entry);
  bool take_token(Nanos now);

  Budget& budget_;
  Counters& counters_;
  KeyedRandom& random_;
  NeighbourLimits limits_;
  std::unordered_map<IpAddress, Entry, Hash> entries_;
  std::list<Entry*> incomplete_;  ///< the oldest first
  std::list<Entry*> resolved_;    ///< the least recently used first
  TimerQueue<Entry, &Entry::timer> timers_;
  Entry* last_ = nullptr;  ///< the resolved entry that was last asked for
  std::size_t queued_bytes_ = 0;
  Nanos tokens_at_ = 0;  ///< token bucket, in time: a token is due at this time
  bool tokens_begun_ = false;
};

}  // namespace vpollnet::link
