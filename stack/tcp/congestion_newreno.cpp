// SPDX-License-Identifier: MIT
#include "tcp/congestion_newreno.hpp"

#include <algorithm>

namespace vpollnet::tcp {

std::uint64_t initial_window(std::uint32_t mss) {
  // RFC 6928 2: min (10*MSS, max (2*MSS, 14600)).
  return std::min<std::uint64_t>(10ull * mss, std::max<std::uint64_t>(2ull * mss, 14600));
}

void NewReno::start(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = initial_window(mss);
}

void NewReno::on_ack(std::uint64_t acked, Nanos, Nanos) {
  if (cwnd_ < ssthresh_) {
    // RFC 5681 3.1 with RFC 3465 2.1 (appropriate byte counting): by what was acknowledged, so an
    // ACK that is split buys nothing. L = 2*SMSS, but an ACK for a large segment (a receiver
    // with GRO acknowledges up to 64 KiB at once) may count whole: the bytes did leave the network.
    cwnd_ += acked;
  } else {
    // RFC 5681 3.1: about one SMSS a round trip.
    acked_ += acked;
    if (acked_ >= cwnd_) {
      acked_ -= cwnd_;
      cwnd_ += mss_;
    }
  }
  cwnd_ = std::min(cwnd_, kMaxWindow);
}

void NewReno::on_recovery(std::uint64_t flight) {
  ssthresh_ = std::max<std::uint64_t>(flight / 2, 2ull * mss_);  // RFC 5681 3.1 equation 4
  cwnd_ = ssthresh_;
  acked_ = 0;
}

void NewReno::on_timeout(std::uint64_t flight, bool first) {
  if (first) ssthresh_ = std::max<std::uint64_t>(flight / 2, 2ull * mss_);
  cwnd_ = mss_;  // the loss window, RFC 5681 3.1
  acked_ = 0;
}

void NewReno::on_idle() { cwnd_ = std::min(cwnd_, initial_window(mss_)); }

}  // namespace vpollnet::tcp
