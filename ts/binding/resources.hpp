// SPDX-License-Identifier: MIT
// What one environment (the main thread, or a worker) has open outside of JavaScript.
#pragma once

#include <memory>
#include <unordered_set>

#include "host/links/recorder.hpp"
#include "host/network.hpp"
#include "host/poll.hpp"
#include "host/sockets/bsd_stack.hpp"
#include "host/switching/switch.hpp"
#include "node_api.hpp"
#include "uv.hpp"

namespace vpollnet::binding {

class Resources;

/// A PollWatch with the libuv handle that waits for it. Deletes itself when libuv lets go of the
/// handle. The owner is told through on_ready until it calls close().
class LoopWatch {
 public:
  using Callback = void (*)(void* owner);

  /// Null and an errno if libuv does not take the descriptor.
  static LoopWatch* open(std::shared_ptr<Resources> resources, uv_loop_s* loop,
                         std::unique_ptr<host::PollWatch> watch, int& error);
  host::PollWatch& watch() { return *watch_; }
  /// Calls `on_ready(owner)` each time that the watch's descriptor is readable.
  int start(Callback on_ready, void* owner);
  /// `holder` is a pointer to this object that close() makes null, whoever calls it.
  void set_holder(LoopWatch** holder) { holder_ = holder; }
  /// Tells the owner nothing any more. The object is gone some turns of the loop later.
  void close();

 private:
  LoopWatch(std::shared_ptr<Resources> resources, std::unique_ptr<host::PollWatch> watch);
  ~LoopWatch();

  uv_handle_s* handle() { return reinterpret_cast<uv_handle_s*>(storage_.get()); }

  std::shared_ptr<Resources> resources_;
  std::unique_ptr<host::PollWatch> watch_;
  std::unique_ptr<std::max_align_t[]> storage_;
  Callback on_ready_ = nullptr;
  void* owner_ = nullptr;
  LoopWatch** holder_ = nullptr;
  bool closing_ = false;
};

/// Closes everything when its environment ends, whatever JavaScript forgot: a worker that exits or
/// is terminated leaves no socket, no thread and no libuv handle behind.
/// Used on the environment's thread only.
class Resources : public std::enable_shared_from_this<Resources> {
 public:
  /// Hooks into the end of `env`.
  static std::shared_ptr<Resources> attach(napi_env env);

  void add(std::shared_ptr<host::Network> network) { networks_.insert(std::move(network)); }
  void remove(const std::shared_ptr<host::Network>& network) { networks_.erase(network); }
  void add(std::shared_ptr<host::Switch> one) { switches_.insert(std::move(one)); }
  void remove(const std::shared_ptr<host::Switch>& one) { switches_.erase(one); }
  void add(std::shared_ptr<host::BsdStack> stack) { bsd_stacks_.insert(std::move(stack)); }
  void remove(const std::shared_ptr<host::BsdStack>& stack) { bsd_stacks_.erase(stack); }
  void add(std::shared_ptr<host::Recording> recording) { recordings_.insert(std::move(recording)); }
  void remove(const std::shared_ptr<host::Recording>& recording) { recordings_.erase(recording); }

 private:
  friend class LoopWatch;
  static void on_end(napi_async_cleanup_hook_handle hook, void* self);
  void finish_if_done();

  std::unordered_set<std::shared_ptr<host::Network>> networks_;
  std::unordered_set<std::shared_ptr<host::Switch>> switches_;
  std::unordered_set<std::shared_ptr<host::BsdStack>> bsd_stacks_;
  std::unordered_set<std::shared_ptr<host::Recording>> recordings_;
  std::unordered_set<LoopWatch*> watches_;
  bool ending_ = false;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::shared_ptr<Resources> self_;  ///< until the hook has run
};

}  // namespace vpollnet::binding
