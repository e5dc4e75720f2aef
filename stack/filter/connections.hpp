// SPDX-License-Identifier: MIT
// The flows that pass: who began them, how far they are, how long they are remembered.
//
// Timeouts: TCP after RFC 5382 REQ-5 and the states of RFC 6146 3.5.2.2, UDP after RFC 4787 REQ-5,
// ICMP queries after RFC 5508 REQ-1.
//
// The table is bounded, and fair when it is full. A flow is *proven* once packets went both ways
// (for TCP: once the handshake is whole), until it is closed. A newcomer then takes the place of
// the oldest flow that is not proven, of its own source if that has one, else of all; where all are
// proven it is refused. So no flood cuts a flow that works, and a single source that floods
// competes with itself. A source may have a quarter of the table (an IPv6 source is its /64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "filter/flow.hpp"
#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/random.hpp"
#include "util/time.hpp"
#include "util/timer_queue.hpp"

namespace vpollnet::filter {

/// How far a flow is. All but TCP are `opening` until an answer came, and then `established`.
enum class FlowProgress : std::uint8_t {
  opening,      ///< a SYN, or packets one way only
  answered,     ///< SYN, SYN-ACK
  established,  ///< packets both ways
  half_closed,  ///< FIN from one side
  closed,       ///< FIN from both sides
  reset,        ///< RST: for a while, unless it turns out that nobody believed it
};

/// "opening", "answered", "established", "half-closed", "closed", "reset"
const char* to_string(FlowProgress progress);

struct Mapping;

struct Connection {
  FlowTuple original;  ///< as its first packet came in
  FlowTuple reply;     ///< as the answers come in: translated, not simply `original` reversed
  FlowProgress progress = FlowProgress::opening;
  std::uint8_t fin_from = 0;  ///< a bit for each direction: 1 original, 2 reply
  bool was_established = false;
  std::uint32_t answer_sequence = 0;  ///< of the SYN-ACK, until it is acknowledged
  std::uint64_t packets[2] = {0, 0};
  std::uint64_t bytes[2] = {0, 0};
  Nanos created = 0;
  Nanos deadline = kNever;
  Mapping* mapping = nullptr;  ///< that its source is translated by

  const FlowTuple& tuple(unsigned direction) const { return direction == 0 ? original : reply; }
  /// How a packet that came in as tuple(direction) goes out.
  FlowTuple leaving(unsigned direction) const { return tuple(1 - direction).reversed(); }
  bool answered() const { return progress != FlowProgress::opening; }
  bool translated() const { return original != reply.reversed(); }
  bool proven() const {
    return progress == FlowProgress::established || progress == FlowProgress::half_closed;
  }

  // For Connections.
  TimerEntry timer;
  std::list<Connection*>::iterator place;            ///< among all that are not proven
  std::list<Connection*>::iterator place_of_source;  ///< among those of its source
  bool listed = false;
};

struct ConnectionLimits {
  std::size_t connections = 65'536;
  std::size_t per_source = 16'384;
};

/// A flow that a packet belongs to, and which way it goes: 0 as the first packet, 1 as the answers.
struct ConnectionMatch {
  Connection* connection = nullptr;
  unsigned direction = 0;
};

/// `budget` and `counters` must outlive it.
class Connections {
 public:
  static constexpr Nanos kTcpEstablished = (2 * 3600 + 4 * 60) * kSecond;  ///< RFC 5382 REQ-5
  static constexpr Nanos kTcpTransitory = 4 * 60 * kSecond;                ///< RFC 5382 REQ-5
  static constexpr Nanos kUdpOneWay = 2 * 60 * kSecond;                    ///< RFC 4787 REQ-5
  static constexpr Nanos kUdp = 5 * 60 * kSecond;                          ///< RFC 4787 REQ-5 c
  static constexpr Nanos kEcho = 60 * kSecond;                             ///< RFC 5508 REQ-1
  static constexpr Nanos kOtherOneWay = 2 * 60 * kSecond;
  static constexpr Nanos kOther = 10 * 60 * kSecond;

  Connections(Budget& budget, Counters& counters, KeyedRandom& random,
              ConnectionLimits limits = {});
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  std::optional<ConnectionMatch> find(const FlowTuple& tuple);
  /// A new flow. Null, and counted, if there is no room or one of the tuples is taken.
  Connection* create(const FlowTuple& original, const FlowTuple& reply, Nanos now);
  /// A packet of the flow passed.
  void on_packet(Connection& connection, unsigned direction, const FlowPacket& packet, Nanos now);
  void erase(Connection& connection);
  void erase_if(const std::function<bool(const Connection&)>& condition);

  /// Called for each flow that goes, before it is gone.
  void on_erase(std::function<void(Connection&)> callback) { erased_ = std::move(callback); }
  void set_limits(const ConnectionLimits& limits) { limits_ = limits; }
  const ConnectionLimits& limits() const { return limits_; }

  Nanos next_deadline() const { return timers_.next(); }
  void advance(Nanos now);

  std::size_t size() const { return connections_; }
  void for_each(const std::function<void(const Connection&)>& visit) const;

 private:
  struct Side {
    std::unique_ptr<Connection> owned;  ///< with the original tuple
    Connection* connection = nullptr;
    unsigned direction = 0;
  };
  struct Source {
    std::size_t count = 0;
    std::list<Connection*> unproven;  ///< the oldest first
  };
  struct SourceHash {
    SecretKey key;
    std::size_t operator()(const IpAddress& address) const { return siphash(key, address.bytes()); }
  };
  /// Two table entries, a list entry twice, a heap entry, and the flow itself.
  static constexpr std::size_t kCost = sizeof(Connection) + 2 * (sizeof(Side) + 96) + 128;

  static IpAddress source_of(const FlowTuple& tuple);
  static Nanos timeout_of(const Connection& connection);
  static void advance_tcp(Connection& connection, unsigned direction, const FlowPacket& packet);
  bool make_room(const IpAddress& source);
  void list(Connection& connection);
  void unlist(Connection& connection);

  Budget& budget_;
  Counters& counters_;
  ConnectionLimits limits_;
  std::unordered_map<FlowTuple, Side, FlowTupleHash> index_;
  std::unordered_map<IpAddress, Source, SourceHash> sources_;
  std::list<Connection*> unproven_;  ///< the oldest first
  TimerQueue<Connection, &Connection::timer> timers_;
  std::function<void(Connection&)> erased_;
  std::size_t connections_ = 0;
};

}  // namespace vpollnet::filter
