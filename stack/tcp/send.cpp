// SPDX-License-Identifier: MIT
// What a connection sends, and when (RFC 9293 3.8): the next segment, one at a time.
#include <algorithm>

#include "tcp/connection.hpp"

namespace vpollnet::tcp {
namespace {

/// Payload of one large packet: what an IPv4 packet holds with a full TCP header.
constexpr std::uint32_t kMaxLargePayload = 65535 - 20 - 60;

}  // namespace

std::optional<Outgoing> Connection::next_segment(Nanos now) {
  if (reset_due_) {
    reset_due_ = false;
    Outgoing reset = make(wire::kRst | wire::kAck, snd_nxt_, now);
    resources_.counters.tcp_resets_out++;
    return reset;
  }
  if (state_ == State::closed) return std::nullopt;
  if (syn_due_) return syn_segment(now);
  if (state_ == State::syn_sent) return std::nullopt;
  if (state_ != State::syn_received) {
    if (auto segment = lost_segment(now)) return segment;
    if (auto segment = new_segment(now)) return segment;
    if (auto segment = rescue_segment(now)) return segment;
    update_persist(now);
    if (probe_due_) {
      probe_due_ = false;
      if (auto segment = probe_segment(now)) return segment;
    }
    if (keepalive_due_) {
      keepalive_due_ = false;
      // RFC 9293 3.8.4: SEG.SEQ = SND.NXT - 1 and no text: unacceptable, so it is answered.
      return make(wire::kAck, snd_nxt_ - 1, now);
    }
  }
  if (ack_now_) return make(wire::kAck, snd_nxt_, now);
  return std::nullopt;
}

Outgoing Connection::make(std::uint8_t flags, std::uint64_t sequence, Nanos now) {
  segments_sent_++;
  Outgoing out;
  wire::TcpHeader& header = out.header;
  header.flags = flags;
  header.sequence = static_cast<std::uint32_t>(sequence);
  if ((flags & wire::kAck) != 0) header.acknowledgment = static_cast<std::uint32_t>(rcv_nxt_);
  if (timestamps_on_) header.timestamps = wire::TcpTimestamps{timestamp(now), ts_recent_};
  if ((flags & wire::kRst) != 0) return out;
  if (sack_on_ && (flags & wire::kSyn) == 0) {
    const std::uint8_t count = sack_count();
    std::uint8_t first = 0;
    if (duplicate_block_.begin != duplicate_block_.end) {
      header.sack[first++] = duplicate_block_;  // RFC 2883 4: the duplicate comes first, once
      duplicate_block_ = {};
    }
    header.sack_count = first;
    if (count > first) {
      header.sack_count +=
          reassembly_.sack_blocks(std::span(header.sack).subspan(first, count - first));
    }
  }
  if ((flags & wire::kSyn) == 0) header.window = advertise_window();
  if (snd_up_ > snd_una_ && snd_up_ > sequence && snd_up_ - sequence <= 65535) {
    header.flags |= wire::kUrg;
    header.urgent = static_cast<std::uint16_t>(snd_up_ - sequence);
  }
  ack_now_ = false;
  delayed_ack_at_ = kNever;
  unacknowledged_bytes_ = 0;
  last_ack_sent_ = rcv_nxt_;
  return out;
}

std::optional<Outgoing> Connection::syn_segment(Nanos now) {
  syn_due_ = false;
  const bool answer = state_ == State::syn_received;
  const bool timestamps = timestamps_on_;
  timestamps_on_ = false;  // the SYN's options are put on here, by their own rules
  Outgoing out = make(answer ? wire::kSyn | wire::kAck : wire::kSyn, iss_, now);
  timestamps_on_ = timestamps;
  wire::TcpHeader& header = out.header;
  header.mss = path_mss_;  // RFC 9293 3.7.1
  if (settings_.max_segment != 0) {
    header.mss =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(path_mss_, settings_.max_segment));
  }
  // An answer carries only what was offered (RFC 7323 2.2, 3.2; RFC 2018 2).
  if (!answer || window_scaling_) header.window_scale = receive_shift_;
  header.sack_permitted = !answer || sack_on_;
  if (!answer || timestamps_on_)
    header.timestamps = wire::TcpTimestamps{timestamp(now), answer ? ts_recent_ : 0};
  header.window =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(settings_.receive_buffer, 65535));
  if (answer) rcv_edge_ = std::max(rcv_edge_, rcv_nxt_ + header.window);
  on_sent(iss_ + 1, snd_nxt_ > iss_, now);
  return out;
}

std::uint8_t Connection::sack_count() const {
  if (!sack_on_) return 0;
  const std::size_t wanted =
      reassembly_.ranges() + (duplicate_block_.begin != duplicate_block_.end ? 1 : 0);
  return static_cast<std::uint8_t>(std::min<std::size_t>(wanted, timestamps_on_ ? 3 : 4));
}

std::uint32_t Connection::segment_size() const {
  // RFC 9293 3.7.1: Eff.snd.MSS counts the options that each segment carries.
  std::uint32_t mss = std::min(peer_mss_, path_mss_);
  if (settings_.max_segment != 0)
    mss = std::min(mss, std::max<std::uint32_t>(settings_.max_segment, kMinimumMss));
  const std::uint8_t blocks = sack_count();
  const std::uint32_t options = (timestamps_on_ ? 12u : 0u) + (blocks > 0 ? 4u + 8u * blocks : 0u);
  return mss > options + 8 ? mss - options : 8;
}

Outgoing Connection::data_segment(std::uint64_t begin, std::uint64_t end, Nanos now) {
  const std::uint32_t mss = segment_size();
  const bool fin = end > queue_end();
  const std::uint64_t text_end = std::min(end, queue_end());
  std::uint8_t flags = wire::kAck;
  if (text_end == queue_end() && text_end > begin)
    flags |= wire::kPsh;  // RFC 9293 3.9.1.2: the queue's last
  if (fin) {
    flags |= wire::kFin;
    fin_sent_ = queue_end();
  }
  Outgoing out = make(flags, begin, now);
  if (text_end > begin) {
    send_queue_.share(begin - queue_begin(), text_end - begin, out.packet);
    if (text_end - begin > mss) {
      out.packet.gso_size = static_cast<std::uint16_t>(mss);
      segments_sent_ += static_cast<std::uint32_t>((text_end - begin - 1) / mss);
    }
    if (begin < snd_nxt_) bytes_retransmitted_ += text_end - begin;
  }
  on_sent(end, begin < snd_nxt_, now);
  return out;
}

std::optional<Outgoing> Connection::lost_segment(Nanos now) {
  const bool forced = std::exchange(retransmit_due_, false);
  const Interval lost = scoreboard_.next_lost(snd_una_);
  if (lost.begin >= lost.end) return std::nullopt;
  const std::uint32_t mss = segment_size();
  const std::uint64_t begin = lost.begin;
  // Into a closed window goes a probe of one byte (RFC 9293 3.8.6.1).
  const std::uint64_t end = std::min({lost.end, begin + (snd_wnd_ == 0 ? 1 : mss), send_end()});
  if (begin != snd_una_ && end > snd_una_ + snd_wnd_) return std::nullopt;  // the window shrank
  if (end <= begin) return std::nullopt;
  const std::uint64_t pipe = scoreboard_.pipe(snd_una_, snd_nxt_);
  if (!forced && pipe > 0 && pipe + (end - begin) > congestion_.window()) return std::nullopt;
  scoreboard_.on_retransmit({begin, end}, snd_nxt_);
  return data_segment(begin, end, now);
}

std::optional<Outgoing> Connection::rescue_segment(Nanos now) {
  if (!in_recovery_ || !sack_on_ || snd_wnd_ == 0) return std::nullopt;
  const std::uint32_t mss = segment_size();
  if (scoreboard_.pipe(snd_una_, snd_nxt_) + mss > congestion_.window()) return std::nullopt;
  const std::uint64_t last = std::min(snd_nxt_, snd_una_ + snd_wnd_);
  Interval range = scoreboard_.next_suspect(snd_una_);
  if (range.begin < range.end) {
    range.end = std::min(range.end, range.begin + mss);
    if (range.end > last) return std::nullopt;
    scoreboard_.on_retransmit(range, snd_nxt_);
    return data_segment(range.begin, range.end, now);
  }
  if (rescued_) return std::nullopt;
  range = scoreboard_.last_unreported(snd_una_, last);
  if (range.begin >= range.end) return std::nullopt;
  rescued_ = true;
  return data_segment(range.end - range.begin > mss ? range.end - mss : range.begin, range.end,
                      now);
}

std::optional<Outgoing> Connection::new_segment(Nanos now) {
  if (send_end() <= snd_nxt_) return std::nullopt;
  const std::uint32_t mss = segment_size();
  const std::uint64_t unsent = queue_end() > snd_nxt_ ? queue_end() - snd_nxt_ : 0;
  const std::uint64_t edge = snd_una_ + snd_wnd_;
  const std::uint64_t window_room = edge > snd_nxt_ ? edge - snd_nxt_ : 0;
  const std::uint64_t pipe = snd_nxt_ == snd_una_ ? 0 : scoreboard_.pipe(snd_una_, snd_nxt_);
  const std::uint64_t congestion_room =
      congestion_.window() > pipe ? congestion_.window() - pipe : 0;
  if (unsent == 0) {
    // A FIN alone: it takes a sequence number of the window, but not of the congestion window.
    return fin_queued_ && window_room > 0 ? std::optional(data_segment(snd_nxt_, send_end(), now))
                                          : std::nullopt;
  }

  std::uint64_t length = std::min(unsent, window_room);
  if (length > congestion_room) {
    // A full segment or nothing; with nothing under way one may always go, or nothing ever would.
    length = pipe == 0
                 ? std::min<std::uint64_t>(length, std::max<std::uint64_t>(congestion_room, mss))
             : congestion_room < mss ? 0
                                     : congestion_room;
  }
  // An urgent pointer is true for one segment only: no large packets until it is past.
  const bool large = segmentation_ && snd_up_ <= snd_nxt_;
  const std::uint32_t most = large ? std::max(mss, kMaxLargePayload / mss * mss) : mss;
  length = std::min<std::uint64_t>(length, most);
  if (length == 0) return std::nullopt;

  const std::uint64_t tail = length % mss;
  if (tail != 0) {
    const bool all = length == unsent;
    // Silly window avoidance (RFC 9293 3.8.6.2.1): a short segment goes only if it is all there is,
    // or half of the largest window that the peer ever offered.
    bool send_tail = all || (length == window_room && length >= max_snd_wnd_ / 2);
    if (all && !fin_queued_) {
      if ((settings_.cork || more_) && !push_due_) {
        send_tail = false;
        if (push_at_ == kNever) push_at_ = now + kMaxCork;
      }
      // Nagle (3.7.4): one short segment at a time.
      if (!settings_.no_delay && (snd_nxt_ > snd_una_ || length > tail) && snd_up_ <= snd_una_)
        send_tail = false;
    }
    if (!send_tail) length -= tail;
    if (length == 0) return std::nullopt;
  }
  push_due_ = false;
  push_at_ = kNever;
  const std::uint64_t end = snd_nxt_ + length;
  const bool with_fin = fin_queued_ && end == queue_end() && edge > end;
  return data_segment(snd_nxt_, with_fin ? end + 1 : end, now);
}

std::optional<Outgoing> Connection::probe_segment(Nanos now) {
  if (send_end() <= snd_nxt_) return std::nullopt;
  // RFC 9293 3.8.6.1: one byte of new data at least; all that the window has if it is just small.
  const std::uint64_t length = std::clamp<std::uint64_t>(snd_wnd_, 1, segment_size());
  const std::uint64_t end = std::min(snd_nxt_ + length, send_end());
  if (snd_wnd_ == 0) probing_ = true;
  return data_segment(snd_nxt_, end, now);
}

void Connection::on_sent(std::uint64_t end, bool again, Nanos now) {
  if (again) {
    retransmits_++;
    resources_.counters.tcp_retransmits++;
    timed_end_ = 0;  // Karn
  } else {
    if (snd_una_ == snd_nxt_ && persist_backoff_ == 0) {
      congestion_.on_pause(now - progress_at_);
      progress_at_ = now;  // the wait for an ACK begins
    }
    if (timed_end_ == 0) {
      timed_end_ = end;
      timed_at_ = now;
    }
  }
  snd_nxt_ = std::max(snd_nxt_, end);
  last_sent_at_ = now;
  if (retransmit_at_ == kNever) restart_retransmission(now);  // RFC 6298 5.1
}

std::uint64_t Connection::window_candidate() const {
  std::uint64_t buffer = settings_.receive_buffer;
  // Under memory pressure nobody is invited to send more than a little.
  if (resources_.budget.pressed()) buffer = std::min<std::uint64_t>(buffer, 4ull * peer_segment_);
  const std::uint64_t unread = receive_queue_.size();
  const std::uint64_t room = buffer > unread ? buffer - unread : 0;
  return rcv_nxt_ + std::min<std::uint64_t>(room, 65535ull << receive_shift_);
}

std::uint16_t Connection::advertise_window() {
  const std::uint64_t candidate = window_candidate();
  // RFC 9293 3.8.6.2.2: the right edge moves in steps worth sending, and never back.
  const std::uint64_t step = std::min<std::uint64_t>(settings_.receive_buffer / 2, peer_segment_);
  if (candidate >= rcv_edge_ + step) rcv_edge_ = candidate;
  const std::uint64_t window = rcv_edge_ > rcv_nxt_ ? rcv_edge_ - rcv_nxt_ : 0;
  // Rounded up to the scale: rounding down would move the edge back.
  const std::uint64_t field =
      std::min<std::uint64_t>((window + (1ull << receive_shift_) - 1) >> receive_shift_, 65535);
  rcv_edge_ = std::max(rcv_edge_, rcv_nxt_ + (field << receive_shift_));
  return static_cast<std::uint16_t>(field);
}

void Connection::on_path_mss(std::uint16_t path_mss, bool segmentation) {
  segmentation_ = segmentation;
  if (path_mss == path_mss_) return;
  const bool smaller = path_mss < path_mss_;
  path_mss_ = path_mss;
  congestion_.set_mss(segment_size());
  // RFC 1191 6.4: what went out too large was dropped; it goes again, and the congestion window
  // stays.
  if (smaller && snd_nxt_ > snd_una_ && state_ != State::syn_sent &&
      state_ != State::syn_received) {
    scoreboard_.mark_lost(snd_una_, snd_nxt_);
    retransmit_due_ = true;
  }
}

}  // namespace vpollnet::tcp
