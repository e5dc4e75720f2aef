// SPDX-License-Identifier: MIT
// What the addon keeps for one environment. Nothing of JavaScript is static: each worker has its
// own.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "host/links/recorder.hpp"
#include "host/network.hpp"
#include "host/poll.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

struct AddonData {
  Napi::FunctionReference network_class;
  Napi::FunctionReference bsd_stack_class;
  Napi::FunctionReference socket_class;
  Napi::FunctionReference watch_class;
  Napi::FunctionReference recording_class;
  /// What the next NativeSocket, NativeWatch or NativeRecording is made for. JavaScript cannot
  /// construct them.
  std::shared_ptr<host::SocketHandle> pending_socket;
  LoopWatch* pending_watch = nullptr;
  std::pair<std::shared_ptr<host::Recording>, std::function<void()>> pending_recording;
  std::vector<host::PollEntry> poll_entries;  ///< scratch of poll()
  std::shared_ptr<Resources> resources;
};

inline AddonData& addon_data(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

}  // namespace vpollnet::binding
