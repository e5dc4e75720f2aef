// SPDX-License-Identifier: MIT
// When a router advertises itself on one link (RFC 4861 6.2.4, 6.2.6). What it says, and the
// sending, are the stack's.
#pragma once

#include "util/random.hpp"
#include "util/time.hpp"

namespace vpollnet::ip {

/// `random` must outlive it.
class RouterAdvertiser {
 public:
  static constexpr unsigned kInitialCount = 3;                  ///< MAX_INITIAL_RTR_ADVERTISEMENTS
  static constexpr Nanos kMaxInitialInterval = 16 * kSecond;    ///< MAX_INITIAL_RTR_ADVERT_INTERVAL
  static constexpr Nanos kMinDelay = 3 * kSecond;               ///< MIN_DELAY_BETWEEN_RAS
  static constexpr Nanos kMaxAnswerDelay = 500 * kMillisecond;  ///< MAX_RA_DELAY_TIME

  /// `shortest` and `longest`: MinRtrAdvInterval and MaxRtrAdvInterval.
  RouterAdvertiser(KeyedRandom& random, Nanos shortest, Nanos longest)
      : random_(random), shortest_(shortest), longest_(longest) {}

  /// From now on, the initial ones first; again for an advertisement that has changed (6.2.4).
  void start(Nanos now);
  /// Nothing is due until start(): the link is down, or there is no address to send from.
  void stop() { deadline_ = kNever; }
  /// Somebody asks. One advertisement answers all who asked meanwhile (6.2.6).
  void on_solicitation(Nanos now);
  /// When the next one is due. The caller sends it, and says so by on_sent().
  Nanos next_deadline() const { return deadline_; }
  void on_sent(Nanos now);
  /// It could not be sent; the next attempt.
  void postpone(Nanos until) { deadline_ = until; }
  /// Takes over when the last one was sent: the interval between two holds across a change.
  void follow(const RouterAdvertiser& former) { earliest_ = former.earliest_; }

 private:
  KeyedRandom& random_;
  Nanos shortest_;
  Nanos longest_;
  Nanos earliest_ = 0;  ///< before this none may be sent to all nodes
  Nanos deadline_ = kNever;
  unsigned initial_left_ = 0;
};

}  // namespace vpollnet::ip
