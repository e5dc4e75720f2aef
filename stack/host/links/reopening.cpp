// SPDX-License-Identifier: MIT
#include "host/links/reopening.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>

#include "host/signals_blocked.hpp"

namespace vpollnet::host {
namespace {

std::atomic<int> under_way{0};

/// A place among the attempts that are under way.
class Place {
 public:
  Place() : taken_(under_way.fetch_add(1) < Reopening::kAtOnce) {
    if (!taken_) under_way--;
  }
  ~Place() {
    if (taken_) under_way--;
  }
  Place(Place&& other) noexcept : taken_(std::exchange(other.taken_, false)) {}
  Place& operator=(Place&&) = delete;
  explicit operator bool() const { return taken_; }

 private:
  bool taken_;
};

}  // namespace

std::shared_ptr<Reopening> Reopening::start(OpenDevice open) {
  Place place;
  if (!place) return nullptr;
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return nullptr;
  std::shared_ptr<Reopening> shared(new Reopening(fd));
  try {
    const SignalsBlocked blocked;
    std::thread thread([shared, place = std::move(place), open = std::move(open)] {
      Failure failure;  // the next attempt may have another reason: the link keeps the first
      shared->finish(open(failure));
    });
    pthread_setname_np(thread.native_handle(), "vpollnet-reopen");
    // It may be waiting for a peer that never answers: nobody can wait for it in turn.
    thread.detach();
  } catch (const std::system_error&) {
    return nullptr;
  }
  return shared;
}

Reopening::~Reopening() { abandon(); }

void Reopening::finish(std::unique_ptr<Device>&& device) {
  const std::lock_guard guard(mutex_);
  if (fd_ < 0) return;
  device_ = std::move(device);
  const std::uint64_t one = 1;
  // Cannot fail: the counter is at 0.
  if (::write(fd_, &one, sizeof one) < 0) device_ = nullptr;
}

std::unique_ptr<Device> Reopening::take() {
  const std::lock_guard guard(mutex_);
  return std::move(device_);
}

void Reopening::abandon() {
  const std::lock_guard guard(mutex_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  device_ = nullptr;
}

}  // namespace vpollnet::host
