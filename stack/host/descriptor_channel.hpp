// SPDX-License-Identifier: MIT
// Descriptors from another process: a pair of Unix sockets that keeps messages apart
// (SOCK_SEQPACKET) and carries them (unix(7), SCM_RIGHTS), and a file in memory for it to read.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "host/links/descriptor.hpp"
#include "util/result.hpp"

namespace vpollnet::host {

/// Both ends are closed on exec: give one to a child as a descriptor of its own.
Result<std::array<Descriptor, 2>> open_descriptor_channel();

struct ChannelMessage {
  std::string text;  ///< empty: the other end has gone
  std::vector<Descriptor> descriptors;
};

/// The next message, of up to 4096 bytes and 16 descriptors (EMSGSIZE for a longer one, which is
/// lost). Errno::again if there is none yet.
Result<ChannelMessage> receive_message(int channel);

/// Sends a message that is not empty, without waiting. Errno::broken_pipe: the other end has gone.
Errno send_message(int channel, std::string_view text);

/// An anonymous file with these bytes (memfd_create(2)).
Result<Descriptor> memory_file(std::string_view bytes);

}  // namespace vpollnet::host
