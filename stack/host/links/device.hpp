// SPDX-License-Identifier: MIT
// A network device of the operating system, as frames. DeviceLink puts queues and the pump around
// it.
#pragma once

#include <cstddef>
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
  /// for. Owned by the device.
  virtual int fd() const = 0;
  virtual const LinkCapabilities& capabilities() const = 0;

  /// Appends up to `limit` frames to `frames`, their bytes in blocks of `pool`. Errno::ok if there
  /// may be more, Errno::again if there are none, else the reason why no more can come.
  virtual Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) = 0;
  /// Writes one frame. Errno::again: no room now, the frame is as it was. Any other error: the
  /// frame is lost; whether the device is too, is_gone() tells.
  virtual Errno write(Packet& frame, BlockPool& pool) = 0;

  /// True for an error after which the device never works again, false for one of a single frame.
  virtual bool is_gone(Errno error) const = 0;
};

}  // namespace vpollnet::host
