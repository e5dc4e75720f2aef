// SPDX-License-Identifier: MIT
// From the URL of a link over a socket to its device: udp://, vxlan://, qemu:.
#pragma once

#include <cstdint>

#include "host/failure.hpp"
#include "host/links/link_url.hpp"
#include "host/links/reopening.hpp"

namespace vpollnet::host {

// `mtu` is what the user asks for, in bytes; 0: the kind's own. EINVAL where the URL makes no
// sense; else `open` opens what it names.

/// "udp://REMOTE:PORT?local=ADDRESS:PORT&dev=NAME&ttl=N&any"
Failure read_udp_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open);
/// "vxlan://REMOTE[:PORT][,REMOTE...]?vni=N&local=ADDRESS:PORT&dev=NAME&ttl=N&ports=N&any"
Failure read_vxlan_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open);
/// "qemu:stream://..." and "qemu:dgram://...". `can_be_lost`: a stream, which ends with its QEMU.
Failure read_qemu_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open, bool& can_be_lost);

}  // namespace vpollnet::host
