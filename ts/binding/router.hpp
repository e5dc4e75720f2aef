// SPDX-License-Identifier: MIT
// Router advertisements as JavaScript describes them.
#pragma once

#include <optional>

#include "node_api.hpp"
#include "stack.hpp"

namespace vpollnet::binding {

/// From NativeAdvertisement of ts/native.ts, checked there; none if an address is malformed.
std::optional<RouterAdvertisementConfig> to_router_advertisement(const Napi::Object& object);

}  // namespace vpollnet::binding
