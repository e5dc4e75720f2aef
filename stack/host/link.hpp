// SPDX-License-Identifier: MIT
// What a network asks of any of its links, in memory or to a device.
#pragma once

#include <cstdint>

#include "stack.hpp"
#include "util/packet.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

struct LinkCapabilities {
  LinkType type = LinkType::ethernet;
  std::uint32_t mtu = 1500;  ///< largest IP packet in bytes
  Offloads offloads;
};

/// All calls, the destructor included, come with the pump's lock held.
class Link {
 public:
  virtual ~Link() = default;

  virtual const LinkCapabilities& capabilities() const = 0;
  /// Sends a frame, or keeps it until there is room, or drops and counts it.
  virtual void transmit(Packet&& frame) = 0;
  /// Hands frames that have come to `stack`, up to `budget`, which it counts down. True when no
  /// more are there.
  virtual bool deliver(Stack& stack, InterfaceId id, Nanos now, int& budget) = 0;
  /// Why the link died; Errno::ok while it lives.
  Errno failure() const { return failure_; }
  /// Frames that were to go out or come in and did not.
  virtual std::uint64_t dropped() const = 0;

 protected:
  Errno failure_ = Errno::ok;
};

}  // namespace vpollnet::host
