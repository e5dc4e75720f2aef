// SPDX-License-Identifier: MIT
// Two streams joined: what comes on one goes to the other.
//
// A byte is read only when the other side has room for it, so that a slow reader stops the far
// sender (backpressure), and nothing is kept here. The end of one direction is passed on and leaves
// the other open (half-close, RFC 9293 3.6); a broken stream breaks the other with RST.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "host/gateway/stream_end.hpp"

namespace vpollnet::host {

class Relay {
 public:
  /// Whose stream broke.
  enum class Broken : std::uint8_t { none, source, target };

  Relay(std::unique_ptr<StreamEnd> source, std::unique_ptr<StreamEnd> target)
      : source_(std::move(source)), target_(std::move(target)) {}

  /// Moves what can be moved, counting `budget` down by one for each 64 KiB or less. True when it
  /// has to be called again though nothing happens.
  bool run(Nanos now, int& budget);
  /// Ends both with RST.
  void reset(Nanos now);

  bool finished() const { return out_.finished && in_.finished; }
  /// A stream takes bytes, but there is no memory for them: run() has to be called in a while.
  bool starved() const { return starved_; }
  bool half_closed() const { return out_.finished || in_.finished; }
  Broken broken() const { return broken_; }
  Errno error() const { return error_; }
  std::uint64_t bytes_out() const { return out_.bytes; }
  std::uint64_t bytes_in() const { return in_.bytes; }

 private:
  struct Way {
    std::uint64_t bytes = 0;
    bool finished = false;
  };

  bool move(StreamEnd& from, StreamEnd& to, Way& way, Broken from_name, Broken to_name, Nanos now,
            int& budget);
  void fail(Broken who, Errno error, Nanos now);

  std::unique_ptr<StreamEnd> source_;
  std::unique_ptr<StreamEnd> target_;
  Way out_;
  Way in_;
  bool starved_ = false;
  Broken broken_ = Broken::none;
  Errno error_ = Errno::ok;
  std::vector<Slice> slices_;  ///< empty between two calls
};

}  // namespace vpollnet::host
