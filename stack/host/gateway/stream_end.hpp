// SPDX-License-Identifier: MIT
// One of the two streams that a relay joins: a core socket, or a descriptor of BSD's calls.
#pragma once

#include <cstddef>
#include <vector>

#include "util/block.hpp"
#include "util/result.hpp"
#include "util/time.hpp"

namespace vpollnet::host {

/// Who is told that an end has something to do. In the middle of stack processing, with the pump's
/// lock held: notes it, and does nothing else.
class EndOwner {
 public:
  virtual void on_end_ready() = 0;

 protected:
  ~EndOwner() = default;
};

/// Destroyed, a stream is closed as by close(2): what was written is still delivered. No call
/// waits; all come with the pump's lock held.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;

  /// Errno::in_progress until the connection is there, then Errno::ok for good, or why not.
  virtual Errno progress(Nanos now) = 0;
  /// Why the connection is broken, though there may be bytes to be read; Errno::ok if it is not.
  virtual Errno failure(Nanos now) = 0;
  /// The most that write() should be asked to take; 0: not now.
  virtual std::size_t room() = 0;
  /// room() is 0 for want of memory: nobody will say when it is not any more.
  virtual bool starved() { return false; }
  /// Bytes that have come, up to about `limit`, put behind `out`; they stay until consume(). 0 is
  /// the end of the stream, Errno::again nothing now.
  virtual Result<std::size_t> peek(std::size_t limit, std::vector<Slice>& out, Nanos now) = 0;
  virtual void consume(std::size_t count, Nanos now) = 0;
  /// How many bytes of `slices` were taken, from the front; `slices` is spent. Errno::again: none.
  virtual Result<std::size_t> write(std::vector<Slice>& slices, Nanos now) = 0;
  /// No more will be written: the peer reads the end of the stream.
  virtual void finish(Nanos now) = 0;
  /// Ends it with RST. Only the destructor may follow.
  virtual void reset(Nanos now) = 0;
};

}  // namespace vpollnet::host
