// SPDX-License-Identifier: MIT
#include "tcp/info.hpp"

#include "tcp/connection.hpp"

namespace vpollnet::tcp {

const char* to_string(State state) {
  switch (state) {
  case State::closed: return "CLOSED";
  case State::syn_sent: return "SYN-SENT";
  case State::syn_received: return "SYN-RECEIVED";
  case State::established: return "ESTABLISHED";
  case State::fin_wait_1: return "FIN-WAIT-1";
  case State::fin_wait_2: return "FIN-WAIT-2";
  case State::close_wait: return "CLOSE-WAIT";
  case State::closing: return "CLOSING";
  case State::last_ack: return "LAST-ACK";
  case State::time_wait: return "TIME-WAIT";
  }
  return "CLOSED";
}

const char* to_string(CongestionState state) {
  switch (state) {
  case CongestionState::open: return "open";
  case CongestionState::disorder: return "disorder";
  case CongestionState::reduced: return "reduced";
  case CongestionState::recovery: return "recovery";
  case CongestionState::loss: return "loss";
  }
  return "open";
}

Info Connection::info() const {
  const std::uint32_t mss = segment_size();
  const auto in_segments = [mss](std::uint64_t bytes) {
    return static_cast<std::uint32_t>((bytes + mss - 1) / mss);
  };
  const std::uint64_t sacked = scoreboard_.reported();
  const std::uint64_t received = rcv_nxt_ - (fin_received_ ? 1 : 0);
  Info info{
      .state = state_,
      .srtt = rtt_.srtt(),
      .rttvar = rtt_.rttvar(),
      .min_rtt = rtt_.least(),
      .rto = rtt_.timeout(),
      .mss = mss,
      .receive_mss = peer_segment_,
      .cwnd = congestion_.window(),
      .ssthresh = congestion_.threshold(),
      .in_flight = snd_nxt_ - snd_una_,
      .pipe = scoreboard_.pipe(snd_una_, snd_nxt_),
      .unsent = send_end() > snd_nxt_ ? send_end() - snd_nxt_ : 0,
      .unread = receive_queue_.size(),
      .send_window = snd_wnd_,
      .receive_window = rcv_edge_ > rcv_nxt_ ? rcv_edge_ - rcv_nxt_ : 0,
      .timeouts = timeouts_,
      .retransmits = retransmits_,
      .bytes_sent = data_below(snd_nxt_) + bytes_retransmitted_,
      .bytes_retransmitted = bytes_retransmitted_,
      .bytes_acked = data_below(snd_una_),
      .bytes_received = received > irs_ ? received - irs_ - 1 : 0,
      .segments_sent = segments_sent_,
      .segments_received = segments_received_,
      .sacked = in_segments(sacked),
      .lost = in_segments(scoreboard_.lost(snd_una_)),
      .reordering = Scoreboard::kDupThresh,
      .send_scale = {},
      .receive_scale = {},
      .timestamps = timestamps_on_,
      .sack = sack_on_,
  };
  if (timed_out_) {
    info.congestion_state = CongestionState::loss;
  } else if (in_recovery_) {
    info.congestion_state = CongestionState::recovery;
  } else if (duplicate_acks_ > 0 || sacked > 0) {
    info.congestion_state = CongestionState::disorder;
  }
  if (window_scaling_) {
    info.send_scale = send_shift_;
    info.receive_scale = receive_shift_;
  }
  return info;
}

}  // namespace vpollnet::tcp
