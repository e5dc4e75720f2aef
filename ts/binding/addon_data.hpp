// SPDX-License-Identifier: MIT
// What the addon keeps for one environment. Nothing of JavaScript is static: each worker has its
// own.
#pragma once

#include <memory>
#include <vector>

#include "host/network.hpp"
#include "host/poll.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

struct AddonData {
  Napi::FunctionReference socket_class;
  Napi::FunctionReference watch_class;
  /// What the next NativeSocket or NativeWatch is made for. JavaScript cannot construct them.
  std::shared_ptr<host::SocketHandle> pending_socket;
  LoopWatch* pending_watch = nullptr;
  std::vector<host::PollEntry> poll_entries;  ///< scratch of poll()
  std::shared_ptr<Resources> resources;
};

inline AddonData& addon_data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace vpollnet::binding
