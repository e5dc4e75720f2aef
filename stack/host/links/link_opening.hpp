// SPDX-License-Identifier: MIT
// From a link's URL to a link.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host/failure.hpp"
#include "host/links/device.hpp"
#include "host/links/link.hpp"
#include "host/links/reopening.hpp"
#include "host/links/replay.hpp"
#include "host/network.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

/// What a LinkSpec asks for, checked, with its device open. Made without the pump's lock: opening
/// a device may take long.
struct LinkPlan {
  std::string cable;               ///< the segment's name, if there is no device
  std::unique_ptr<Device> device;  ///< null: a cable
  std::optional<Recorded> replay;  ///< instead of either: a recording that is played
  double replay_speed = 1;
  OpenDevice reopen;        ///< opens the device anew if it dies; null: it stays dead
  bool reconnects = false;  ///< whether that is done where the spec does not say
  MacAddress mac;           ///< zero on a link without Ethernet, and on a promiscuous one
  std::uint32_t mtu = 0;
  bool offloads = true;
};

/// EINVAL for a URL, a MAC address or an MTU that cannot be; else what the device says.
Failure plan_link(const LinkSpec& spec, LinkPlan& plan);

/// With the pump's lock held. EADDRINUSE: the cable has the MAC address, or the switch, already.
Failure make_link(LinkPlan&& plan, Pump& pump, PumpMember& owner, std::unique_ptr<Link>& link);

}  // namespace vpollnet::host
