// SPDX-License-Identifier: MIT
// The life of a connection and the calls of its user (RFC 9293 3.10.1 to 3.10.5).
#include "tcp/connection.hpp"

#include <algorithm>

namespace vpollnet::tcp {

Connection::Connection(const Resources& resources, const Settings& settings)
    : resources_(resources), settings_(settings), congestion_(settings.congestion) {}

Connection::~Connection() { resources_.budget.release(charged_); }

void Connection::begin(const Start& start, Nanos now) {
  iss_ = kEpoch + start.initial_sequence;
  snd_una_ = iss_;
  snd_nxt_ = iss_;
  snd_up_ = iss_;
  timestamp_offset_ = start.timestamp_offset;
  ipv6_ = start.ipv6;
  segmentation_ = start.segmentation;
  path_mss_ = start.path_mss;
  peer_mss_ = ipv6_ ? kDefaultMssV6 : kDefaultMssV4;
  // RFC 7323 2.2: enough to advertise the whole buffer, and room to grow it eightfold.
  while (receive_shift_ < 14 && (65535ull << receive_shift_) < 8ull * settings_.receive_buffer) {
    receive_shift_++;
  }
  syn_due_ = true;
  progress_at_ = now;
  last_received_at_ = now;
  last_sent_at_ = now;
}

void Connection::connect(const Start& start, Nanos now) {
  begin(start, now);
  state_ = State::syn_sent;
}

void Connection::accept(const Start& start, const wire::TcpHeader& syn, Nanos now) {
  begin(start, now);
  passive_ = true;
  state_ = State::syn_received;
  segments_received_ = 1;
  irs_ = kEpoch + syn.sequence;
  rcv_nxt_ = irs_ + 1;
  rcv_edge_ = rcv_nxt_;
  negotiate(syn);
  ts_recent_at_ = now;
}

void Connection::accept_cookie(const Start& start, const wire::TcpHeader& ack, std::uint16_t mss,
                               Nanos now) {
  begin(start, now);
  passive_ = true;
  segments_sent_ = 1;  // SYN and SYN-ACK went without a connection
  segments_received_ = 1;
  syn_due_ = false;
  irs_ = kEpoch + ack.sequence - 1;
  rcv_nxt_ = irs_ + 1;
  rcv_edge_ = rcv_nxt_ + std::min<std::uint64_t>(settings_.receive_buffer, 65535);
  receive_shift_ = 0;  // a cookie has no place for options other than MSS
  peer_mss_ = std::max(mss, kMinimumMss);
  snd_una_ = iss_ + 1;
  snd_nxt_ = iss_ + 1;
  snd_up_ = snd_nxt_;
  snd_wnd_ = ack.window;
  max_snd_wnd_ = snd_wnd_;
  snd_wl1_ = rcv_nxt_;
  snd_wl2_ = snd_una_;
  enter_established(now);
}

void Connection::negotiate(const wire::TcpHeader& syn) {
  // RFC 9293 3.7.1: without the option, the default. Security case T02: a floor.
  if (syn.mss) peer_mss_ = std::max(*syn.mss, kMinimumMss);
  // RFC 7323 1.3, 2.2: on only if both SYNs carry it. We always offer it first.
  window_scaling_ = syn.window_scale.has_value();
  send_shift_ = std::min<std::uint8_t>(syn.window_scale.value_or(0), 14);
  if (!window_scaling_) receive_shift_ = 0;
  sack_on_ = syn.sack_permitted;
  timestamps_on_ = syn.timestamps.has_value();
  if (timestamps_on_) ts_recent_ = syn.timestamps->value;
  // RFC 7323 2.2: the window field of a SYN is never scaled.
  snd_wnd_ = syn.window;
  max_snd_wnd_ = snd_wnd_;
  snd_wl1_ = irs_;
  snd_wl2_ = snd_una_;
}

void Connection::charge() {
  const std::uint64_t held = send_queue_.size() + receive_queue_.size() + reassembly_.footprint();
  if (held > charged_) {
    // A user's bytes were checked before they were taken; the few that were not fit in the
    // quarter that pressed() keeps back.
    if (resources_.budget.charge(held - charged_)) charged_ = held;
  } else {
    resources_.budget.release(charged_ - held);
    charged_ = held;
  }
}

Errno Connection::may_send() {
  if (error_ != Errno::ok) return take_error();
  switch (state_) {
  case State::syn_sent:
  case State::syn_received: return Errno::again;
  case State::established:
  case State::close_wait: return fin_queued_ ? Errno::broken_pipe : Errno::ok;
  default: return Errno::broken_pipe;
  }
}

std::size_t Connection::send_room() const {
  const std::size_t room =
      settings_.send_buffer > send_queue_.size() ? settings_.send_buffer - send_queue_.size() : 0;
  return std::min(room, resources_.budget.limit() - resources_.budget.used());
}

Errno Connection::send_slices(std::vector<Slice>&& slices, Nanos now) {
  if (const Errno error = may_send(); error != Errno::ok) return error;
  if (snd_una_ == snd_nxt_ && now - last_sent_at_ > rtt_.timeout()) congestion_.on_idle();
  for (Slice& slice : slices) send_queue_.append(std::move(slice), resources_.pool);
  slices.clear();
  more_ = false;
  charge();
  return Errno::ok;
}

Result<std::size_t> Connection::send(std::span<const std::uint8_t> data, bool urgent, bool more,
                                     Nanos now) {
  if (const Errno error = may_send(); error != Errno::ok) return error;
  if (data.empty()) return std::size_t{0};
  const std::size_t taken = std::min(send_room(), data.size());
  if (taken == 0) return send_queue_.empty() ? Errno::no_buffers : Errno::again;
  // RFC 5681 4.1: an idle connection starts slowly again.
  if (snd_una_ == snd_nxt_ && now - last_sent_at_ > rtt_.timeout()) congestion_.on_idle();
  send_queue_.append_copy(data.first(taken), resources_.pool);
  more_ = more && taken == data.size();
  if (urgent && taken == data.size()) snd_up_ = queue_end();
  charge();
  return taken;
}

Result<std::size_t> Connection::nothing_to_receive() {
  if (fin_received_ || read_shutdown_) return std::size_t{0};
  if (error_ != Errno::ok) return take_error();
  switch (state_) {
  case State::closed:
  case State::time_wait:
    return was_established_ ? Result<std::size_t>(std::size_t{0}) : Errno::not_connected;
  default: return Errno::again;
  }
}

Result<std::size_t> Connection::peek_slices(std::size_t limit, std::vector<Slice>& out) {
  if (receive_queue_.empty()) return nothing_to_receive();
  return receive_queue_.share(0, limit, out);
}

Result<std::size_t> Connection::receive(std::span<std::uint8_t> buffer, bool peek) {
  if (receive_queue_.empty()) return nothing_to_receive();
  std::size_t limit = std::min(buffer.size(), receive_queue_.size());
  std::size_t skip = 0;
  if (urgent_ != Urgent::none && rcv_up_ < rcv_nxt_) {
    // A read stops before the urgent byte, and the next one leaves it out unless it is wanted in
    // line (RFC 6093 3.4: what implementations do).
    const std::uint64_t front = rcv_nxt_ - receive_queue_.size() - (fin_received_ ? 1 : 0);
    if (rcv_up_ == front && !settings_.oob_inline) {
      if (receive_queue_.size() == 1) {
        if (peek) return Errno::again;
        receive_queue_.clear();
        urgent_ = Urgent::none;
        charge();
        return receive(buffer, peek);  // as if the queue had been empty
      }
      skip = 1;
    } else if (rcv_up_ > front) {
      limit = std::min<std::size_t>(limit, rcv_up_ - front);
    }
  }
  const std::size_t copied =
      receive_queue_.copy_out(skip, buffer.first(std::min(limit, receive_queue_.size() - skip)));
  if (!peek) consume(skip + copied);
  return copied;
}

void Connection::consume(std::size_t count) {
  receive_queue_.trim_front(count);
  const std::uint64_t front = rcv_nxt_ - receive_queue_.size() - (fin_received_ ? 1 : 0);
  if (urgent_ != Urgent::none && rcv_up_ < front) urgent_ = Urgent::none;
  charge();
  // RFC 9293 3.8.6.2.2: tell the peer about room when it is worth a segment of his.
  if (fin_position_ == kNoFin && state_ != State::closed && state_ != State::time_wait) {
    const std::uint64_t edge = window_candidate();
    if (edge > rcv_edge_ &&
        edge - rcv_edge_ >=
            std::min<std::uint64_t>(settings_.receive_buffer / 2, 2ull * peer_segment_)) {
      ack_now_ = true;
    }
  }
}

Result<std::size_t> Connection::receive_urgent(std::span<std::uint8_t> buffer, bool peek) {
  if (error_ != Errno::ok) return take_error();
  if (urgent_ != Urgent::pending || settings_.oob_inline) return Errno::invalid;
  if (rcv_up_ >= rcv_nxt_ - (fin_received_ ? 1 : 0)) return Errno::again;
  if (buffer.empty()) return std::size_t{0};
  const std::uint64_t front = rcv_nxt_ - receive_queue_.size() - (fin_received_ ? 1 : 0);
  receive_queue_.copy_out(rcv_up_ - front, buffer.first(1));
  if (!peek) urgent_ = Urgent::read;
  return std::size_t{1};
}

void Connection::shutdown_write() {
  if (fin_queued_) return;
  switch (state_) {
  case State::syn_received:
    break;  // RFC 9293 3.10.4: queued for processing after entering ESTABLISHED
  case State::established: state_ = State::fin_wait_1; break;
  case State::close_wait: state_ = State::last_ack; break;
  case State::syn_sent: enter_closed(Errno::ok); return;
  default: return;
  }
  fin_queued_ = true;
  more_ = false;
}

void Connection::shutdown_read() { read_shutdown_ = true; }

void Connection::orphan(Nanos now) {
  orphan_ = true;
  // RFC 9293 3.6.1, RFC 2525 2.17: data that nobody will read is a lost promise, and says so.
  if (!receive_queue_.empty()) {
    if (state_ != State::time_wait) {
      abort();
      return;
    }
    receive_queue_.clear();  // both sides are done; TIME-WAIT still has its work
    charge();
  }
  shutdown_write();
  if (state_ == State::fin_wait_2) close_at_ = now + kFinWait2;
}

void Connection::abort() {
  switch (state_) {
  case State::syn_received:
  case State::established:
  case State::fin_wait_1:
  case State::fin_wait_2:
  case State::close_wait: reset_due_ = true; break;
  default: break;
  }
  receive_queue_.clear();
  enter_closed(Errno::ok);
}

void Connection::fail(Errno error) { enter_closed(error); }

void Connection::configure(const Settings& settings, Nanos now) {
  settings_ = settings;
  congestion_.select(settings_.congestion);
  if (settings_.quick_ack && delayed_ack_at_ != kNever) ack_now_ = true;
  if (settings_.user_timeout > 0) {
    // Timers that were backed off before this was set end in time too.
    const Nanos end = std::max(now + kMillisecond, progress_at_ + settings_.user_timeout);
    for (Nanos* timer : {&retransmit_at_, &persist_at_}) {
      if (*timer != kNever) *timer = std::min(*timer, end);
    }
  }
  set_keepalive(now);
}

Errno Connection::take_error() { return std::exchange(error_, Errno::ok); }

bool Connection::readable() const {
  // A lone urgent byte that is not in line is nothing to read.
  const std::size_t hidden = urgent_ != Urgent::none && !settings_.oob_inline &&
                                     rcv_up_ < rcv_nxt_ && receive_queue_.size() == 1 &&
                                     rcv_up_ == rcv_nxt_ - 1 - (fin_received_ ? 1 : 0)
                                 ? 1
                                 : 0;
  return receive_queue_.size() > hidden || fin_received_ || read_shutdown_ || error_ != Errno::ok ||
         state_ == State::closed;
}

bool Connection::writable() const {
  switch (state_) {
  case State::syn_sent:
  case State::syn_received: return false;
  case State::established:
  case State::close_wait:
    // A third free, as writers wake elsewhere: not for each ACK.
    return settings_.send_buffer -
               std::min<std::size_t>(settings_.send_buffer, send_queue_.size()) >=
           settings_.send_buffer / 3;
  default: return true;  // send() fails at once
  }
}

bool Connection::urgent_ready() const {
  return urgent_ == Urgent::pending && rcv_up_ < rcv_nxt_ - (fin_received_ ? 1 : 0);
}

bool Connection::read_closed() const {
  return fin_received_ || read_shutdown_ || state_ == State::closed;
}

std::size_t Connection::unread() const { return receive_queue_.size(); }

std::size_t Connection::unacknowledged() const { return send_queue_.size(); }

bool Connection::gives_way(Nanos now) const {
  // Both clocks have moved by then: a tick of a timestamp is a second at most (RFC 7323 5.4).
  return state_ == State::time_wait && timestamps_on_ && close_at_ - now <= kTimeWait - kSecond;
}

std::optional<std::uint32_t> Connection::recent_timestamp() const {
  return timestamps_on_ ? std::optional(ts_recent_) : std::nullopt;
}

}  // namespace vpollnet::tcp
