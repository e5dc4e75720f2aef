// SPDX-License-Identifier: MIT
// A recording: frames of any number of links, written to a file or a pipe as pcapng.
//
// Whoever holds the pump's lock appends blocks to a bounded buffer, which goes to a thread of the
// recording's own when the hold ends. Nothing waits for the file; what does not fit is counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "host/failure.hpp"
#include "host/links/link.hpp"
#include "host/links/pcapng.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

struct RecordingSpec {
  std::string path;     ///< a file, which is made or emptied, or a FIFO that somebody reads
  int descriptor = -1;  ///< instead of a path: is duplicated, and stays open
  std::uint32_t snap_length = kWholeFrames;
  std::uint64_t frame_limit = UINT64_MAX;  ///< frames after it pass unrecorded
  /// The links that are recorded, by number; none: all of the owner, also those that come later.
  std::optional<std::vector<std::uint32_t>> links = {};

  bool wants(std::uint32_t link) const {
    return !links || std::find(links->begin(), links->end(), link) != links->end();
  }

  static constexpr std::uint32_t kWholeFrames = 262144;
};

class Recording final : private HoldEnd {
 public:
  /// What waits to be written at most.
  static constexpr std::size_t kBufferBytes = 16u << 20;

  struct Totals {
    std::uint64_t frames = 0;   ///< recorded, written or about to be
    std::uint64_t bytes = 0;    ///< of the file
    std::uint64_t dropped = 0;  ///< frames that passed and are not in the recording
  };
  /// A frame in the buffer, until the hold ends.
  using Mark = std::size_t;
  static constexpr Mark kNotRecorded = SIZE_MAX;

  /// Opens the target and starts the thread; without the pump's lock. Errors of open(2); EBADF for
  /// a descriptor that cannot be written; ENXIO for a FIFO that nobody reads.
  static std::shared_ptr<Recording> open(Pump& pump, const RecordingSpec& spec, Failure& failure);
  /// Gives up what is not written yet. Waits for the thread: never with the pump's lock held.
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // --- with the pump's lock held ---

  /// A link joins. Its number in the file.
  std::uint32_t add_interface(std::string_view name, std::string_view url, LinkType type,
                              const LinkCounters& counters);
  Mark add_frame(std::uint32_t interface, pcapng::Direction direction, const Packet& frame);
  /// Within the hold that added the frame.
  void comment(Mark frame, std::string_view text);
  /// A link leaves: its statistics are written. `counters` as they are now.
  void end_interface(std::uint32_t interface, const LinkCounters& counters);
  /// No more frames. The thread writes what is left, closes the target and ends. Idempotent.
  void finish();

  // --- any thread, without the lock ---

  Totals totals() const;
  /// Why the recording broke off; ok while it did not.
  Failure failure() const;
  /// True when everything is written, or cannot be.
  bool ended() const { return ended_.load(std::memory_order_acquire); }
  /// Waits until ended(), up to `milliseconds`.
  bool wait(unsigned milliseconds);
  /// ended(); then the thread is gone and no descriptor is open any more. One thread at a time.
  bool reap();

 private:
  struct Interface {
    std::uint64_t start = 0;
    std::uint64_t received = 0;
    std::uint64_t dropped = 0;
    LinkCounters counters_at_start;
  };

  Recording(Pump& pump, const RecordingSpec& spec, int target, int wake);

  void stage();
  void on_hold_end() override;
  /// The thread.
  void run();
  Failure write_all(const pcapng::Bytes& bytes, std::size_t& written);
  /// Waits until the target takes bytes; false when the recording is given up.
  bool wait_writable() const;

  Pump& pump_;
  const std::uint32_t snap_length_;
  const std::uint64_t frame_limit_;
  int target_;
  int wake_;  ///< an eventfd that becomes readable when the recording is given up
  bool regular_ = false;
  bool socket_ = false;

  // Guarded by the pump's lock.
  pcapng::Bytes staged_;  ///< of the present hold
  std::uint64_t staged_frames_ = 0;
  std::vector<Interface> interfaces_;
  bool finished_ = false;

  std::atomic<std::size_t> waiting_bytes_{0};  ///< staged, handed over, or being written
  std::atomic<std::uint64_t> frames_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<bool> broken_{false};
  std::atomic<bool> ended_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  pcapng::Bytes handed_over_;
  bool last_handed_over_ = false;
  Failure failure_;

  std::thread thread_;
};

}  // namespace vpollnet::host
