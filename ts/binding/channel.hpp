// SPDX-License-Identifier: MIT
// host::open_descriptor_channel and its like for JavaScript, which owns the descriptors that it
// gets.
#pragma once

#include "node_api.hpp"

namespace vpollnet::binding {

/// openChannel, receiveMessage, sendMessage, memoryFile.
void define_channel(Napi::Env env, Napi::Object exports);

}  // namespace vpollnet::binding
