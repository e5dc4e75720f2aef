// SPDX-License-Identifier: MIT
#include "host/links/recorder.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <system_error>

#include "host/clock.hpp"
#include "host/signals_blocked.hpp"

namespace vpollnet::host {
namespace {

/// A regular file takes this much at a time, so that giving up is noticed between two pieces.
constexpr std::size_t kPieceBytes = 1u << 20;

int open_path(const std::string& path, Failure& failure) {
  // O_NONBLOCK: open(2) of a FIFO would wait for its reader.
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
  if (fd < 0) {
    const int error = errno;
    failure = {Errno(error), "open",
               error == ENXIO ? "nobody reads the FIFO: start its reader first" : ""};
  }
  return fd;
}

int open_descriptor(int descriptor, Failure& failure) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) {
    failure = {Errno::bad_descriptor, "fcntl",
               "descriptor " + std::to_string(descriptor) + " is open for reading only"};
    return -1;
  }
  const int fd = flags < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) failure = {Errno(errno), "fcntl", "descriptor " + std::to_string(descriptor)};
  return fd;
}

/// "queue_full 3, impaired_loss 20": what was dropped between the two readings.
std::string drops_between(const LinkCounters& before, const LinkCounters& after) {
  std::string text;
  for (std::size_t i = 0; i < kLinkDropReasons; i++) {
    const std::uint64_t count = after.drops[i] - before.drops[i];
    if (count == 0) continue;
    text += text.empty() ? "dropped by the link: " : ", ";
    text += std::string(kLinkDropNames[i]) + " " + std::to_string(count);
  }
  return text;
}

}  // namespace

std::shared_ptr<Recording> Recording::open(Pump& pump, const RecordingSpec& spec,
                                           Failure& failure) {
  const int target = spec.descriptor >= 0 ? open_descriptor(spec.descriptor, failure)
                                          : open_path(spec.path, failure);
  if (target < 0) return nullptr;
  const int wake = eventfd(0, EFD_CLOEXEC);
  if (wake < 0) {
    failure = {Errno(errno), "eventfd", ""};
    ::close(target);
    return nullptr;
  }
  std::shared_ptr<Recording> recording(new Recording(pump, spec, target, wake));
  try {
    const SignalsBlocked blocked;
    recording->thread_ = std::thread([self = recording.get()] { self->run(); });
  } catch (const std::system_error& error) {
    failure = {Errno(error.code().value()), "pthread_create", ""};
    return nullptr;
  }
  pthread_setname_np(recording->thread_.native_handle(), "vpollnet-record");
  return recording;
}

Recording::Recording(Pump& pump, const RecordingSpec& spec, int target, int wake)
    : pump_(pump), snap_length_(spec.snap_length), frame_limit_(spec.frame_limit), target_(target),
      wake_(wake) {
  struct stat status {};
  if (fstat(target_, &status) == 0) {
    regular_ = S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
    socket_ = S_ISSOCK(status.st_mode);
  }
  // At once, so that who reads a pipe need not wait for the first frame.
  pcapng::append_section(handed_over_, "vpollnet");
  waiting_bytes_ = handed_over_.size();
}

Recording::~Recording() {
  {
    const std::lock_guard guard(mutex_);
    last_handed_over_ = true;
  }
  changed_.notify_all();
  if (wake_ >= 0) eventfd_write(wake_, 1);
  if (thread_.joinable()) thread_.join();
  if (target_ >= 0) ::close(target_);
  if (wake_ >= 0) ::close(wake_);
}

// --- with the pump's lock held ---

void Recording::stage() { pump_.at_hold_end(*this); }

std::uint32_t Recording::add_interface(std::string_view name, std::string_view url, LinkType type,
                                       const LinkCounters& counters) {
  interfaces_.push_back({.start = wall_now(), .counters_at_start = counters});
  // Even if the buffer is full: the numbers of the interfaces are their places in the file.
  pcapng::append_interface(
      staged_, {.name = name, .description = url, .type = type, .snap_length = snap_length_});
  stage();
  return static_cast<std::uint32_t>(interfaces_.size() - 1);
}

Recording::Mark Recording::add_frame(std::uint32_t interface, pcapng::Direction direction,
                                     const Packet& frame) {
  if (frames_.load(std::memory_order_relaxed) >= frame_limit_) return kNotRecorded;
  Interface& from = interfaces_[interface];
  from.received++;
  const std::size_t size = pcapng::packet_block_size(frame.size(), snap_length_);
  const std::size_t waiting = staged_.size() + waiting_bytes_.load(std::memory_order_relaxed);
  if (finished_ || broken_.load(std::memory_order_relaxed) || waiting + size > kBufferBytes) {
    from.dropped++;
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return kNotRecorded;
  }
  const Mark at = staged_.size();
  pcapng::append_packet(staged_, interface, wall_now(), direction, frame, snap_length_);
  staged_frames_++;
  frames_.fetch_add(1, std::memory_order_relaxed);
  stage();
  return at;
}

void Recording::comment(Mark frame, std::string_view text) {
  if (frame != kNotRecorded) pcapng::add_comment(staged_, frame, text);
}

void Recording::end_interface(std::uint32_t interface, const LinkCounters& counters) {
  if (finished_) return;
  const Interface& ending = interfaces_[interface];
  const std::string comment = drops_between(ending.counters_at_start, counters);
  pcapng::append_statistics(
      staged_, interface,
      {.start = ending.start,
       .end = wall_now(),
       .received = ending.received,
       .dropped_by_link = counters.dropped() - ending.counters_at_start.dropped(),
       .dropped_by_record = ending.dropped,
       .recorded = ending.received - ending.dropped,
       .comment = comment});
  stage();
}

void Recording::on_hold_end() {
  if (staged_.empty()) return;
  {
    const std::lock_guard guard(mutex_);
    if (broken_) {
      frames_ -= staged_frames_;
      dropped_ += staged_frames_;
      staged_.clear();
    } else {
      waiting_bytes_ += staged_.size();
      if (handed_over_.empty()) {
        handed_over_.swap(staged_);
      } else {
        handed_over_.insert(handed_over_.end(), staged_.begin(), staged_.end());
        staged_.clear();
      }
    }
  }
  staged_frames_ = 0;
  changed_.notify_all();
}

void Recording::finish() {
  if (finished_) return;
  finished_ = true;
  on_hold_end();
  pump_.forget(*this);
  {
    const std::lock_guard guard(mutex_);
    last_handed_over_ = true;
  }
  changed_.notify_all();
}

// --- any thread ---

Recording::Totals Recording::totals() const {
  return {.frames = frames_, .bytes = bytes_, .dropped = dropped_};
}

Failure Recording::failure() const {
  const std::lock_guard guard(mutex_);
  return failure_;
}

bool Recording::wait(unsigned milliseconds) {
  std::unique_lock guard(mutex_);
  return changed_.wait_for(guard, std::chrono::milliseconds(milliseconds),
                           [this] { return ended(); });
}

bool Recording::reap() {
  if (!ended()) return false;
  if (thread_.joinable()) thread_.join();
  if (wake_ >= 0) ::close(std::exchange(wake_, -1));
  return true;
}

// --- the thread ---

bool Recording::wait_writable() const {
  pollfd files[] = {{.fd = wake_, .events = POLLIN, .revents = 0},
                    {.fd = target_, .events = POLLOUT, .revents = 0}};
  // A regular file is always ready, and asking costs little.
  while (::poll(files, 2, -1) < 0) {
    if (errno != EINTR && errno != EAGAIN) return false;
  }
  return files[0].revents == 0;
}

Failure Recording::write_all(const pcapng::Bytes& bytes, std::size_t& written) {
  // A pipe that has room takes PIPE_BUF bytes without waiting (pipe(7)); the descriptor may be
  // shared with others, so that it cannot be made non-blocking.
  const std::size_t most = regular_ || socket_ ? kPieceBytes : PIPE_BUF;
  while (written < bytes.size()) {
    if (!wait_writable()) return {Errno(ECANCELED), "write", "given up before all was written"};
    const std::size_t size = std::min(bytes.size() - written, most);
    const ssize_t done = socket_
                             ? ::send(target_, &bytes[written], size, MSG_DONTWAIT | MSG_NOSIGNAL)
                             : ::write(target_, &bytes[written], size);
    if (done >= 0) {
      written += static_cast<std::size_t>(done);
    } else if (errno != EINTR && errno != EAGAIN) {
      return {Errno(errno), "write", ""};
    }
  }
  return {};
}

void Recording::run() {
  pcapng::Bytes bytes;
  Failure failure;
  while (!failure) {
    bytes.clear();
    {
      std::unique_lock guard(mutex_);
      changed_.wait(guard, [this] { return !handed_over_.empty() || last_handed_over_; });
      if (handed_over_.empty()) break;
      bytes.swap(handed_over_);
    }
    std::size_t written = 0;
    failure = write_all(bytes, written);
    bytes_ += written;
    waiting_bytes_ -= bytes.size();
    if (failure) {
      const std::uint64_t lost = pcapng::count_packets(bytes, written);
      frames_ -= lost;
      dropped_ += lost;
    }
  }
  // Where a quota is checked late (NFS), close(2) is the one that says so.
  if (::close(target_) != 0 && !failure && errno != EINTR) failure = {Errno(errno), "close", ""};
  target_ = -1;
  const std::lock_guard guard(mutex_);
  if (failure) {
    broken_ = true;
    failure_ = failure;
    const std::uint64_t lost = pcapng::count_packets(handed_over_, 0);
    frames_ -= lost;
    dropped_ += lost;
    waiting_bytes_ -= handed_over_.size();
    handed_over_ = {};
  }
  ended_.store(true, std::memory_order_release);
  changed_.notify_all();
}

}  // namespace vpollnet::host
