// SPDX-License-Identifier: MIT
// CUBIC (RFC 9438): after a loss the window grows with the time that has passed, not with the
// number of round trips, so that a long path is filled again as soon as a short one.
#pragma once

#include <cstdint>

#include "util/time.hpp"

namespace vpollnet::tcp {

/// The congestion window of CUBIC, in bytes. Which segments are lost is decided elsewhere
/// (scoreboard.hpp); this says only what that costs. Slow start is that of RFC 5681, as RFC 9438
/// 4.10 allows. Spurious retransmissions are not looked for (4.9).
class Cubic {
 public:
  /// `mss` is the sender's maximum segment size.
  Cubic(std::uint32_t mss, std::uint64_t window, std::uint64_t threshold)
      : mss_(mss), cwnd_(static_cast<double>(window)), ssthresh_(threshold) {}

  void start(std::uint32_t mss);
  /// RFC 6298 5.7 and RFC 5681 3.1: the SYN was lost, begin with one segment.
  void after_syn_loss() { cwnd_ = mss_; }
  /// `acked` bytes are now known to have left the network, and the window was the limit. `rtt` is
  /// the smoothed round-trip time.
  void on_ack(std::uint64_t acked, Nanos now, Nanos rtt);
  /// For `span` the window was not the limit: nothing was sent, or less than it allows. The window
  /// does not grow in that time, and it does not count as time since the loss (RFC 9438 4.2, 5.8).
  void on_pause(Nanos span);
  /// Fast recovery begins with `flight` bytes outstanding (RFC 9438 4.6).
  void on_recovery(std::uint64_t flight);
  /// The retransmission timer expired (RFC 9438 4.8). Only the `first` expiry for a segment lowers
  /// the threshold.
  void on_timeout(std::uint64_t flight, bool first);
  /// Nothing was sent for a retransmission timeout (RFC 5681 4.1).
  void on_idle();
  /// The path MTU changed.
  void set_mss(std::uint32_t mss);

  std::uint32_t mss() const { return mss_; }
  std::uint64_t window() const { return static_cast<std::uint64_t>(cwnd_); }
  std::uint64_t threshold() const { return ssthresh_; }

 private:
  void begin_epoch(Nanos now);
  /// RFC 9438 4.2, figure 1: W_cubic at `t` after the epoch's beginning.
  double curve(Nanos t) const;
  std::uint64_t reduced(std::uint64_t flight) const;

  // RFC 9438 4.1 for the names; windows in bytes where the RFC counts segments.
  std::uint32_t mss_;
  float k_ = 0;  ///< K, in seconds
  double cwnd_;
  std::uint64_t ssthresh_;
  Nanos t_epoch_ = kNever;  ///< kNever: congestion avoidance has not begun
  double w_max_ = 0;        ///< 0: unknown, after a timeout
  double w_est_ = 0;
  double cwnd_prior_ = 0;
};

}  // namespace vpollnet::tcp
