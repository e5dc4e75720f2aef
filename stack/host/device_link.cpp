// SPDX-License-Identifier: MIT
#include "host/device_link.hpp"

#include <sys/epoll.h>

#include <algorithm>

namespace vpollnet::host {

Result<std::unique_ptr<DeviceLink>> DeviceLink::open(std::unique_ptr<Device> device, Pump& pump,
                                                     PumpMember& owner) {
  std::unique_ptr<DeviceLink> link(new DeviceLink(std::move(device), pump, owner));
  if (link->device_->fd() >= 0) {
    Result<Pump::SourceId> source = pump.watch(*link, link->device_->fd(), EPOLLIN);
    if (!source) return source.error();
    link->source_ = *source;
    link->watched_ = true;
  }
  return link;
}

DeviceLink::~DeviceLink() {
  if (watched_) pump_.unwatch(source_, device_->fd());
}

void DeviceLink::fail(Errno error) {
  failure_ = error;
  readable_ = false;
  dropped_ += waiting_.size();
  waiting_.clear();
  // A dead descriptor shows EPOLLERR for ever.
  if (watched_) pump_.unwatch(source_, device_->fd());
  watched_ = false;
  pump_.touch(owner_);
}

void DeviceLink::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
    readable_ = true;
    pump_.touch(owner_);
  }
}

void DeviceLink::transmit(Packet&& frame) {
  if (failure_ != Errno::ok) {
    dropped_++;
    return;
  }
  // What waits goes first.
  Errno error = waiting_.empty() ? device_->write(frame, pump_.pool()) : Errno::again;
  if (error == Errno::ok) return;
  if (error == Errno::again && waiting_.push(std::move(frame))) {
    if (waiting_.size() == 1 && watched_) {
      pump_.change(source_, device_->fd(), EPOLLIN | EPOLLOUT);
    }
    return;
  }
  dropped_++;
  if (error != Errno::again && device_->is_gone(error)) fail(error);
}

void DeviceLink::flush() {
  while (!waiting_.empty()) {
    const Errno error = device_->write(waiting_.front(), pump_.pool());
    if (error == Errno::again) return;
    if (error != Errno::ok) {
      dropped_++;
      if (device_->is_gone(error)) return fail(error);
    }
    waiting_.pop();
  }
  if (watched_) pump_.change(source_, device_->fd(), EPOLLIN);
}

bool DeviceLink::deliver(Stack& stack, InterfaceId id, Nanos now, int& budget) {
  while (readable_) {
    if (budget <= 0) return false;
    batch_.clear();
    const auto limit = static_cast<std::size_t>(std::min(budget, 16));
    const Errno error = device_->read(limit, pump_.pool(), batch_);
    for (Packet& frame : batch_) stack.receive(id, std::move(frame), now);
    budget -= static_cast<int>(std::max<std::size_t>(batch_.size(), 1));
    batch_.clear();
    if (error == Errno::again) {
      readable_ = false;
    } else if (error != Errno::ok) {
      fail(error);
    }
  }
  return true;
}

}  // namespace vpollnet::host
