// SPDX-License-Identifier: MIT
// Links as JavaScript describes them and sees them: for networks and switches.
#pragma once

#include <optional>

#include "host/failure.hpp"
#include "host/links/link.hpp"
#include "host/links/link_port.hpp"
#include "host/network.hpp"
#include "node_api.hpp"

namespace vpollnet::binding {

/// NativeLink of ts/native.ts. EINVAL for an address that is none.
host::Failure to_link_spec(const Napi::Object& link, host::LinkSpec& spec);

/// NativeImpairments of ts/native.ts.
host::LinkImpairment to_impairment(const Napi::Object& object);

/// NativeLinkImpairment of ts/native.ts.
Napi::Value impairment_value(Napi::Env env, const std::optional<host::ImpairmentInfo>& in,
                             const std::optional<host::ImpairmentInfo>& out);

/// [errno, syscall, detail]
Napi::Value failure_value(Napi::Env env, const host::Failure& failure);

/// NativeLinkCounters of ts/native.ts.
Napi::Value link_counters_value(Napi::Env env, const host::LinkCounters& counters);

}  // namespace vpollnet::binding
