// SPDX-License-Identifier: MIT
#include "host/links/device_link.hpp"

#include <sys/epoll.h>

#include <algorithm>

namespace vpollnet::host {

Result<std::unique_ptr<DeviceLink>> DeviceLink::open(std::unique_ptr<Device> device, Pump& pump,
                                                     PumpMember& owner, OpenDevice reopen) {
  std::unique_ptr<DeviceLink> link(
      new DeviceLink(std::move(device), pump, owner, std::move(reopen)));
  link->device_->count_in(link->counters_);
  if (const Errno error = link->watch(); error != Errno::ok) return error;
  link->follow();
  return link;
}

DeviceLink::~DeviceLink() {
  // What the last hold gathered, such as the resets of a stack that closes.
  if (failure_ == Errno::ok) device_->flush(pump_.pool());
  unwatch();
  forget_attempt();
  pump_.forget(*this);
}

Errno DeviceLink::watch() {
  if (device_->fd() < 0) return Errno::ok;
  Result<Pump::SourceId> source = pump_.watch(*this, device_->fd(), EPOLLIN);
  if (!source) return source.error();
  source_ = *source;
  watched_ = device_->fd();
  return Errno::ok;
}

void DeviceLink::unwatch() {
  wait_for_room(false);
  if (watched_ >= 0) pump_.unwatch(source_, watched_);
  watched_ = -1;
}

void DeviceLink::wait_for_room(bool wanted) {
  // Another descriptor shows room now: the one before may show it for ever.
  const int waited_on = room_watched_ >= 0 ? room_watched_ : watched_;
  if (wanted && waits_for_room_ && device_->room_fd() != waited_on) wait_for_room(false);
  if (wanted == waits_for_room_ || watched_ < 0) return;
  waits_for_room_ = wanted;
  if (!wanted && room_watched_ >= 0) {
    pump_.unwatch(room_source_, std::exchange(room_watched_, -1));
  } else if (!wanted || device_->room_fd() == watched_) {
    pump_.change(source_, watched_, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
  } else if (const auto source = pump_.watch(room_, device_->room_fd(), EPOLLOUT)) {
    room_source_ = *source;
    room_watched_ = device_->room_fd();
  } else {
    waits_for_room_ = false;  // the next frame tries again
  }
}

void DeviceLink::follow() {
  if (watched_ >= 0 && watched_ != device_->fd()) {
    unwatch();
    if (const Errno error = watch(); error != Errno::ok) return fail(error);
  }
  const Errno absence = device_->absence();
  if (absence == failure_) return;
  failure_ = absence;
  if (absence != Errno::ok) {
    counters_.drop(LinkDrop::down, waiting_.size());
    waiting_.clear();
    wait_for_room(false);
  }
  pump_.touch(owner_);
}

void DeviceLink::fail(Errno error) {
  failure_ = error;
  readable_ = false;
  counters_.drop(LinkDrop::down, waiting_.size());
  waiting_.clear();
  // A dead descriptor shows EPOLLERR for ever.
  unwatch();
  if (reopen_ != nullptr) reopen_at_ = pump_.now() + kReopenInterval;
  pump_.touch(owner_);
}

void DeviceLink::begin_attempt(Nanos now) {
  reopen_at_ = kNever;
  // Before the attempt, as the device may be one that can be open once only; and here, as frames
  // that it has gathered belong to the pump's pool.
  device_ = nullptr;
  attempt_ = Reopening::start(reopen_);
  if (attempt_ != nullptr) {
    if (const auto source = pump_.watch(return_, attempt_->fd(), EPOLLIN)) {
      attempt_source_ = *source;
      return;
    }
    attempt_->abandon();
    attempt_ = nullptr;
  }
  reopen_at_ = now + kReopenInterval;
}

void DeviceLink::end_attempt() {
  device_ = attempt_->take();
  forget_attempt();
  pump_.touch(owner_);
  if (device_ == nullptr) {
    reopen_at_ = pump_.now() + kReopenInterval;
    return;
  }
  device_->count_in(counters_);
  if (const Errno error = watch(); error != Errno::ok) return fail(error);
  failure_ = Errno::ok;
  follow();
}

void DeviceLink::forget_attempt() {
  if (attempt_ == nullptr) return;
  pump_.unwatch(attempt_source_, attempt_->fd());
  attempt_->abandon();
  attempt_ = nullptr;
}

void DeviceLink::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if (watched_ < 0) return;  // gone meanwhile
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
    readable_ = true;
    pump_.touch(owner_);
  }
}

Errno DeviceLink::write(Packet& frame) {
  const std::size_t size = frame.size();
  const Errno error = device_->write(frame, pump_.pool());
  if (error == Errno::ok) {
    counters_.frames_out++;
    counters_.bytes_out += size;
    if (device_->gathers()) pump_.at_hold_end(*this);
  } else if (error == Errno::message_size) {
    counters_.drop(LinkDrop::too_long);
  } else if (error != Errno::again) {
    counters_.drop(LinkDrop::device_error);
  }
  return error;
}

void DeviceLink::transmit(Packet&& frame) {
  if (failure_ != Errno::ok) return counters_.drop(LinkDrop::down);
  // What waits goes first.
  if (waiting_.empty()) {
    const Errno error = write(frame);
    if (error == Errno::ok) return;
    if (error != Errno::again) return device_->is_gone(error) ? fail(error) : follow();
  }
  if (!waiting_.push(std::move(frame))) return counters_.drop(LinkDrop::queue_full);
  wait_for_room(true);
}

void DeviceLink::flush() {
  if (failure_ != Errno::ok) return;  // then there may be no device
  for (;;) {
    Errno error = Errno::ok;
    while (!waiting_.empty() && (error = write(waiting_.front())) != Errno::again) {
      waiting_.pop();
      if (error != Errno::ok && device_->is_gone(error)) return fail(error);
    }
    const Errno sent = device_->flush(pump_.pool());
    if (sent != Errno::ok && sent != Errno::again && device_->is_gone(sent)) return fail(sent);
    follow();
    if (failure_ != Errno::ok) return;
    // A device that gathers has room again once it has sent.
    if (waiting_.empty() || sent == Errno::again || !device_->gathers()) {
      return wait_for_room(!waiting_.empty() || sent == Errno::again);
    }
  }
}

bool DeviceLink::deliver(FrameReceiver& receiver, Nanos now, int& budget) {
  if (reopen_at_ <= now) begin_attempt(now);
  while (readable_) {
    if (budget <= 0) return false;
    batch_.clear();
    const auto limit = static_cast<std::size_t>(std::min(budget, 16));
    const Errno error = device_->read(limit, pump_.pool(), batch_);
    for (Packet& frame : batch_) {
      counters_.frames_in++;
      counters_.bytes_in += frame.size();
      receiver.receive(std::move(frame), now);
    }
    budget -= static_cast<int>(std::max<std::size_t>(batch_.size(), 1));
    batch_.clear();
    if (!readable_) break;  // what was sent in answer found the device gone
    if (error == Errno::again) {
      readable_ = false;
    } else if (error != Errno::ok) {
      fail(error);
      break;
    }
    follow();
  }
  return true;
}

}  // namespace vpollnet::host
