// SPDX-License-Identifier: MIT
// A network device of the operating system, as frames. DeviceLink puts queues and the pump around
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "host/links/link.hpp"
#include "util/block.hpp"
#include "util/packet.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

/// No call waits. Not thread-safe.
class Device {
 public:
  virtual ~Device() = default;

  /// Readable when a frame has come, writable when there is room for one; -1: never to be waited
  /// for. Owned by the device. May be another one after a read(), which is then watched instead.
  virtual int fd() const = 0;
  /// The descriptor that shows room, where that is not fd(). May be another one each time that
  /// there is none; must be open as long as the device is.
  virtual int room_fd() const { return fd(); }
  virtual const LinkCapabilities& capabilities() const = 0;

  /// Appends up to `limit` frames to `frames`, their bytes in blocks of `pool`. Errno::ok if there
  /// may be more, Errno::again if there are none, else the reason why no more can come.
  virtual Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) = 0;
  /// Writes one frame. Errno::again: no room now, the frame is as it was. Any other error: the
  /// frame is lost; whether the device is too, is_gone() tells.
  virtual Errno write(Packet& frame, BlockPool& pool) = 0;

  /// True where write() gathers frames, to send many with one system call: flush() is called at the
  /// end of each hold of the lock that wrote some.
  virtual bool gathers() const { return false; }
  /// Sends what was gathered. Errno::again: there is no room for all of it now, the rest is kept.
  /// Any other error: what could not be sent is lost, and counted by the device.
  virtual Errno flush(BlockPool&) { return Errno::ok; }

  /// Why the device carries nothing for now, as while it waits for a peer: the link is down, and
  /// the device goes on being read. Errno::ok otherwise.
  virtual Errno absence() const { return Errno::ok; }

  /// True for an error after which the device never works again, false for one of a single frame.
  /// It holds no packet then: it may be destroyed without the pump's lock.
  virtual bool is_gone(Errno error) const = 0;

  /// Where it counts the frames that it drops itself; must outlive it.
  void count_in(LinkCounters& counters) { counters_ = &counters; }

 protected:
  void drop(LinkDrop reason, std::uint64_t frames = 1) {
    if (counters_ != nullptr) counters_->drop(reason, frames);
  }

 private:
  LinkCounters* counters_ = nullptr;
};

}  // namespace vpollnet::host
