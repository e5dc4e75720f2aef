// SPDX-License-Identifier: MIT
#include "link/neighbours.hpp"

#include <algorithm>

namespace vpollnet::link {

namespace {

/// Security case L02: no frame may be led to a group, or to nowhere.
bool is_usable(const MacAddress& mac) { return !mac.is_multicast() && !mac.is_zero(); }

}  // namespace

const char* to_string(NeighbourState state) {
  switch (state) {
  case NeighbourState::incomplete: return "INCOMPLETE";
  case NeighbourState::reachable: return "REACHABLE";
  case NeighbourState::stale: return "STALE";
  case NeighbourState::delay: return "DELAY";
  case NeighbourState::probe: return "PROBE";
  }
  return "";
}

Neighbours::Neighbours(Budget& budget, Counters& counters, KeyedRandom& random,
                       NeighbourLimits limits)
    : budget_(budget), counters_(counters), random_(random), limits_(limits),
      entries_(16, Hash{random.derive()}) {}

Neighbours::~Neighbours() { clear(Drop::interface_down); }

std::optional<MacAddress> Neighbours::find(const IpAddress& address, Nanos now) {
  Entry* entry = last_;
  if (entry == nullptr || entry->address != address) {
    entry = lookup(address);
    if (entry == nullptr || entry->state == NeighbourState::incomplete) return std::nullopt;
    resolved_.splice(resolved_.end(), resolved_, entry->place);
    entry->used = true;
    last_ = entry;
  }
  if (entry->state == NeighbourState::reachable && now >= entry->deadline) {
    set_state(*entry, NeighbourState::stale, now);
  }
  // RFC 4861 7.3.3: the first packet to a stale neighbour starts the delay before it is probed.
  if (entry->state == NeighbourState::stale) set_state(*entry, NeighbourState::delay, now);
  return entry->mac;
}

NeighbourActions Neighbours::enqueue(const IpAddress& address, const IpAddress& source,
                                     Packet&& packet, Nanos now) {
  NeighbourActions actions;
  Entry* entry = lookup(address);
  if (entry == nullptr) {
    entry = create(address, NeighbourState::incomplete, true);
    entry->source = source;
    solicit(*entry, now, actions);
  }
  // RFC 4861 7.2.2: when the queue overflows, the new packet takes the place of the oldest.
  const std::size_t bytes = packet.size() + kPacketOverhead;
  while (!entry->queue.empty() && (entry->queue.size() >= limits_.queue_packets ||
                                   entry->queued_bytes + bytes > limits_.queue_bytes)) {
    drop_oldest(*entry, Drop::neighbour_queue_full);
  }
  if (queued_bytes_ + bytes > limits_.all_queue_bytes) {
    counters_.drop(Drop::neighbour_queue_full);
  } else if (!budget_.charge(bytes)) {
    counters_.drop(Drop::memory_budget);
  } else {
    entry->queued_bytes += bytes;
    queued_bytes_ += bytes;
    entry->queue.push_back(std::move(packet));
  }
  return actions;
}

NeighbourActions Neighbours::on_arp(const wire::ArpPacket& arp, bool may_create, Nanos now) {
  NeighbourActions actions;
  if (!is_usable(arp.sender_mac)) return actions;
  Entry* entry = lookup(arp.sender);
  const bool is_reply = arp.operation == wire::kArpReply;
  // ARP has no Solicited flag: a reply counts as asked for while a request of ours is under way.
  if (entry != nullptr && is_reply && entry->state == NeighbourState::incomplete) {
    resolve(*entry, arp.sender_mac, NeighbourState::reachable, now, actions);
  } else if (entry != nullptr && is_reply && entry->state == NeighbourState::probe &&
             entry->mac == arp.sender_mac) {
    set_state(*entry, NeighbourState::reachable, now);
  } else if (entry == nullptr || entry->state == NeighbourState::incomplete ||
             now - entry->mac_changed >= kArpLockTime) {
    learn(arp.sender, arp.sender_mac, may_create, now, actions);
  }
  return actions;
}

NeighbourActions Neighbours::on_solicitation(const IpAddress& source, const MacAddress& mac,
                                             bool may_create, Nanos now) {
  NeighbourActions actions;
  if (is_usable(mac)) learn(source, mac, may_create, now, actions);
  return actions;
}

NeighbourActions Neighbours::on_advertisement(const wire::NeighbourAdvertisement& message,
                                              Nanos now) {
  NeighbourActions actions;
  Entry* entry = lookup(message.target);
  // RFC 4861 7.2.5: without an entry the advertisement is discarded silently.
  actions.ignored = entry == nullptr;
  if (entry == nullptr) return actions;
  if (message.target_mac && !is_usable(*message.target_mac)) return actions;

  if (entry->state == NeighbourState::incomplete) {
    if (!message.target_mac) return actions;
    resolve(*entry, *message.target_mac,
            message.solicited ? NeighbourState::reachable : NeighbourState::stale, now, actions);
    return actions;
  }
  const bool differs = message.target_mac && *message.target_mac != entry->mac;
  if (differs && !message.override_entry) {
    // I. in RFC 4861 7.2.5: somebody else says to have the address; ask again before long.
    if (entry->state == NeighbourState::reachable) set_state(*entry, NeighbourState::stale, now);
    return actions;
  }
  if (differs) resolve(*entry, *message.target_mac, NeighbourState::stale, now, actions);
  if (message.solicited) set_state(*entry, NeighbourState::reachable, now);
  return actions;
}

void Neighbours::confirm(const IpAddress& address, Nanos now) {
  Entry* entry = last_ != nullptr && last_->address == address ? last_ : lookup(address);
  if (entry == nullptr || entry->state == NeighbourState::incomplete) return;
  set_state(*entry, NeighbourState::reachable, now);
}

NeighbourActions Neighbours::advance(Nanos now) {
  NeighbourActions actions;
  while (Entry* entry = timers_.pop_due(now)) {
    if (entry->deadline > now) {  // it was put off after the timer had been armed
      if (entry->state != NeighbourState::reachable && entry->state != NeighbourState::stale) {
        timers_.arm(*entry, entry->deadline);
      }
      continue;
    }
    switch (entry->state) {
    case NeighbourState::delay: set_state(*entry, NeighbourState::probe, now); [[fallthrough]];
    case NeighbourState::probe:
    case NeighbourState::incomplete:
      if (entry->sent < kSolicitations) {
        solicit(*entry, now, actions);
        break;
      }
      // RFC 4861 7.3.3: unreachable, so the entry goes; the next packet resolves anew.
      for (Packet& packet : take_queue(*entry)) {
        counters_.drop(Drop::neighbour_unresolved);
        actions.failed.push_back(std::move(packet));
      }
      erase(*entry, Drop::neighbour_unresolved);
      break;
    case NeighbourState::reachable:
    case NeighbourState::stale: break;
    }
  }
  return actions;
}

void Neighbours::clear(Drop reason) {
  while (!entries_.empty()) erase(entries_.begin()->second, reason);
}

std::vector<NeighbourEntry> Neighbours::list() const {
  std::vector<NeighbourEntry> result;
  result.reserve(entries_.size());
  for (const auto& [address, entry] : entries_) {
    result.push_back({address, entry.mac, entry.state});
  }
  std::sort(result.begin(), result.end(),
            [](const NeighbourEntry& a, const NeighbourEntry& b) { return a.address < b.address; });
  return result;
}

Neighbours::Entry* Neighbours::lookup(const IpAddress& address) {
  const auto found = entries_.find(address);
  return found == entries_.end() ? nullptr : &found->second;
}

/// Null only for an entry that is not `used` when all others are.
Neighbours::Entry* Neighbours::create(const IpAddress& address, NeighbourState state, bool used) {
  if (state == NeighbourState::incomplete && incomplete_.size() >= limits_.incomplete) {
    erase(*incomplete_.front(), Drop::neighbour_unresolved);
  }
  if (entries_.size() >= limits_.entries) {
    if (used) {
      make_room();
    } else if (resolved_.empty() || resolved_.front()->used) {
      return nullptr;
    } else {
      erase(*resolved_.front(), Drop::neighbour_unresolved);
    }
  }
  Entry& entry = entries_[address];
  entry.address = address;
  entry.state = state;
  entry.used = used;
  std::list<Entry*>& list = state == NeighbourState::incomplete ? incomplete_ : resolved_;
  // What nobody of ours has asked for is the first to go.
  entry.place = list.insert(used ? list.end() : list.begin(), &entry);
  return &entry;
}

bool Neighbours::make_room() {
  // RFC 6583 6.1: what is under way to an answer that may never come goes before what works.
  std::list<Entry*>& from = incomplete_.empty() ? resolved_ : incomplete_;
  if (from.empty()) return false;
  erase(*from.front(), Drop::neighbour_unresolved);
  return true;
}

void Neighbours::erase(Entry& entry, Drop reason) {
  while (!entry.queue.empty()) drop_oldest(entry, reason);
  timers_.cancel(entry);
  (entry.state == NeighbourState::incomplete ? incomplete_ : resolved_).erase(entry.place);
  if (last_ == &entry) last_ = nullptr;
  const IpAddress address = entry.address;
  entries_.erase(address);
}

void Neighbours::set_state(Entry& entry, NeighbourState state, Nanos now) {
  entry.state = state;
  entry.sent = 0;
  switch (state) {
  case NeighbourState::reachable:
    // RFC 4861 6.3.2: uniform between 0.5 and 1.5 times. No timer: find() looks at the time.
    entry.deadline = now + kReachable / 2 + kReachable / 1024 * random_.below(1024);
    break;
  case NeighbourState::delay:
    entry.deadline = now + kDelayFirstProbe;
    timers_.arm(entry, entry.deadline);
    break;
  default: entry.deadline = kNever; break;
  }
}

void Neighbours::resolve(Entry& entry, const MacAddress& mac, NeighbourState state, Nanos now,
                         NeighbourActions& actions) {
  if (entry.state == NeighbourState::incomplete) {
    resolved_.splice(resolved_.end(), incomplete_, entry.place);
  }
  entry.mac = mac;
  entry.mac_changed = now;
  actions.mac = mac;
  actions.ready = take_queue(entry);
  const bool starts_delay = state == NeighbourState::stale && !actions.ready.empty();
  set_state(entry, starts_delay ? NeighbourState::delay : state, now);
}

/// An address that was not asked for (RFC 826 "Merge_flag", RFC 4861 7.2.3).
void Neighbours::learn(const IpAddress& address, const MacAddress& mac, bool may_create, Nanos now,
                       NeighbourActions& actions) {
  Entry* entry = lookup(address);
  if (entry == nullptr) {
    actions.ignored = !may_create;
    if (!may_create) return;
    entry = create(address, NeighbourState::stale, false);
    if (entry == nullptr) return;
    entry->mac = mac;
    entry->mac_changed = now;
  } else if (entry->state == NeighbourState::incomplete || entry->mac != mac) {
    resolve(*entry, mac, NeighbourState::stale, now, actions);
  }
}

void Neighbours::solicit(Entry& entry, Nanos now, NeighbourActions& actions) {
  const bool known = entry.state != NeighbourState::incomplete;
  if (!known && !take_token(now)) {
    // The limit is for all neighbours together: this one waits for its turn.
    entry.deadline = now + kSecond / limits_.solicitations_per_second + 1;
  } else {
    entry.sent++;
    entry.deadline = now + kRetransmit;
    // RFC 4861 7.3.3: a known neighbour is probed by unicast; RFC 1122 2.3.2.1 (2) for ARP.
    actions.solicitations.push_back(
        {entry.address, entry.source, known ? std::optional(entry.mac) : std::nullopt});
  }
  timers_.arm(entry, entry.deadline);
}

void Neighbours::drop_oldest(Entry& entry, Drop reason) {
  const std::size_t bytes = entry.queue.front().size() + kPacketOverhead;
  entry.queue.erase(entry.queue.begin());
  entry.queued_bytes -= bytes;
  queued_bytes_ -= bytes;
  budget_.release(bytes);
  counters_.drop(reason);
}

std::vector<Packet> Neighbours::take_queue(Entry& entry) {
  budget_.release(entry.queued_bytes);
  queued_bytes_ -= entry.queued_bytes;
  entry.queued_bytes = 0;
  std::vector<Packet> packets = std::move(entry.queue);
  entry.queue.clear();
  return packets;
}

/// A bucket of one second's worth of tokens, kept as the time at which the next one is due.
bool Neighbours::take_token(Nanos now) {
  const Nanos interval = kSecond / limits_.solicitations_per_second;
  if (!tokens_begun_) tokens_at_ = now - kSecond;
  tokens_begun_ = true;
  tokens_at_ = std::max(tokens_at_, now - kSecond);
  if (tokens_at_ > now) return false;
  tokens_at_ += interval;
  return true;
}

}  // namespace vpollnet::link
