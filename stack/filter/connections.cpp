// SPDX-License-Identifier: MIT
#include "filter/connections.hpp"

#include <algorithm>

#include "wire/tcp.hpp"

namespace vpollnet::filter {

const char* to_string(FlowProgress progress) {
  switch (progress) {
  case FlowProgress::opening: return "opening";
  case FlowProgress::answered: return "answered";
  case FlowProgress::established: return "established";
  case FlowProgress::half_closed: return "half-closed";
  case FlowProgress::closed: return "closed";
  case FlowProgress::reset: return "reset";
  }
  return "";
}

Connections::Connections(Budget& budget, Counters& counters, KeyedRandom& random,
                         ConnectionLimits limits)
    : budget_(budget), counters_(counters), limits_(limits),
      index_(16, FlowTupleHash{random.derive()}), sources_(16, SourceHash{random.derive()}) {}

Connections::~Connections() {
  erased_ = nullptr;
  erase_if([](const Connection&) { return true; });
}

std::optional<ConnectionMatch> Connections::find(const FlowTuple& tuple) {
  const auto found = index_.find(tuple);
  if (found == index_.end()) return std::nullopt;
  return ConnectionMatch{found->second.connection, found->second.direction};
}

/// Who is held to account: a host, or what an IPv6 host can choose its addresses from.
IpAddress Connections::source_of(const FlowTuple& tuple) {
  return tuple.source.is_v6() ? Cidr{tuple.source, 64}.network() : tuple.source;
}

bool Connections::make_room(const IpAddress& source) {
  const auto own = sources_.find(source);
  const bool has_unproven = own != sources_.end() && !own->second.unproven.empty();
  if (own != sources_.end() && own->second.count >= limits_.per_source) {
    if (!has_unproven) return false;
    erase(*own->second.unproven.front());
    return true;
  }
  if (connections_ < limits_.connections) return true;
  if (has_unproven) {
    erase(*own->second.unproven.front());
  } else if (!unproven_.empty()) {
    erase(*unproven_.front());
  } else {
    return false;
  }
  return true;
}

Connection* Connections::create(const FlowTuple& original, const FlowTuple& reply, Nanos now) {
  if (original == reply || index_.contains(original) || index_.contains(reply)) {
    counters_.drop(Drop::nat_conflict);
    return nullptr;
  }
  const IpAddress source = source_of(original);
  if (!make_room(source)) {
    counters_.drop(Drop::connection_limit);
    return nullptr;
  }
  if (!budget_.charge(kCost)) {
    counters_.drop(Drop::memory_budget);
    return nullptr;
  }
  auto owned = std::make_unique<Connection>();
  Connection& made = *owned;
  made.original = original;
  made.reply = reply;
  made.created = now;
  index_.emplace(reply, Side{nullptr, &made, 1});
  index_.emplace(original, Side{std::move(owned), &made, 0});
  connections_++;
  sources_[source].count++;
  list(made);
  made.deadline = now + timeout_of(made);
  timers_.arm(made, made.deadline);
  return &made;
}

void Connections::list(Connection& connection) {
  if (connection.listed) return;
  connection.listed = true;
  Source& source = sources_[source_of(connection.original)];
  connection.place = unproven_.insert(unproven_.end(), &connection);
  connection.place_of_source = source.unproven.insert(source.unproven.end(), &connection);
}

void Connections::unlist(Connection& connection) {
  if (!connection.listed) return;
  connection.listed = false;
  unproven_.erase(connection.place);
  sources_[source_of(connection.original)].unproven.erase(connection.place_of_source);
}

void Connections::erase(Connection& connection) {
  if (erased_) erased_(connection);
  timers_.cancel(connection);
  unlist(connection);
  const auto source = sources_.find(source_of(connection.original));
  if (--source->second.count == 0) sources_.erase(source);
  connections_--;
  budget_.release(kCost);
  index_.erase(index_.find(connection.reply));
  index_.erase(index_.find(connection.original));
}

void Connections::erase_if(const std::function<bool(const Connection&)>& condition) {
  std::vector<Connection*> gone;
  for (const auto& [tuple, side] : index_) {
    if (side.direction == 0 && condition(*side.connection)) gone.push_back(side.connection);
  }
  for (Connection* connection : gone) erase(*connection);
}

Nanos Connections::timeout_of(const Connection& connection) {
  const bool proven = connection.proven();
  if (connection.original.protocol == kProtocolTcp)
    return proven ? kTcpEstablished : kTcpTransitory;
  if (connection.original.protocol == kProtocolUdp) return proven ? kUdp : kUdpOneWay;
  if (connection.original.echo != EchoKind::none) return kEcho;
  return proven ? kOther : kOtherOneWay;
}

/// RFC 6146 3.5.2.2, seen from whoever began. "established" begins with the third part of the
/// handshake, and that has to acknowledge the second: who forges a source has not seen it.
void Connections::advance_tcp(Connection& connection, unsigned direction,
                              const FlowPacket& packet) {
  /// Bytes that a server may have sent, and a client acknowledge, by the first ACK that is not
  /// lost.
  constexpr std::uint32_t kFirstFlight = 1u << 17;
  const std::uint8_t flags = packet.tcp_flags;
  FlowProgress& progress = connection.progress;
  const std::uint8_t side = direction == 0 ? 1 : 2;
  const bool over = progress == FlowProgress::closed || progress == FlowProgress::reset;
  if ((flags & wire::kSyn) != 0) {
    const bool answer = (flags & wire::kAck) != 0;
    if (over && !answer) {  // the ports are used again
      progress = FlowProgress::opening;
      connection.fin_from = 0;
      connection.was_established = false;
    } else if (progress == FlowProgress::opening && answer && direction == 1) {
      progress = FlowProgress::answered;
      connection.answer_sequence = packet.tcp_sequence;
    }
    return;
  }
  if ((flags & wire::kRst) != 0) {
    progress = FlowProgress::reset;
    return;
  }
  switch (progress) {
  case FlowProgress::answered:
    if (direction != 0 || (flags & wire::kAck) == 0 ||
        packet.tcp_acknowledgment - (connection.answer_sequence + 1) >= kFirstFlight) {
      return;
    }
    progress = FlowProgress::established;
    connection.was_established = true;
    break;
  case FlowProgress::reset:
    // TRANS back to ESTABLISHED: whoever was meant by the RST did not believe it.
    if (!connection.was_established) return;
    progress = connection.fin_from == 0 ? FlowProgress::established : FlowProgress::half_closed;
    break;
  default: break;
  }
  if ((flags & wire::kFin) == 0 || progress == FlowProgress::opening) return;
  connection.fin_from |= side;
  progress = connection.fin_from == 3 ? FlowProgress::closed : FlowProgress::half_closed;
}

void Connections::on_packet(Connection& connection, unsigned direction, const FlowPacket& packet,
                            Nanos now) {
  connection.packets[direction]++;
  connection.bytes[direction] += packet.size;
  // What is about the flow is not of it (RFC 5508 4.3: an ICMP error does not refresh a mapping).
  if (packet.is_icmp_error()) return;
  const FlowProgress before = connection.progress;
  if (connection.original.protocol == kProtocolTcp) {
    advance_tcp(connection, direction, packet);
  } else if (direction == 1) {
    connection.progress = FlowProgress::established;
  }
  if (connection.progress != before) {
    if (connection.proven())
      unlist(connection);
    else
      list(connection);
  }
  // RFC 6146: what is closing is not kept alive by what still comes.
  const bool over =
      connection.progress == FlowProgress::closed || connection.progress == FlowProgress::reset;
  if (over && connection.progress == before) return;
  connection.deadline = now + timeout_of(connection);
  timers_.arm(connection, connection.deadline);
}

void Connections::advance(Nanos now) {
  while (Connection* due = timers_.pop_due(now)) {
    if (due->deadline <= now) {
      erase(*due);
    } else {
      timers_.arm(*due, due->deadline);
    }
  }
}

void Connections::for_each(const std::function<void(const Connection&)>& visit) const {
  for (const auto& [tuple, side] : index_) {
    if (side.direction == 0) visit(*side.connection);
  }
}

}  // namespace vpollnet::filter
