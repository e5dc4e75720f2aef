// SPDX-License-Identifier: MIT
// The retransmission timeout (RFC 6298).
#pragma once

#include <algorithm>
#include <cstdint>

#include "util/time.hpp"

namespace vpollnet::tcp {

/// Smoothed round-trip time and the timeout that follows from it.
class RttEstimator {
 public:
  /// RFC 6298 2.1: 1 s until the first measurement.
  static constexpr Nanos kInitial = kSecond;
  /// RFC 6298 2.4 says SHOULD 1 s for the whole. 200 ms above the round trip, as the systems that
  /// we talk to have it: the delayed ACK timers of today's receivers (40 ms here, up to 200 ms
  /// elsewhere) come on top of the round trip, and a steady one has no variance to cover them.
  static constexpr Nanos kMinimum = 200 * kMillisecond;
  /// RFC 6298 2.5: at least 60 s.
  static constexpr Nanos kMaximum = 120 * kSecond;

  /// RFC 6298 2.2, 2.3. `sample` is a measured round trip that no retransmission makes ambiguous;
  /// `coarse`: by timestamps, in milliseconds, too coarse to be the least.
  void sample(Nanos sample, bool coarse = false) {
    sample = std::max<Nanos>(sample, 1);
    if (!coarse && (least_ == 0 || sample < least_)) least_ = sample;
    if (srtt_ == 0) {
      srtt_ = sample;
      rttvar_ = sample / 2;
    } else {
      const Nanos error = srtt_ > sample ? srtt_ - sample : sample - srtt_;
      rttvar_ = rttvar_ - rttvar_ / 4 + error / 4;
      srtt_ = srtt_ - srtt_ / 8 + sample / 8;
    }
    // RFC 6298 2.3: RTO = SRTT + max (G, K*RTTVAR), with kMinimum in the place of G.
    rto_ = std::min(srtt_ + std::max(kMinimum, 4 * rttvar_), kMaximum);
    backoff_ = 0;
  }
  /// RFC 6298 5.7: a connection whose SYN was retransmitted starts with 3 s.
  void after_syn_timeout() {
    rto_ = std::max(rto_, 3 * kSecond);
    backoff_ = 0;
  }
  /// RFC 6298 5.5: back off the timer.
  void back_off() { backoff_ = std::min(backoff_ + 1, 16u); }
  /// A zero window opened: the pauses between probes say nothing about the path.
  void end_probing() { backoff_ = 0; }

  /// The timeout with its backoff, in nanoseconds.
  Nanos timeout() const { return std::min(rto_ << std::min(backoff_, 10u), kMaximum); }
  /// 0 before the first measurement.
  Nanos srtt() const { return srtt_; }
  Nanos rttvar() const { return rttvar_; }
  /// The least of all samples; 0 before the first.
  Nanos least() const { return least_; }

 private:
  Nanos srtt_ = 0;
  Nanos rttvar_ = 0;
  Nanos rto_ = kInitial;
  Nanos least_ = 0;
  unsigned backoff_ = 0;
};

}  // namespace vpollnet::tcp
