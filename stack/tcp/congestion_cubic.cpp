// SPDX-License-Identifier: MIT
#include "tcp/congestion_cubic.hpp"

#include <algorithm>
#include <cmath>

#include "tcp/congestion_newreno.hpp"

namespace vpollnet::tcp {
namespace {

constexpr double kC = 0.4;     ///< RFC 9438 5.1, in segments per second cubed
constexpr double kBeta = 0.7;  ///< RFC 9438 4.6
/// RFC 9438 4.3: with this growth a window that is cut by kBeta has Reno's average.
constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);
/// RFC 9438 4.2: in one round trip the window becomes half as large again at most.
constexpr double kMostGrowth = 1.5;

double seconds(Nanos span) { return static_cast<double>(span) / static_cast<double>(kSecond); }

}  // namespace

void Cubic::start(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = static_cast<double>(initial_window(mss));
}

void Cubic::begin_epoch(Nanos now) {
  t_epoch_ = now;
  w_est_ = cwnd_;  // RFC 9438 4.3
  if (w_max_ > cwnd_) {
    k_ = static_cast<float>(std::cbrt((w_max_ - cwnd_) / mss_ / kC));  // RFC 9438 4.2, figure 2
  } else {
    // RFC 9438 4.8 and 4.10: without a loss before, and after a timeout, the curve begins here.
    k_ = 0;
    w_max_ = cwnd_;
  }
}

double Cubic::curve(Nanos t) const {
  const double from_k = seconds(t) - static_cast<double>(k_);
  return w_max_ + kC * from_k * from_k * from_k * mss_;
}

void Cubic::on_ack(std::uint64_t acked, Nanos now, Nanos rtt) {
  const double bytes = static_cast<double>(acked);
  if (window() < ssthresh_) {
    cwnd_ += bytes;  // RFC 5681 3.1 with RFC 3465, as NewReno has it
  } else {
    if (t_epoch_ == kNever) begin_epoch(now);
    const Nanos t = now - t_epoch_;
    // RFC 9438 4.3: once W_est is where the loss was, it grows as Reno does.
    const double alpha = w_est_ < cwnd_prior_ ? kAlpha : 1;
    w_est_ += alpha * mss_ * bytes / cwnd_;
    if (curve(t) < w_est_) {
      cwnd_ = std::max(cwnd_, w_est_);
    } else {
      // RFC 9438 4.4, 4.5: towards where the curve will be a round trip from now.
      const double target = std::clamp(curve(t + rtt), cwnd_, kMostGrowth * cwnd_);
      cwnd_ += (target - cwnd_) * std::min(bytes / cwnd_, 1.0);
    }
  }
  cwnd_ = std::min(cwnd_, static_cast<double>(kMaxWindow));
}

void Cubic::on_pause(Nanos span) {
  if (t_epoch_ != kNever) t_epoch_ += span;
}

std::uint64_t Cubic::reduced(std::uint64_t flight) const {
  // RFC 9438 4.6: of the flight, not of a window that was not in use. Beyond the window is only
  // what limited transmit sent, which does not count (RFC 5681 3.2 step 2).
  const double used = std::min(static_cast<double>(flight), cwnd_);
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(used * kBeta), 2ull * mss_);
}

void Cubic::on_recovery(std::uint64_t flight) {
  // RFC 9438 4.7, fast convergence: who loses before he has come to his last window leaves room
  // for others.
  w_max_ = cwnd_ < w_max_ ? cwnd_ * (1 + kBeta) / 2 : cwnd_;
  ssthresh_ = reduced(flight);
  cwnd_prior_ = cwnd_;
  cwnd_ = static_cast<double>(ssthresh_);
  t_epoch_ = kNever;
}

void Cubic::on_timeout(std::uint64_t flight, bool first) {
  if (first) {
    ssthresh_ = reduced(flight);
    cwnd_prior_ = cwnd_;
  }
  w_max_ = 0;
  cwnd_ = mss_;  // the loss window, RFC 5681 3.1
  t_epoch_ = kNever;
}

void Cubic::on_idle() {
  cwnd_ = std::min(cwnd_, static_cast<double>(initial_window(mss_)));
  t_epoch_ = kNever;
}

void Cubic::set_mss(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = std::max<double>(cwnd_, mss);  // less than a segment would never send again
  t_epoch_ = kNever;                     // K is counted in segments
}

}  // namespace vpollnet::tcp
