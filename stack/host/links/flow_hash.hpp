// SPDX-License-Identifier: MIT
// Which frames belong together: those of one flow must stay in order, different flows need not.
#pragma once

#include <cstdint>

#include "util/packet.hpp"

namespace vpollnet::host {

/// A hash of the flow of an Ethernet frame: addresses, protocol and ports of an IP packet that has
/// them, the addresses alone of a fragment, the MAC addresses of anything else.
std::uint32_t flow_hash(Packet& frame, BlockPool& pool);

}  // namespace vpollnet::host
