// SPDX-License-Identifier: MIT
// A socket's readiness as others see it: a mask to look at, a vpoll descriptor, threads that wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "host/pump.hpp"
#include "socket/readiness.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

class Readiness;

/// An eventfd that is written when something waited for may have come. One thread owns it; any
/// may wake it.
class Watcher {
 public:
  static constexpr int kNone = -1;

  Watcher() = default;
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// The descriptor, made at the first call. EMFILE, ENFILE.
  Result<int> open();
  void wake();
  bool raised() const { return raised_.load(); }
  /// Takes wakes back. What is looked at afterwards is as new as the last of them.
  void clear();

 private:
  int fd_ = kNone;
  std::atomic<bool> raised_{false};
};

/// One watcher's interest in one Readiness.
struct Waiter {
  Watcher* watcher = nullptr;
  std::uint32_t events = 0;  ///< as in poll(2)
  Waiter* previous = nullptr;
  Waiter* next = nullptr;
};

/// Why the next fd_error() of this thread says that a descriptor could not be made.
void set_fd_error(std::string text);

/// set(), fd() and close() come with the pump's lock held; the rest from any thread, without it.
class Readiness final : public Wakeable, public std::enable_shared_from_this<Readiness> {
 public:
  static constexpr std::uint32_t kInvalid = 0x20;  ///< POLLNVAL

  explicit Readiness(std::uint32_t mask) : mask_(mask) {}
  ~Readiness() override { close(); }
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  /// Ready bits; kInvalid once closed.
  std::uint32_t mask() const { return mask_.load(); }
  /// What poll(2) would return for `events`.
  std::uint32_t matching(std::uint32_t events) const;

  /// A new mask: told to the descriptor, and true if there are waiters, for whom wake() is to be
  /// called. Nothing after close().
  bool set(std::uint32_t mask);
  /// Wakes the waiters that the mask has something for. From any thread, without the pump's lock.
  void wake() override;
  /// The vpoll descriptor, made at the first call. Errors of vpoll_create; EBADF once closed, and
  /// when somebody else has closed the descriptor behind our back and its number serves another.
  Result<int> fd();
  /// The descriptor if it is made and open, else negative. Needs no lock.
  int known_fd() const { return fd_.load(std::memory_order_relaxed); }
  /// Closes the descriptor, shows kInvalid, wakes who waits. Idempotent.
  void close();

  /// For a socket that is the kernel's: its descriptor shows its events itself, and this object
  /// knows the number alone, so that whoever polls it hears of release(). Instead of set() and
  /// fd(), and without the pump's lock, as the rest.
  void adopt(int fd);
  /// True for an adopted descriptor: the kernel is to be asked.
  bool shows_itself() const { return adopted_.load(std::memory_order_relaxed); }
  /// What close() does, but for closing the descriptor: the caller does that with what is returned.
  /// Negative if there is none, or if its number serves another socket by now.
  int release();

  /// `waiter` and its watcher must stay until remove().
  void add(Waiter& waiter);
  void remove(Waiter& waiter);

  /// The readiness behind descriptors, while the object lives. Holds the table's lock: short, and
  /// nothing else meanwhile.
  class Lookup {
   public:
    Lookup();
    /// Null if `fd` is none of ours. Good as long as the Lookup is, or its shared_from_this().
    Readiness* find(int fd) const;

   private:
    std::lock_guard<std::mutex> lock_;
  };

 private:
  static constexpr int kNoFd = -1;
  static constexpr int kLostFd = -2;

  void push(std::uint32_t mask);
  void enter(int fd);

  std::atomic<std::uint32_t> mask_;
  std::atomic<int> fd_{kNoFd};  ///< written under the table's lock
  std::atomic<bool> adopted_{false};
  bool exact_ = true;  ///< the back end can take back each event; under the table's lock
  std::atomic<bool> waited_for_{false};
  std::mutex waiters_mutex_;
  Waiter* waiters_ = nullptr;
};

}  // namespace vpollnet::host
