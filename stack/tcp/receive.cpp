// SPDX-License-Identifier: MIT
// SEGMENT ARRIVES (RFC 9293 3.10.7), in its order: timestamps, sequence, RST, SYN, ACK, URG, text,
// FIN.
#include <algorithm>
#include <utility>

#include "tcp/connection.hpp"

namespace vpollnet::tcp {
namespace {

/// RFC 7323 5.5: a timestamp that old says nothing about what is a duplicate.
constexpr Nanos kTimestampValid = 24LL * 24 * 3600 * kSecond;

/// An ACK is not delayed for more than this, in bytes.
constexpr std::uint32_t kAckAtLatest = 32 * 1024;

/// Challenge ACKs of one connection in a second. A limit of the connection's own gives nothing away
/// about others (RFC 5961 7, CVE-2016-5696).
constexpr unsigned kChallengesPerSecond = 10;

/// Leaves the `length` bytes from `skip` on.
void cut(std::vector<Slice>& slices, std::uint64_t skip, std::uint64_t length) {
  std::size_t kept = 0;
  for (Slice& slice : slices) {
    const auto step = static_cast<std::uint32_t>(std::min<std::uint64_t>(skip, slice.size()));
    slice.trim_front(step);
    skip -= step;
    slice.truncate(static_cast<std::uint32_t>(std::min<std::uint64_t>(length, UINT32_MAX)));
    length -= slice.size();
    if (slice.empty()) continue;
    if (&slice != &slices[kept]) slices[kept] = std::move(slice);
    kept++;
  }
  slices.resize(kept);
}

}  // namespace

Answer Connection::on_segment(Segment&& segment, Nanos now) {
  segments_received_ +=
      segment.gso_size == 0 ? 1u : (segment.length + segment.gso_size - 1) / segment.gso_size;
  if (state_ == State::closed) return segment.header.has(wire::kRst) ? Answer::none : Answer::reset;
  if (state_ == State::syn_sent) return on_syn_sent(segment, now);

  if (state_ == State::syn_received && segment.length == 0 &&
      segment.header.flags == (wire::kSyn | wire::kAck) &&
      segment.header.sequence == static_cast<std::uint32_t>(irs_)) {
    // Simultaneous open (RFC 9293 3.5, figure 8, line 6): the SYN is known, what counts is its ACK.
    segment.header.flags = wire::kAck;
    segment.header.sequence++;
    segment.header.window = static_cast<std::uint16_t>(segment.header.window >> send_shift_);
  }
  const wire::TcpHeader& header = segment.header;
  const std::uint64_t begin = unwrap(header.sequence, rcv_nxt_);
  const bool syn = header.has(wire::kSyn);
  const bool fin = header.has(wire::kFin);
  const std::uint64_t end = begin + (syn ? 1 : 0) + segment.length + (fin ? 1 : 0);

  if (!check_timestamps(segment, now)) return Answer::none;
  if (state_ == State::syn_received && syn && !header.has(wire::kAck) && begin == irs_) {
    syn_due_ = true;  // our SYN-ACK was lost; no need to wait for the timer
    return Answer::none;
  }
  if (!check_sequence(segment, begin, end, now)) return Answer::none;

  // RFC 7323 4.3 (3): what is acceptable and begins at or before the last ACK refreshes TS.Recent.
  if (timestamps_on_ && header.timestamps && begin <= last_ack_sent_ && !header.has(wire::kRst)) {
    ts_recent_ = header.timestamps->value;
    ts_recent_at_ = now;
  }

  if (header.has(wire::kRst)) {
    on_reset(begin, now);
    return Answer::none;
  }
  if (syn) {
    challenge(now);  // RFC 5961 4.2, in every synchronized state
    return Answer::none;
  }
  if (!header.has(wire::kAck)) {
    resources_.counters.drop(Drop::tcp_unacceptable);
    return Answer::none;
  }
  last_received_at_ = now;
  if (keepalive_probes_ > 0) set_keepalive(now);

  if (state_ == State::syn_received) {
    const std::uint64_t ack = unwrap(header.acknowledgment, snd_una_);
    if (ack <= snd_una_ || ack > snd_nxt_) return Answer::reset;
    snd_una_ = iss_ + 1;
    if (timed_end_ != 0 && ack >= timed_end_) {
      rtt_.sample(now - timed_at_);
      timed_end_ = 0;
    }
    // RFC 9293 3.10.7.4: this segment's window is the first one that is scaled.
    snd_wnd_ = std::uint64_t{header.window} << send_shift_;
    max_snd_wnd_ = std::max(max_snd_wnd_, snd_wnd_);
    snd_wl1_ = begin;
    snd_wl2_ = ack;
    syn_due_ = false;
    enter_established(now);
    restart_retransmission(now);
  }
  if (!on_acknowledgment(segment, now)) return Answer::none;
  if (state_ == State::closed) return Answer::none;
  if (state_ == State::time_wait) {
    // RFC 9293 3.10.7.4: only a retransmitted FIN can come; acknowledge it, restart the 2 MSL
    // timer.
    if (fin) {
      ack_now_ = true;
      close_at_ = now + kTimeWait;
    }
    return Answer::none;
  }
  on_urgent(header, begin);
  return on_payload(segment, begin, end, fin, now);
}

Answer Connection::on_syn_sent(Segment& segment, Nanos now) {
  const wire::TcpHeader& header = segment.header;
  const bool has_ack = header.has(wire::kAck);
  const std::uint64_t ack = unwrap(header.acknowledgment, snd_nxt_);
  // RFC 9293 3.10.7.3, first: an ACK for something never sent.
  if (has_ack && (ack <= iss_ || ack > snd_nxt_)) {
    return header.has(wire::kRst) ? Answer::none : Answer::reset;
  }
  if (header.has(wire::kRst)) {
    if (has_ack) {
      enter_closed(Errno::refused);
    } else {
      resources_.counters.drop(Drop::tcp_unacceptable);
    }
    return Answer::none;
  }
  if (!header.has(wire::kSyn)) {
    resources_.counters.drop(Drop::tcp_unacceptable);
    return Answer::none;
  }
  irs_ = kEpoch + header.sequence;
  rcv_nxt_ = irs_ + 1;
  rcv_edge_ = rcv_nxt_ + std::min<std::uint64_t>(settings_.receive_buffer, 65535);
  last_received_at_ = now;
  ts_recent_at_ = now;
  if (!has_ack) {
    // Simultaneous open (RFC 9293 3.5, figure 8): our SYN again, with an ACK.
    negotiate(header);
    state_ = State::syn_received;
    syn_due_ = true;
    return Answer::none;
  }
  snd_una_ = ack;
  negotiate(header);
  if (timed_end_ != 0 && !syn_lost_) rtt_.sample(now - timed_at_);
  timed_end_ = 0;
  syn_due_ = false;
  enter_established(now);
  restart_retransmission(now);
  // Text or a FIN on the SYN-ACK is not taken; the peer sends it again.
  ack_now_ = true;
  return Answer::none;
}

bool Connection::check_timestamps(const Segment& segment, Nanos now) {
  if (!timestamps_on_ || segment.header.has(wire::kRst)) return true;
  if (!segment.header.timestamps) {
    // RFC 7323 3.2: once negotiated, a segment without the option is dropped.
    resources_.counters.drop(Drop::tcp_paws);
    return false;
  }
  // RFC 7323 5.3 R1.
  const std::int32_t age = static_cast<std::int32_t>(segment.header.timestamps->value - ts_recent_);
  if (age >= 0 || now - ts_recent_at_ > kTimestampValid) return true;
  resources_.counters.drop(Drop::tcp_paws);
  if (segment.length > 0) {
    ack_now_ = true;
  } else {
    challenge(now);
  }
  return false;
}

bool Connection::check_sequence(const Segment& segment, std::uint64_t begin, std::uint64_t end,
                                Nanos now) {
  const std::uint64_t edge = std::max(rcv_edge_, rcv_nxt_);
  // RFC 9293 3.4, table 6. An empty segment at the right edge counts as acceptable: it is where
  // a peer stands that has filled the window. With a zero window a segment at rcv_nxt is looked at
  // for its ACK, and its text dropped later (3.10.7.4, "special allowance").
  const bool acceptable =
      begin == end ? begin >= rcv_nxt_ && begin <= edge
                   : end > rcv_nxt_ && (begin < edge || (edge == rcv_nxt_ && begin == rcv_nxt_));
  if (acceptable) return true;
  resources_.counters.drop(begin >= edge ? Drop::tcp_out_of_window : Drop::tcp_unacceptable);
  if (segment.header.has(wire::kRst)) return false;
  if (state_ == State::time_wait && segment.header.has(wire::kFin)) close_at_ = now + kTimeWait;
  if (segment.length > 0 || segment.header.has(wire::kFin) || segment.header.has(wire::kSyn)) {
    if (sack_on_ && segment.length > 0 && end <= rcv_nxt_) {
      // RFC 2883 4: report what came twice.
      duplicate_block_ = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
    }
    ack_now_ = true;
  } else {
    challenge(now);  // an ACK, but not one for each of a storm
  }
  return false;
}

void Connection::on_reset(std::uint64_t begin, Nanos now) {
  // RFC 1337: in TIME-WAIT a reset changes nothing.
  if (state_ == State::time_wait) {
    resources_.counters.drop(Drop::tcp_unacceptable);
    return;
  }
  // RFC 5961 3.2: only the exact sequence number resets.
  if (begin != rcv_nxt_) {
    challenge(now);
    return;
  }
  switch (state_) {
  case State::syn_received: enter_closed(Errno::refused); break;
  case State::closing:
  case State::last_ack: enter_closed(Errno::ok); break;
  // RFC 9293 3.10.7.4 has "reset" here too. The peer had said that no more comes: it is who writes
  // on that is told, as of any closed pipe, and by Linux too.
  case State::close_wait: enter_closed(Errno::broken_pipe); break;
  default: enter_closed(Errno::reset); break;
  }
}

void Connection::challenge(Nanos now) {
  if (now - challenge_since_ >= kSecond) {
    challenge_since_ = now;
    challenges_ = 0;
  }
  resources_.counters.drop(Drop::tcp_challenge);
  if (challenges_ >= kChallengesPerSecond) return;
  challenges_++;
  ack_now_ = true;
}

bool Connection::on_acknowledgment(const Segment& segment, Nanos now) {
  const wire::TcpHeader& header = segment.header;
  const std::uint64_t ack = unwrap(header.acknowledgment, snd_una_);
  // RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
  if (ack > snd_nxt_ || ack + max_snd_wnd_ < snd_una_) {
    resources_.counters.drop(Drop::tcp_unacceptable);
    challenge(now);
    return false;
  }
  const std::uint64_t newly_sacked = on_sack_option(header, ack);
  const bool window_changed = update_send_window(header, unwrap(header.sequence, rcv_nxt_), ack);
  if (ack > snd_una_) {
    on_new_acknowledgment(ack, segment, now);
  } else if (ack == snd_una_ && snd_nxt_ > snd_una_) {
    // RFC 5681 2: a duplicate has no text, no SYN or FIN, and the same window; RFC 6675 2 counts
    // each one that reports something new.
    const bool duplicate = segment.length == 0 && !header.has(wire::kFin) && snd_wnd_ > 0 &&
                           (sack_on_ ? newly_sacked > 0 : !window_changed);
    if (duplicate) {
      duplicate_acks_++;
      if (!sack_on_) scoreboard_.on_duplicate(segment_size(), snd_nxt_ - snd_una_);
    }
    on_loss_signs(duplicate);
  }
  if (fin_sent_ != 0 && !fin_acked_ && snd_una_ > fin_sent_) {
    fin_acked_ = true;
    return on_finish_acknowledged(now);
  }
  return true;
}

std::uint64_t Connection::on_sack_option(const wire::TcpHeader& header, std::uint64_t ack) {
  if (!sack_on_ || header.sack_count == 0) return 0;
  std::array<Interval, 4> blocks;
  for (std::uint8_t i = 0; i < header.sack_count; i++) {
    blocks[i] = {unwrap(header.sack[i].begin, snd_una_), unwrap(header.sack[i].end, snd_una_)};
  }
  return scoreboard_.on_sack(std::span(blocks).first(header.sack_count), std::max(ack, snd_una_),
                             snd_nxt_);
}

bool Connection::update_send_window(const wire::TcpHeader& header, std::uint64_t begin,
                                    std::uint64_t ack) {
  // RFC 9293 3.10.7.4: only from a segment that is not older than the last one used.
  if (ack < snd_una_) return false;
  if (snd_wl1_ > begin || (snd_wl1_ == begin && snd_wl2_ > ack)) return false;
  const std::uint64_t window = std::uint64_t{header.window} << send_shift_;
  const bool changed = window != snd_wnd_;
  snd_wnd_ = window;
  max_snd_wnd_ = std::max(max_snd_wnd_, window);
  snd_wl1_ = begin;
  snd_wl2_ = ack;
  if (changed) persist_at_ = kNever;  // send.cpp looks again at whether the peer has to be probed
  if (probing_ && snd_wnd_ > 0) {
    // What was sent into the closed window was dropped, most likely: it leads the way now, and
    // without the pause that the probes had come to.
    probing_ = false;
    persist_backoff_ = 0;
    rtt_.end_probing();
    if (snd_nxt_ > std::max(ack, snd_una_)) {
      scoreboard_.mark_lost(std::max(ack, snd_una_), snd_nxt_);
      retransmit_due_ = true;
      retransmit_at_ = kNever;  // started anew when it goes out
    }
  }
  return changed;
}

void Connection::on_new_acknowledgment(std::uint64_t ack, const Segment& segment, Nanos now) {
  const std::uint64_t flight = snd_nxt_ - snd_una_;
  const std::uint64_t acked = ack - snd_una_;
  const std::uint64_t data_acked = std::min<std::uint64_t>(ack - queue_begin(), send_queue_.size());

  // RFC 6298 3 (Karn): only what went out once is measured; a timestamp tells the copies apart.
  if (timed_end_ != 0 && ack >= timed_end_) {
    rtt_.sample(now - timed_at_);
    timed_end_ = 0;
  } else if (timed_end_ == 0 && timestamps_on_ && segment.header.timestamps &&
             segment.header.timestamps->echo != 0) {
    const std::int32_t ticks =
        static_cast<std::int32_t>(timestamp(now) - segment.header.timestamps->echo);
    // An echo of what was never sent (security case T20) is in the future or absurdly old.
    if (ticks >= 0 && ticks < 120'000) rtt_.sample(ticks * kMillisecond, true);
  }

  snd_una_ = ack;
  send_queue_.trim_front(data_acked);
  const std::uint64_t delivered = scoreboard_.on_ack(ack, acked, segment_size());
  const Nanos waited = now - std::exchange(progress_at_, now);
  soft_error_ = Errno::ok;
  duplicate_acks_ = 0;
  timeouts_ = 0;

  const bool was_in_recovery = in_recovery_;
  if (in_recovery_ || timed_out_) {
    if (ack >= recovery_point_) {
      in_recovery_ = false;  // RFC 6675 5 step A, RFC 6582 3.2 step 3 (full acknowledgment)
      timed_out_ = false;
      scoreboard_.end_recovery();
    } else if (in_recovery_ && !sack_on_) {
      // RFC 6582 3.2 step 3: a partial acknowledgment names the next lost segment.
      scoreboard_.mark_lost(snd_una_, std::min(snd_una_ + segment_size(), snd_nxt_));
      retransmit_due_ = true;
    }
  }
  // Fast recovery leaves the window alone, and so does the ACK that ends it; slow start after a
  // timeout grows it.
  if (!was_in_recovery) {
    if (2 * flight >= congestion_.window()) {
      congestion_.on_ack(delivered, now, rtt_.srtt());
    } else {
      congestion_.on_pause(waited);  // RFC 7661: who sends little learns nothing about the path
    }
  }
  on_loss_signs(false);
  charge();
  restart_retransmission(now);  // RFC 6298 5.3
}

void Connection::on_loss_signs(bool duplicate) {
  const std::uint32_t mss = segment_size();
  if (in_recovery_) {
    scoreboard_.update_lost(mss);
    on_lost_again(mss);
    return;
  }
  // RFC 6582 3.2 step 2: these duplicates are about what was sent before the last cut. Without SACK
  // that holds for the ACK at the point itself, too.
  if (timed_out_ || snd_una_ < recovery_point_ ||
      (!sack_on_ && snd_una_ == recovery_point_ && was_cut_)) {
    if (sack_on_) {
      scoreboard_.update_lost(mss);
      on_lost_again(mss);
    }
    return;
  }
  const bool lost = (duplicate && duplicate_acks_ >= Scoreboard::kDupThresh) ||
                    (sack_on_ && scoreboard_.lost_by_sack(snd_una_, mss));
  if (!lost) return;
  // RFC 6675 5 step 4, RFC 5681 3.2.
  recovery_point_ = snd_nxt_;
  was_cut_ = true;
  rescued_ = false;
  congestion_.on_recovery(snd_nxt_ - snd_una_);
  in_recovery_ = true;
  scoreboard_.mark_lost(snd_una_, std::min(snd_una_ + mss, snd_nxt_));
  scoreboard_.update_lost(mss);
  retransmit_due_ = true;
}

void Connection::on_lost_again(std::uint32_t mss) {
  if (!scoreboard_.update_lost_again(snd_una_, mss)) return;
  retransmit_due_ = true;
  // RFC 5681 4.3: a lost retransmission is a second sign of congestion, and lowers cwnd again.
  if (snd_una_ < lost_again_point_) return;
  lost_again_point_ = snd_nxt_;
  congestion_.on_recovery(congestion_.window());
}

bool Connection::on_finish_acknowledged(Nanos now) {
  switch (state_) {
  case State::fin_wait_1:
    state_ = State::fin_wait_2;
    if (orphan_) close_at_ = now + kFinWait2;
    return true;
  case State::closing: enter_time_wait(now); return true;
  case State::last_ack: enter_closed(Errno::ok); return false;
  default: return true;
  }
}

void Connection::on_urgent(const wire::TcpHeader& header, std::uint64_t begin) {
  if (!header.has(wire::kUrg) || fin_received_ || header.urgent == 0) return;
  // RFC 6093 3.2: the pointer names the byte after the urgent one, as all implementations have it.
  const std::uint64_t position = begin + header.urgent - 1;
  // Security case T04: behind what was read, or further ahead than the window, it means nothing.
  if (position < rcv_nxt_ || position >= rcv_edge_ + 65536) return;
  if (urgent_ != Urgent::none && position <= rcv_up_) return;
  rcv_up_ = position;
  urgent_ = Urgent::pending;
}

Answer Connection::on_payload(Segment& segment, std::uint64_t begin, std::uint64_t end, bool fin,
                              Nanos now) {
  if (segment.length == 0 && !fin) return Answer::none;
  if (state_ != State::established && state_ != State::fin_wait_1 && state_ != State::fin_wait_2) {
    return Answer::none;  // after the peer's FIN there is no text (RFC 9293 3.10.7.4)
  }
  const std::uint64_t text_end = end - (fin ? 1 : 0);
  if (orphan_ && text_end > rcv_nxt_) {
    // RFC 9293 3.6.1: text for a user who closed: reset.
    reset_due_ = true;
    enter_closed(Errno::ok);
    return Answer::none;
  }

  const std::uint64_t edge = std::max(rcv_edge_, rcv_nxt_);
  const std::uint64_t from = std::max(begin, rcv_nxt_);
  // Behind the FIN there is no text, whatever the peer says later.
  const std::uint64_t to = std::min({text_end, edge, fin_position_});
  const Budget& budget = resources_.budget;
  if (to > from && budget.limit() - budget.used() < to - from) {
    resources_.counters.drop(Drop::memory_budget);
    ack_now_ = true;
    return Answer::none;
  }
  if (sack_on_ && segment.length > 0 && begin < rcv_nxt_) {
    duplicate_block_ = {static_cast<std::uint32_t>(begin),
                        static_cast<std::uint32_t>(std::min(text_end, rcv_nxt_))};
  }
  if (text_end > edge) resources_.counters.drop(Drop::tcp_out_of_window);
  if (fin && text_end <= edge && fin_position_ == kNoFin && reassembly_.end() <= text_end)
    fin_position_ = text_end;

  const bool in_order = from == rcv_nxt_;
  const bool had_gap = !reassembly_.empty();
  if (to > from) {
    // Keep the bytes [from, to) of the payload, which begins at `begin`.
    std::vector<Slice>& kept = segment.payload;
    cut(kept, from - begin, to - from);
    if (in_order) {
      std::uint64_t next = to;
      if (had_gap && reassembly_.begin() <= to) {
        // What is there already stays as it is (security case T21): only the gaps are filled.
        (void)reassembly_.insert(from, std::move(kept), resources_.pool);
        next = reassembly_.take_in_order(rcv_nxt_, receive_queue_, resources_.pool);
      } else {
        for (Slice& slice : kept) receive_queue_.append(std::move(slice), resources_.pool);
      }
      rcv_nxt_ = next;
    } else {
      const std::size_t held = reassembly_.bytes();
      if (!reassembly_.insert(from, std::move(kept), resources_.pool)) {
        resources_.counters.drop(Drop::tcp_queue_full);
      } else if (sack_on_ && reassembly_.bytes() == held) {
        // RFC 2883 4.1 (2): a duplicate above the cumulative acknowledgment.
        duplicate_block_ = {static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)};
      }
    }
    charge();
  }

  if (!in_order || had_gap || to < text_end) {
    // RFC 5681 4.2: out of order, or filling a gap: at once. A full window: say so at once.
    ack_now_ = true;
  } else if (segment.length > 0) {
    acknowledge(segment, now);
  }
  if (fin_position_ == rcv_nxt_) on_finish(now);
  return Answer::none;
}

void Connection::acknowledge(const Segment& segment, Nanos now) {
  const std::uint32_t full = segment.gso_size != 0 ? segment.gso_size : segment.length;
  peer_segment_ = std::min<std::uint32_t>(std::max(peer_segment_, full), path_mss_);
  unacknowledged_bytes_ += segment.length;
  // RFC 9293 3.8.6.3 (SHLD-18, MUST-59): every second full segment at least, below 0.5 s. And each
  // large one: a peer whose window holds just two of 64 KiB may be able to send only one of them.
  if (settings_.quick_ack || unacknowledged_bytes_ >= std::min(2 * peer_segment_, kAckAtLatest)) {
    ack_now_ = true;
  } else if (delayed_ack_at_ == kNever) {
    delayed_ack_at_ = now + kDelayedAck;
  }
}

void Connection::on_finish(Nanos now) {
  fin_received_ = true;
  rcv_nxt_++;  // a FIN takes one sequence number
  rcv_edge_ = std::max(rcv_edge_, rcv_nxt_);
  ack_now_ = true;
  switch (state_) {
  case State::established: state_ = State::close_wait; break;
  case State::fin_wait_1:
    // If our FIN were acknowledged, the state would be FIN-WAIT-2 by now.
    state_ = State::closing;
    break;
  case State::fin_wait_2: enter_time_wait(now); break;
  default: break;
  }
}

bool Connection::in_flight(std::uint32_t sequence) const {
  const std::uint64_t position = unwrap(sequence, snd_una_);
  return position >= snd_una_ && position < snd_nxt_;
}

bool Connection::on_icmp_error(Errno error, std::uint32_t sequence) {
  if (!in_flight(sequence)) return false;  // RFC 5927 4.1
  if (state_ == State::syn_sent || state_ == State::syn_received) {
    // RFC 5461 3.1: while nothing is established, giving up at once serves the user.
    enter_closed(error);
  } else {
    // RFC 9293 3.9.2.2, RFC 5927 5.2: hard or soft, an established connection stays.
    soft_error_ = error;
  }
  return true;
}

}  // namespace vpollnet::tcp
