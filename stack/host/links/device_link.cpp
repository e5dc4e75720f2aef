// SPDX-License-Identifier: MIT
#include "host/links/device_link.hpp"

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
  counters_.drop(LinkDrop::down, waiting_.size());
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

Errno DeviceLink::write(Packet& frame) {
  const std::size_t size = frame.size();
  const Errno error = device_->write(frame, pump_.pool());
  if (error == Errno::ok) {
    counters_.frames_out++;
    counters_.bytes_out += size;
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
    if (error != Errno::again) {
      if (error != Errno::ok && device_->is_gone(error)) fail(error);
      return;
    }
  }
  if (!waiting_.push(std::move(frame))) return counters_.drop(LinkDrop::queue_full);
  if (waiting_.size() == 1 && watched_) {
    pump_.change(source_, device_->fd(), EPOLLIN | EPOLLOUT);
  }
}

void DeviceLink::flush() {
  while (!waiting_.empty()) {
    const Errno error = write(waiting_.front());
    if (error == Errno::again) return;
    waiting_.pop();
    if (error != Errno::ok && device_->is_gone(error)) return fail(error);
  }
  if (watched_) pump_.change(source_, device_->fd(), EPOLLIN);
}

bool DeviceLink::deliver(FrameReceiver& receiver, Nanos now, int& budget) {
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
    if (error == Errno::again) {
      readable_ = false;
    } else if (error != Errno::ok) {
      fail(error);
    }
  }
  return true;
}

}  // namespace vpollnet::host
