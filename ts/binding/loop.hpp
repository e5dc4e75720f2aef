// SPDX-License-Identifier: MIT
// The sockets that an event loop serves by callbacks, as libuv serves the kernel's: one wake-up a
// batch, and each callback a turn of its own for promises and process.nextTick().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "host/network.hpp"
#include "host/ready_queue.hpp"
#include "node_api.hpp"
#include "resources.hpp"

namespace vpollnet::binding {

class NativeLoop : public Napi::ObjectWrap<NativeLoop> {
 public:
  static Napi::Function define(Napi::Env env);

  /// new NativeLoop(onReady, onClosed, onDeferred). onReady(place, events, got) is called for each
  /// socket that is ready, again and again until it returns 0, else with what it returned. `got` is
  /// undefined, or for a socket that wants kReadFirst what was read into the scratch: a count, or
  /// -errno (so that JavaScript makes no call for it). With kDeferred in what it returned,
  /// onDeferred() is called in between, for what calls back itself by way of C++ (TLS, HTTP/2): it
  /// has no callback scope around it, so that each of those callbacks is a turn of its own.
  /// onClosed() is called behind a closePhase(), until it returns 0. Never closed: it ends with its
  /// environment.
  explicit NativeLoop(const Napi::CallbackInfo& info);
  ~NativeLoop() override;

 private:
  /// Callbacks that one socket has in one turn: libuv reads a stream 32 times in a row.
  static constexpr int kCallsPerTurn = 32;
  // Also in ts/node/socket-loop.ts.
  static constexpr std::uint32_t kDeferred = 0x40000000;
  static constexpr std::uint32_t kReadFirst = 0x10000;  ///< of want(), besides POLLIN

  struct Slot {
    std::shared_ptr<host::SocketHandle> handle;  ///< null when free
    std::uint32_t generation = 0;  ///< so that an event of a former socket finds nobody
  };

  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value keep_alive(const Napi::CallbackInfo& info);
  Napi::Value close_phase(const Napi::CallbackInfo& info);
  Napi::Value set_scratch(const Napi::CallbackInfo& info);

  void on_wake();
  void on_close_phase();
  /// For onReady: what the socket has, if it asked for that and `events` say that there is
  /// something.
  std::optional<int> read_first(host::SocketHandle& handle, std::uint32_t events);
  /// What `function` returned; `otherwise` if it threw, after the process has been told; 0 if no
  /// JavaScript runs here any more.
  std::uint32_t call(const Napi::FunctionReference& function, std::uint32_t place,
                     std::uint32_t events, std::optional<int> got, std::uint32_t otherwise);

  void call_deferred();
  /// After a callback that threw: as when a listener of node:net throws, 'uncaughtException', or
  /// the end of the process. False if no JavaScript runs here any more.
  bool report_exception();

  std::shared_ptr<Resources> resources_;
  uv_loop_s* loop_ = nullptr;
  std::shared_ptr<LoopWake> wake_;
  std::shared_ptr<host::ReadyQueue> queue_;
  std::shared_ptr<void*> self_;  ///< points to this object; null once that is gone
  Napi::FunctionReference on_ready_;
  Napi::FunctionReference on_closed_;
  Napi::FunctionReference on_deferred_;
  Napi::Reference<Napi::Uint8Array> scratch_array_;
  std::span<std::uint8_t> scratch_;  ///< of that
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint64_t> batch_;
};

}  // namespace vpollnet::binding
