// SPDX-License-Identifier: MIT
// How much may be under way: slow start, congestion avoidance and the reaction to loss
// (RFC 5681, RFC 6928, RFC 3465, RFC 6582 for what a loss costs).
#pragma once

#include <cstdint>

#include "util/time.hpp"

namespace vpollnet::tcp {

/// No window is larger: nothing that this stack can buffer needs more, and it keeps the arithmetic
/// far from overflow.
inline constexpr std::uint64_t kMaxWindow = 1ull << 30;

/// RFC 6928 2, in bytes.
std::uint64_t initial_window(std::uint32_t mss);

/// The congestion window of NewReno, in bytes. Which segments are lost is decided elsewhere
/// (scoreboard.hpp); this says only what that costs.
class NewReno {
 public:
  /// `mss` is the sender's maximum segment size.
  NewReno(std::uint32_t mss, std::uint64_t window, std::uint64_t threshold)
      : mss_(mss), cwnd_(window), ssthresh_(threshold) {}

  void start(std::uint32_t mss);
  /// RFC 6298 5.7 and RFC 5681 3.1: the SYN was lost, begin with one segment.
  void after_syn_loss() { cwnd_ = mss_; }
  /// `acked` bytes are now known to have left the network, and the window was the limit.
  void on_ack(std::uint64_t acked, Nanos now, Nanos rtt);
  void on_pause(Nanos) {}
  /// Fast recovery begins with `flight` bytes outstanding (RFC 5681 3.2 step 2, RFC 6675 5
  /// step 4.2).
  void on_recovery(std::uint64_t flight);
  /// The retransmission timer expired (RFC 5681 3.1 equation 4). Only the `first` expiry for a
  /// segment lowers the threshold.
  void on_timeout(std::uint64_t flight, bool first);
  /// Nothing was sent for a retransmission timeout (RFC 5681 4.1).
  void on_idle();
  /// The path MTU changed.
  void set_mss(std::uint32_t mss) {
    mss_ = mss;
    if (cwnd_ < mss) cwnd_ = mss;  // less than a segment would never send again
  }

  std::uint32_t mss() const { return mss_; }
  std::uint64_t window() const { return cwnd_; }
  std::uint64_t threshold() const { return ssthresh_; }

 private:
  std::uint32_t mss_;
  std::uint64_t cwnd_;
  std::uint64_t ssthresh_;
  std::uint64_t acked_ = 0;  ///< bytes towards the next step of congestion avoidance
};

}  // namespace vpollnet::tcp
