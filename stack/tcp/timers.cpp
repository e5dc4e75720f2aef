// SPDX-License-Identifier: MIT
// What time does to a connection: retransmission (RFC 6298), zero-window probes, delayed ACKs,
// keepalive, the user timeout and the end of TIME-WAIT.
#include <algorithm>

#include "tcp/connection.hpp"

namespace vpollnet::tcp {
namespace {

/// RFC 9293 3.8.6.1: probes back off exponentially; a minute at most, so that a window that opens
/// again (and whose update was lost) is found.
constexpr Nanos kMaxProbeInterval = 60 * kSecond;

}  // namespace

Nanos Connection::deadline() const {
  return std::min(
      {retransmit_at_, persist_at_, delayed_ack_at_, push_at_, keepalive_at_, close_at_});
}

void Connection::on_deadline(Nanos now) {
  if (state_ == State::closed) return;
  if (close_at_ <= now) {
    enter_closed(Errno::ok);
    return;
  }
  if (retransmit_at_ <= now) on_retransmission_timeout(now);
  if (persist_at_ <= now) on_persist_timeout(now);
  if (delayed_ack_at_ <= now) {
    delayed_ack_at_ = kNever;
    ack_now_ = true;
  }
  if (push_at_ <= now) {
    push_at_ = kNever;
    push_due_ = true;
  }
  if (keepalive_at_ <= now) on_keepalive(now);
}

bool Connection::gave_up(Nanos now) const {
  Nanos limit =
      state_ == State::syn_sent || state_ == State::syn_received ? kSynTimeout : kUserTimeout;
  Nanos since = progress_at_;
  if (settings_.user_timeout > 0) {
    limit = settings_.user_timeout;  // RFC 5482; it ends a zero window too (RFC 6429 2)
  } else if (snd_wnd_ == 0 && !orphan_) {
    // RFC 9293 MUST-37: a peer that answers probes keeps the connection, however long; but not one
    // that nobody waits for any more (RFC 6429 2, security case T18).
    since = std::max(since, last_received_at_);
  }
  return now - since >= limit;
}

void Connection::restart_retransmission(Nanos now) {
  if (snd_una_ == snd_nxt_) {
    retransmit_at_ = kNever;  // RFC 6298 5.2
    return;
  }
  retransmit_at_ = now + rtt_.timeout();  // RFC 6298 5.1, 5.3
  if (snd_wnd_ == 0 && was_established_)
    retransmit_at_ = std::min(retransmit_at_, now + kMaxProbeInterval);
  const Nanos limit = settings_.user_timeout > 0 ? settings_.user_timeout
                      : was_established_         ? 0
                                                 : kSynTimeout;
  if (limit > 0)
    retransmit_at_ = std::min(retransmit_at_, std::max(now + kMillisecond, progress_at_ + limit));
}

void Connection::on_retransmission_timeout(Nanos now) {
  if (gave_up(now)) {
    enter_closed(soft_error_ != Errno::ok ? soft_error_ : Errno::timed_out);
    return;
  }
  const bool first = snd_una_ >= recovery_point_ || !timed_out_;
  rtt_.back_off();  // RFC 6298 5.5
  timeouts_++;
  timed_end_ = 0;  // Karn's algorithm: what is sent again measures nothing
  if (state_ == State::syn_sent || state_ == State::syn_received) {
    syn_due_ = true;
    syn_lost_ = true;
  } else if (snd_wnd_ == 0) {
    // A zero-window probe without an answer says nothing about congestion.
    probing_ = true;
    scoreboard_.mark_lost(snd_una_, snd_nxt_);
    retransmit_due_ = true;
  } else {
    congestion_.on_timeout(snd_nxt_ - snd_una_, first);
    scoreboard_.on_timeout(snd_una_, snd_nxt_);
    recovery_point_ = snd_nxt_;  // RFC 6582 4: no fast retransmit for what went out before
    was_cut_ = true;
    in_recovery_ = false;
    timed_out_ = true;
    duplicate_acks_ = 0;
    retransmit_due_ = true;
  }
  restart_retransmission(now);  // RFC 6298 5.6
}

void Connection::update_persist(Nanos now) {
  const bool stuck = snd_una_ == snd_nxt_ && send_end() > snd_nxt_ &&
                     (state_ == State::established || state_ == State::close_wait ||
                      state_ == State::fin_wait_1 || state_ == State::last_ack) &&
                     snd_wnd_ < std::min<std::uint64_t>(send_end() - snd_nxt_, segment_size());
  if (!stuck) {
    persist_at_ = kNever;
    if (snd_wnd_ > 0) persist_backoff_ = 0;
    return;
  }
  if (persist_at_ != kNever) return;
  if (persist_backoff_ == 0) progress_at_ = now;
  // A small window is filled at a steady pace: the override timeout of RFC 9293 3.8.6.2.1, 0.1 to 1
  // s.
  persist_at_ = now + (snd_wnd_ > 0 ? std::min(rtt_.timeout(), kSecond)
                                    : std::min(rtt_.timeout() << std::min(persist_backoff_, 10u),
                                               kMaxProbeInterval));
  if (settings_.user_timeout > 0) {
    persist_at_ =
        std::min(persist_at_, std::max(now + kMillisecond, progress_at_ + settings_.user_timeout));
  }
}

void Connection::on_persist_timeout(Nanos now) {
  persist_at_ = kNever;
  if (gave_up(now)) {
    enter_closed(soft_error_ != Errno::ok ? soft_error_ : Errno::timed_out);
    return;
  }
  if (snd_wnd_ == 0) persist_backoff_++;
  probe_due_ = true;
}

void Connection::set_keepalive(Nanos now) {
  keepalive_probes_ = 0;
  const bool applies =
      settings_.keep_alive && (state_ == State::established || state_ == State::close_wait ||
                               state_ == State::fin_wait_1 || state_ == State::fin_wait_2);
  keepalive_at_ = applies ? std::max(now, last_received_at_ + settings_.keep_idle) : kNever;
}

void Connection::on_keepalive(Nanos now) {
  // Only an idle connection is probed (RFC 9293 3.8.4); data under way has its own timer.
  if (snd_una_ != snd_nxt_ || now - last_received_at_ < settings_.keep_idle) {
    keepalive_probes_ = 0;
    keepalive_at_ = (snd_una_ != snd_nxt_ ? now : last_received_at_) + settings_.keep_idle;
    return;
  }
  // tcp(7), TCP_USER_TIMEOUT: overrides keepalive in when to give up.
  const bool too_long =
      settings_.user_timeout > 0
          ? keepalive_probes_ > 0 && now - last_received_at_ >= settings_.user_timeout
          : keepalive_probes_ >= settings_.keep_count;
  if (too_long) {
    reset_due_ = true;
    enter_closed(soft_error_ != Errno::ok ? soft_error_ : Errno::timed_out);
    return;
  }
  keepalive_probes_++;
  keepalive_due_ = true;
  keepalive_at_ = now + settings_.keep_interval;
}

void Connection::enter_established(Nanos now) {
  state_ = fin_queued_ ? State::fin_wait_1 : State::established;
  was_established_ = true;
  soft_error_ = Errno::ok;
  if (syn_lost_) rtt_.after_syn_timeout();  // RFC 6298 5.7
  congestion_.start(segment_size());
  if (syn_lost_) congestion_.after_syn_loss();
  recovery_point_ = snd_una_;
  progress_at_ = now;
  last_received_at_ = now;
  set_keepalive(now);
}

void Connection::enter_time_wait(Nanos now) {
  state_ = State::time_wait;
  retransmit_at_ = persist_at_ = keepalive_at_ = kNever;
  close_at_ = now + kTimeWait;  // RFC 9293 3.10.7.4: start the time-wait timer, turn off the others
  send_queue_.clear();
  charge();
}

void Connection::enter_closed(Errno error) {
  state_ = State::closed;
  if (error != Errno::ok) error_ = error;
  retransmit_at_ = persist_at_ = delayed_ack_at_ = push_at_ = keepalive_at_ = close_at_ = kNever;
  syn_due_ = probe_due_ = keepalive_due_ = retransmit_due_ = ack_now_ = false;
  // What arrived in order can still be read; everything else is gone.
  send_queue_.clear();
  reassembly_.clear();
  scoreboard_.clear();
  charge();
}

}  // namespace vpollnet::tcp
