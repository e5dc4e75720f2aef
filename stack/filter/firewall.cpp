// SPDX-License-Identifier: MIT
#include "filter/firewall.hpp"

#include <utility>

#include "filter/rewrite.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::filter {

Firewall::Firewall(const NatHost& host, BlockPool& pool, Budget& budget, Counters& counters,
                   KeyedRandom& random)
    : host_(host), pool_(pool), counters_(counters), nat_(host, random),
      connections_(budget, counters, random) {
  connections_.on_erase([this](Connection& connection) {
    if (connection.mapping != nullptr) nat_.release(*connection.mapping);
  });
}

void Firewall::set_filter(std::optional<RuleSet> rules) {
  if (!rules) {
    filter_.reset();
    return;
  }
  if (!filter_) filter_.emplace();
  filter_->set(std::move(*rules));
}

// --- what it is
// ----------------------------------------------------------------------------------------

/// RFC 6296 4: the destination of what comes from outside, and the inner packet of an error.
void Firewall::map_inward(Passage& passage, InterfaceId in) const {
  FlowTuple& tuple = passage.entered;
  for (const PrefixNat& rule : nat_.rules().prefixes) {
    if (!rule.external.contains(tuple.destination) ||
        host_.is_address_of(kAnyInterface, tuple.destination)) {
      continue;
    }
    const auto inner = map_prefix(tuple.destination, rule.external, rule.internal);
    if (!inner) return;
    tuple.destination = *inner;
    if (in != rule.out) passage.prefix_hairpin = &rule;
    if (passage.quote && rule.external.contains(passage.quote->source)) {
      const auto quoted = map_prefix(passage.quote->source, rule.external, rule.internal);
      if (quoted) passage.quote->source = *quoted;
    }
    return;
  }
}

/// False if the source has to be mapped and cannot be.
bool Firewall::map_outward(Passage& passage, InterfaceId out) const {
  FlowTuple& tuple = passage.leaving;
  for (const PrefixNat& rule : nat_.rules().prefixes) {
    const bool applies = rule.out == out || passage.prefix_hairpin == &rule;
    if (!applies || !rule.internal.contains(tuple.source)) continue;
    const auto outer = map_prefix(tuple.source, rule.internal, rule.external);
    if (!outer) return false;
    tuple.source = *outer;
    if (passage.quote && rule.internal.contains(passage.quote->destination)) {
      const auto quoted = map_prefix(passage.quote->destination, rule.internal, rule.external);
      if (quoted) passage.quote->destination = *quoted;
    }
    return true;
  }
  return true;
}

/// An ICMP error is of the flow that it quotes a packet of (RFC 5508 4). `ours`: the stack made it.
void Firewall::relate(Passage& passage, bool ours) {
  passage.state = FlowState::invalid;
  if (ours) {
    // It quotes what came in, as it came: nothing is to be translated, whether a flow came of it or
    // not.
    passage.state = FlowState::related;
    if (!passage.quote || connections_.find(*passage.quote)) return;
  }
  if (!passage.quote) return;
  const FlowTuple quoted = *passage.quote;
  const auto match = connections_.find(quoted.reversed());
  if (!match) return;
  passage.state = FlowState::related;
  passage.match = match;
  // What is quoted left here as `quoted`, and came in as `sent`: that is what its sender knows.
  const FlowTuple& sent = match->connection->tuple(1 - match->direction);
  passage.quote = sent;
  passage.seen.destination = sent.source;
  passage.leaving = passage.seen;
  // RFC 5508 REQ-4, REQ-5: an inner host, or router, is seen as the outer address.
  if (passage.entered.source == quoted.destination || sent.destination != quoted.destination) {
    passage.leaving.source = sent.destination;
  }
}

void Firewall::classify(Passage& passage, InterfaceId in) {
  const FlowPacket& packet = passage.packet;
  if (packet.malformed || packet.later_fragment) {
    passage.state = FlowState::invalid;
    return;
  }
  if (packet.is_icmp_error()) return relate(passage, in == kAnyInterface);
  passage.match = connections_.find(passage.entered);
  if (passage.match) {
    const auto& [connection, direction] = *passage.match;
    passage.leaving = connection->leaving(direction);
    passage.seen.destination = passage.leaving.destination;
    passage.seen.destination_port = passage.leaving.destination_port;
    passage.state =
        direction == 1 || connection->answered() ? FlowState::established : FlowState::fresh;
    return;
  }
  const bool begins_tcp = (packet.tcp_flags & (wire::kSyn | wire::kAck | wire::kRst)) == wire::kSyn;
  if ((packet.is_tcp() && !begins_tcp) || packet.tuple.echo == EchoKind::reply) {
    passage.state = FlowState::invalid;
    return;
  }
  if (in == kAnyInterface) return;
  const auto inward = nat_.inward(passage.entered, in);
  if (!inward) return;
  passage.seen.destination = inward->to;
  passage.seen.destination_port = inward->to_port;
  passage.leaving = passage.seen;
  passage.hairpin = inward->hairpin;
  passage.outer_link = inward->outer_link;
}

std::optional<Passage> Firewall::begin(Packet& packet, InterfaceId in) {
  const auto read = read_flow(packet, pool_);
  if (!read) return std::nullopt;
  Passage passage;
  passage.packet = *read;
  passage.entered = read->tuple;
  // RFC 5508 REQ-3: what is wrong is not made right by a new checksum.
  if (read->quote && icmp_checksum_ok(packet, *read)) passage.quote = read->quote->tuple;
  if (in != kAnyInterface) map_inward(passage, in);
  passage.seen = passage.leaving = passage.entered;
  if (stateful()) classify(passage, in);
  return passage;
}

// --- what becomes of it
// --------------------------------------------------------------------------------

/// A new flow, with the source that it leaves with. False, and counted, if it cannot be had.
bool Firewall::remember(Passage& passage, const Hop& hop, Nanos now) {
  Mapping* mapping = nullptr;
  passage.leaving = passage.seen;
  if (hop.direction == Direction::forward) {
    const InterfaceId out = passage.hairpin ? passage.outer_link : hop.out;
    const SourceNat* rule = nat_.outward(passage.seen, out);
    if (rule != nullptr || passage.hairpin) {
      // RFC 4787 REQ-9: seen as the outer address also by another inner host.
      const IpAddress outer = passage.hairpin ? passage.entered.destination : IpAddress();
      mapping = nat_.map(passage.seen, rule, out, outer);
      if (mapping == nullptr) {
        counters_.drop(Drop::nat_no_port);
        return false;
      }
      passage.leaving.source = mapping->outer;
      passage.leaving.source_port = mapping->outer_port;
    }
  }
  Connection* made = connections_.create(passage.entered, passage.leaving.reversed(), now);
  if (made == nullptr) {
    if (mapping != nullptr) nat_.release(*mapping);
    return false;
  }
  made->mapping = mapping;
  passage.match = ConnectionMatch{made, 0};
  return true;
}

Action Firewall::decide(Passage& passage, const Hop& hop, Nanos now) {
  if (filter_) {
    const Action action = filter_->decide({.direction = hop.direction,
                                           .in = hop.in,
                                           .out = hop.out,
                                           .tuple = passage.seen,
                                           .state = passage.state,
                                           .icmp = passage.packet.icmp,
                                           .icmp_type = passage.packet.icmp_type,
                                           .icmp_code = passage.packet.icmp_code,
                                           .size = passage.packet.size},
                                          now);
    if (action != Action::accept) {
      counters_.drop(action == Action::drop ? Drop::filter_dropped : Drop::filter_rejected);
      return action;
    }
  }
  if (stateful() && !passage.untracked) {
    const bool forwarded = hop.direction == Direction::forward;
    if (passage.state == FlowState::invalid) {
      // An inner address must not be seen outside, even where the filter lets such packets pass.
      if (forwarded && nat_.outward(passage.seen, hop.out) != nullptr) {
        counters_.drop(Drop::nat_untranslatable);
        return Action::drop;
      }
    } else {
      const bool known = passage.match || passage.state != FlowState::fresh;
      if (!known && !remember(passage, hop, now)) return Action::drop;
      if (passage.match) {
        connections_.on_packet(*passage.match->connection, passage.match->direction, passage.packet,
                               now);
      }
    }
  }
  if (hop.direction == Direction::forward && !map_outward(passage, hop.out)) {
    counters_.drop(Drop::nat_untranslatable);
    return Action::drop;
  }
  return Action::accept;
}

void Firewall::finish(Packet& packet, const Passage& passage) {
  rewrite(packet, passage.packet, passage.leaving, passage.quote, pool_);
}

void Firewall::restore(Packet& packet) {
  const auto read = read_flow(packet, pool_);
  if (!read || read->malformed || read->later_fragment) return;
  FlowTuple tuple = read->tuple;
  for (const PrefixNat& rule : nat_.rules().prefixes) {
    if (!rule.external.contains(tuple.source)) continue;
    tuple.source = map_prefix(tuple.source, rule.external, rule.internal).value_or(tuple.source);
    break;
  }
  const auto match = connections_.find(tuple.reversed());
  if (match) tuple = match->connection->tuple(1 - match->direction);
  rewrite(packet, *read, tuple, std::nullopt, pool_);
}

void Firewall::forget_address(const IpAddress& address) {
  connections_.erase_if([&](const Connection& connection) {
    return connection.translated() && connection.reply.destination == address;
  });
}

std::vector<LogEntry> Firewall::take_log() {
  return filter_ ? filter_->take_log() : std::vector<LogEntry>{};
}

}  // namespace vpollnet::filter
