// SPDX-License-Identifier: MIT
// What a packet goes through between its arrival and its departure: its flow is looked up, its
// destination translated, then the stack finds out where it goes; the filter decides, its source is
// translated, and the flow is remembered.
//
//     begin()  ->  routing, by Passage::seen  ->  decide()  ->  finish()
//
// Nothing is changed in the packet before finish(), so that an ICMP error quotes it as it came.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "filter/connections.hpp"
#include "filter/flow.hpp"
#include "filter/nat.hpp"
#include "filter/prefix.hpp"
#include "filter/rules.hpp"
#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/time.hpp"

namespace vpollnet::filter {

/// One packet between begin() and finish().
struct Passage {
  FlowPacket packet;
  FlowTuple seen;                  ///< with its destination translated: what is routed and filtered
  FlowTuple leaving;               ///< with its source translated too
  std::optional<FlowTuple> quote;  ///< of an ICMP error, translated
  FlowState state = FlowState::fresh;
  bool untracked = false;  ///< to be filtered and not remembered: to a group, from nobody

  // For Firewall.
  FlowTuple entered;  ///< as the flow is remembered
  std::optional<ConnectionMatch> match;
  bool hairpin = false;
  InterfaceId outer_link = kAnyInterface;
  const PrefixNat* prefix_hairpin = nullptr;
};

/// Where a packet goes.
struct Hop {
  Direction direction = Direction::forward;
  InterfaceId in = kAnyInterface;
  InterfaceId out = kAnyInterface;
};

/// The arguments must outlive it.
class Firewall {
 public:
  Firewall(const NatHost& host, BlockPool& pool, Budget& budget, Counters& counters,
           KeyedRandom& random);

  /// Nothing: no filter. The rules take effect with the next packet; flows stay known.
  void set_filter(std::optional<RuleSet> rules);
  void set_nat(NatRules rules) { nat_.set(std::move(rules)); }
  void set_limits(const ConnectionLimits& limits) { connections_.set_limits(limits); }
  bool empty() const { return !filter_ && !stateful() && nat_.rules().prefixes.empty(); }
  /// Flows are looked at, so packets must come whole: fragments are put together first.
  bool stateful() const { return filter_ || nat_.stateful(); }

  /// `in` is kAnyInterface for a packet of the stack itself. Nothing if there is no IP header.
  std::optional<Passage> begin(Packet& packet, InterfaceId in);
  /// accept, drop, reject or prohibit; counted unless it is accept.
  Action decide(Passage& passage, const Hop& hop, Nanos now);
  /// The packet gets what decide() found.
  void finish(Packet& packet, const Passage& passage);
  /// A packet that could not be delivered becomes what it was when it came in.
  void restore(Packet& packet);

  /// An address of the stack's is gone: so are the flows that stood behind it.
  void forget_address(const IpAddress& address);
  Nanos next_deadline() const { return connections_.next_deadline(); }
  void advance(Nanos now) { connections_.advance(now); }

  const Filter* filter() const { return filter_ ? &*filter_ : nullptr; }
  std::vector<LogEntry> take_log();
  const Nat& nat() const { return nat_; }
  const Connections& connections() const { return connections_; }

 private:
  void map_inward(Passage& passage, InterfaceId in) const;
  bool map_outward(Passage& passage, InterfaceId out) const;
  void relate(Passage& passage, bool ours);
  void classify(Passage& passage, InterfaceId in);
  bool remember(Passage& passage, const Hop& hop, Nanos now);

  const NatHost& host_;
  BlockPool& pool_;
  Counters& counters_;
  Nat nat_;
  Connections connections_;
  std::optional<Filter> filter_;
};

}  // namespace vpollnet::filter
