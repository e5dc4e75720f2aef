// SPDX-License-Identifier: MIT
// What is asked of any link, in memory or to a device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "stack.hpp"
#include "util/packet.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

struct LinkCapabilities {
  LinkType type = LinkType::ethernet;
  std::uint32_t mtu = 1500;  ///< largest IP packet in bytes
  Offloads offloads;
};

/// Why a link did not carry a frame. One row a reason; the names below are in the same order.
enum class LinkDrop : std::uint8_t {
  queue_full,           ///< no room in a queue of the link, outgoing or incoming
  too_long,             ///< more than the link's MTU
  malformed,            ///< no frame: too short, or a header of the link's that cannot be
  device_error,         ///< the operating system refused it
  down,                 ///< the link is dead, or waits for its device to come back
  wrong_peer,           ///< came from somebody who is no peer of the link
  not_for_us,           ///< belongs to another segment than the link's
  receive_only,         ///< the link carries nothing out: a replay
  impaired_loss,        ///< lost by impairment, as asked for
  impaired_queue_full,  ///< no room in the queue of the impairment
  count_,
};

inline constexpr std::size_t kLinkDropReasons = static_cast<std::size_t>(LinkDrop::count_);

inline constexpr std::array<std::string_view, kLinkDropReasons> kLinkDropNames{
    "queue_full", "too_long",   "malformed",    "device_error",  "down",
    "wrong_peer", "not_for_us", "receive_only", "impaired_loss", "impaired_queue_full",
};

/// What one link has carried. A large packet (gso_size) counts as the one frame that it is here.
struct LinkCounters {
  std::uint64_t frames_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t frames_out = 0;
  std::uint64_t bytes_out = 0;
  std::array<std::uint64_t, kLinkDropReasons> drops{};

  void drop(LinkDrop reason, std::uint64_t frames = 1) {
    drops[static_cast<std::size_t>(reason)] += frames;
  }
  std::uint64_t dropped(LinkDrop reason) const { return drops[static_cast<std::size_t>(reason)]; }
  std::uint64_t dropped() const {
    std::uint64_t all = 0;
    for (const std::uint64_t count : drops) all += count;
    return all;
  }
};

/// Who takes the frames that come over a link: a stack, or a switch.
class FrameReceiver {
 public:
  virtual void receive(Packet&& frame, Nanos now) = 0;
  /// Why the frame of the last receive() was dropped; empty if it was not. For recordings.
  virtual std::string_view drop_reason() const { return {}; }

 protected:
  ~FrameReceiver() = default;
};

/// All calls, the destructor included, come with the pump's lock held.
class Link {
 public:
  virtual ~Link() = default;

  virtual const LinkCapabilities& capabilities() const = 0;
  /// Sends a frame, or keeps it until there is room, or drops and counts it.
  virtual void transmit(Packet&& frame) = 0;
  /// Hands frames that have come to `receiver`, up to `budget`, which it counts down. True when no
  /// more are there. Never calls the receiver at any other time.
  virtual bool deliver(FrameReceiver& receiver, Nanos now, int& budget) = 0;
  /// When deliver() has something to do even if nothing comes; kNever for most links.
  virtual Nanos next_deadline() const { return kNever; }

  /// Why the link carries nothing; Errno::ok while it does. A link whose device can come back
  /// returns to Errno::ok, and touches its owner at each change.
  Errno failure() const { return failure_; }
  const LinkCounters& counters() const { return counters_; }

 protected:
  Errno failure_ = Errno::ok;
  LinkCounters counters_;
};

}  // namespace vpollnet::host
