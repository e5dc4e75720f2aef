// SPDX-License-Identifier: MIT
// What can be told of a connection, whoever implements it.
#pragma once

#include <cstdint>
#include <optional>

#include "util/time.hpp"

namespace vpollnet::tcp {

/// RFC 9293 3.3.2. LISTEN is the listener's (socket/tcp_socket.hpp).
enum class State : std::uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};

/// "ESTABLISHED" and so on.
const char* to_string(State state);

/// What the sender makes of the acknowledgments that come, in the order of Linux's tcp_ca_state.
enum class CongestionState : std::uint8_t {
  open,      ///< nothing is amiss
  disorder,  ///< something seems to be missing, and may come yet
  reduced,   ///< the window was cut without a loss (ECN); not by this stack
  recovery,  ///< fast recovery: what was lost goes again
  loss,      ///< the retransmission timer expired
};

/// "open" and so on.
const char* to_string(CongestionState state);

/// Figures for RFC 4898 and tcp_info readers. Times in nanoseconds. Bytes are bytes of data:
/// neither SYN nor FIN counts.
struct Info {
  State state = State::closed;
  CongestionState congestion_state = CongestionState::open;
  Nanos srtt = 0, rttvar = 0, min_rtt = 0;  ///< 0: not measured yet
  Nanos rto = 0;                            ///< with its backoff
  std::uint32_t mss = 0;                    ///< data bytes of a full segment of ours
  std::uint32_t receive_mss = 0;            ///< the same of the peer's, as seen
  std::uint64_t cwnd = 0;
  std::uint64_t ssthresh = UINT64_MAX;  ///< UINT64_MAX: there was no loss
  std::uint64_t in_flight = 0;          ///< bytes sent and not acknowledged
  std::uint64_t pipe = 0;               ///< those of them that are believed to be in the network
  std::uint64_t unsent = 0, unread = 0;
  std::optional<std::uint64_t> send_window;     ///< the peer's, in bytes; nothing: not known
  std::optional<std::uint64_t> receive_window;  ///< ours as advertised
  std::uint32_t timeouts = 0;                   ///< expiries of the retransmission timer in a row
  std::uint64_t retransmits = 0;                ///< segments
  std::uint64_t bytes_sent = 0;                 ///< with those sent again
  std::uint64_t bytes_retransmitted = 0;
  std::uint64_t bytes_acked = 0;
  std::uint64_t bytes_received = 0;  ///< in order, each once
  std::uint64_t segments_sent = 0, segments_received = 0;
  std::uint32_t sacked = 0;      ///< segments under way that the peer has
  std::uint32_t lost = 0;        ///< segments under way that count as lost
  std::uint32_t reordering = 0;  ///< segments that may overtake one before it counts as lost
  std::optional<std::uint8_t> send_scale, receive_scale;  ///< nothing: no window scaling
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
};

}  // namespace vpollnet::tcp
