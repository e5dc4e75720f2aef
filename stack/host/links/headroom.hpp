// SPDX-License-Identifier: MIT
// Room for what a link puts in front of frames that are not its stack's own.
#pragma once

#include <cstddef>

#include "util/packet.hpp"

namespace vpollnet::host {

/// Makes prepend(count) possible, whatever is in the head: the head of a stack's own frame has room
/// for all headers, but of one that came from elsewhere, or was changed on its way, any number of
/// bytes may have been pulled there.
void make_headroom(Packet& frame, std::size_t count, BlockPool& pool);

}  // namespace vpollnet::host
