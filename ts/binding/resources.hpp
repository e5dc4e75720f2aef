// SPDX-License-Identifier: MIT
// What one environment (the main thread, or a worker) has open outside of JavaScript.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "host/gateway/gateway.hpp"
#include "host/links/recorder.hpp"
#include "host/network.hpp"
#include "host/poll.hpp"
#include "host/pump.hpp"
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

/// An event loop as somebody to be woken. Others may hold it for longer than the loop runs.
class LoopWake final : public host::Wakeable, public std::enable_shared_from_this<LoopWake> {
 public:
  using Callback = void (*)(void* owner);

  /// Null and an errno if libuv does not take it. Keeps the loop alive until close().
  static std::shared_ptr<LoopWake> open(std::shared_ptr<Resources> resources, uv_loop_s* loop,
                                        Callback on_wake, void* owner, int& error);
  /// `on_wake(owner)` is called in the loop's next turn, once for all calls that came before. Any
  /// thread; on the loop's own it costs no system call.
  void wake() override;
  void keep_alive(bool on);
  /// Tells the owner nothing any more.
  void close();

 private:
  LoopWake(std::shared_ptr<Resources> resources, Callback on_wake, void* owner);

  uv_handle_s* handle() { return reinterpret_cast<uv_handle_s*>(storage_.get()); }
  uv_handle_s* idle() { return reinterpret_cast<uv_handle_s*>(idle_storage_.get()); }
  static void on_handle(uv_handle_s* handle);
  static void on_closed(uv_handle_s* handle);

  std::shared_ptr<Resources> resources_;
  std::unique_ptr<std::max_align_t[]> storage_;
  std::unique_ptr<std::max_align_t[]> idle_storage_;
  const std::thread::id loop_thread_;
  int open_handles_ = 0;
  const Callback on_wake_;
  void* owner_;
  std::shared_ptr<LoopWake> self_;  ///< until libuv lets go of the handle
  std::mutex mutex_;
  bool open_ = false;  ///< guarded by mutex_: the handle may be used
};

/// The phase of an event loop's turn in which libuv says that handles are closed: behind what
/// setImmediate() asked for.
class ClosePhase {
 public:
  using Callback = void (*)(void* owner);

  /// `on_close(*owner)` is called once, in the next such phase, unless `*owner` is null by then.
  /// False if libuv does not take it.
  static bool request(const std::shared_ptr<Resources>& resources, uv_loop_s* loop,
                      Callback on_close, std::shared_ptr<void*> owner);

 private:
  ClosePhase(std::shared_ptr<Resources> resources, Callback on_close, std::shared_ptr<void*> owner);

  std::shared_ptr<Resources> resources_;
  std::unique_ptr<std::max_align_t[]> storage_;
  const Callback on_close_;
  const std::shared_ptr<void*> owner_;
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
  void add(std::shared_ptr<host::Gateway> gateway) { gateways_.insert(std::move(gateway)); }
  void remove(const std::shared_ptr<host::Gateway>& gateway) { gateways_.erase(gateway); }
  void add(std::shared_ptr<host::Recording> recording) { recordings_.insert(std::move(recording)); }
  void remove(const std::shared_ptr<host::Recording>& recording) { recordings_.erase(recording); }

 private:
  friend class LoopWatch;
  friend class LoopWake;
  friend class ClosePhase;
  static void on_end(napi_async_cleanup_hook_handle hook, void* self);
  void finish_if_done();

  std::unordered_set<std::shared_ptr<host::Network>> networks_;
  std::unordered_set<std::shared_ptr<host::Switch>> switches_;
  std::unordered_set<std::shared_ptr<host::BsdStack>> bsd_stacks_;
  std::unordered_set<std::shared_ptr<host::Gateway>> gateways_;
  std::unordered_set<std::shared_ptr<host::Recording>> recordings_;
  std::unordered_set<LoopWatch*> watches_;
  std::unordered_set<LoopWake*> wakes_;
  std::size_t close_phases_ = 0;  ///< requests that libuv has not answered
  bool ending_ = false;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::shared_ptr<Resources> self_;  ///< until the hook has run
};

}  // namespace vpollnet::binding
