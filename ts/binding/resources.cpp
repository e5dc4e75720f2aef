// SPDX-License-Identifier: MIT
#include "resources.hpp"

#include <cerrno>
#include <utility>
#include <vector>

namespace vpollnet::binding {

namespace {

/// How long the end of an environment waits for a recording to be written out.
constexpr unsigned kFlushMilliseconds = 1000;

/// Memory for a libuv handle of that type.
std::unique_ptr<std::max_align_t[]> handle_storage(int type) {
  const std::size_t size = uv_handle_size(type);
  return std::unique_ptr<std::max_align_t[]>(
      new std::max_align_t[(size + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t)]);
}

}  // namespace

LoopWatch::LoopWatch(std::shared_ptr<Resources> resources, std::unique_ptr<host::PollWatch> watch)
    : resources_(std::move(resources)), watch_(std::move(watch)),
      storage_(handle_storage(uv::kPollHandle)) {}

LoopWatch::~LoopWatch() = default;

LoopWatch* LoopWatch::open(std::shared_ptr<Resources> resources, uv_loop_s* loop,
                           std::unique_ptr<host::PollWatch> watch, int& error) {
  if (!uv::check_abi()) {
    error = ENOSYS;
    return nullptr;
  }
  std::unique_ptr<LoopWatch, void (*)(LoopWatch*)> self(
      new LoopWatch(std::move(resources), std::move(watch)), [](LoopWatch* w) { delete w; });
  self->resources_->watches_.insert(self.get());
  const int status = uv_poll_init(loop, self->handle(), self->watch_->fd());
  if (status != 0) {
    self->resources_->watches_.erase(self.get());
    error = -status;
    return nullptr;
  }
  uv_handle_set_data(self->handle(), self.get());
  return self.release();
}

int LoopWatch::start(Callback on_ready, void* owner) {
  on_ready_ = on_ready;
  owner_ = owner;
  return -uv_poll_start(handle(), uv::kReadable, [](uv_handle_s* handle, int, int) {
    auto* self = static_cast<LoopWatch*>(uv_handle_get_data(handle));
    if (self->owner_ != nullptr) self->on_ready_(self->owner_);
  });
}

void LoopWatch::close() {
  if (closing_) return;
  closing_ = true;
  owner_ = nullptr;
  if (holder_ != nullptr) *holder_ = nullptr;
  uv_close(handle(), [](uv_handle_s* closed) {
    auto* self = static_cast<LoopWatch*>(uv_handle_get_data(closed));
    const std::shared_ptr<Resources> resources = self->resources_;
    resources->watches_.erase(self);
    delete self;
    resources->finish_if_done();
  });
  // libuv waits for the descriptor no longer.
  watch_.reset();
}

LoopWake::LoopWake(std::shared_ptr<Resources> resources, Callback on_wake, void* owner)
    : resources_(std::move(resources)), storage_(handle_storage(uv::kAsyncHandle)),
      idle_storage_(handle_storage(uv::kIdleHandle)), loop_thread_(std::this_thread::get_id()),
      on_wake_(on_wake), owner_(owner) {}

std::shared_ptr<LoopWake> LoopWake::open(std::shared_ptr<Resources> resources, uv_loop_s* loop,
                                         Callback on_wake, void* owner, int& error) {
  if (!uv::check_abi()) {
    error = ENOSYS;
    return nullptr;
  }
  const std::shared_ptr<LoopWake> self(new LoopWake(std::move(resources), on_wake, owner));
  const int status = uv_async_init(loop, self->handle(), on_handle);
  if (status != 0) {
    error = -status;
    return nullptr;
  }
  uv_idle_init(loop, self->idle());  // never fails
  // It only has the loop take a turn without waiting: what keeps the loop alive is the other one.
  uv_unref(self->idle());
  uv_handle_set_data(self->handle(), self.get());
  uv_handle_set_data(self->idle(), self.get());
  self->open_handles_ = 2;
  self->self_ = self;
  self->open_ = true;
  self->resources_->wakes_.insert(self.get());
  return self;
}

void LoopWake::on_handle(uv_handle_s* handle) {
  auto* wake = static_cast<LoopWake*>(uv_handle_get_data(handle));
  if (wake->owner_ == nullptr) return;
  uv_idle_stop(wake->idle());
  wake->on_wake_(wake->owner_);
}

void LoopWake::wake() {
  if (std::this_thread::get_id() == loop_thread_) {
    if (open_) uv_idle_start(idle(), on_handle);
    return;
  }
  const std::lock_guard lock(mutex_);
  if (open_) uv_async_send(handle());
}

void LoopWake::keep_alive(bool on) {
  if (owner_ == nullptr) return;
  if (on) {
    uv_ref(handle());
  } else {
    uv_unref(handle());
  }
}

void LoopWake::close() {
  if (owner_ == nullptr) return;
  owner_ = nullptr;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  uv_close(handle(), on_closed);
  uv_close(idle(), on_closed);
}

void LoopWake::on_closed(uv_handle_s* closed) {
  auto* wake = static_cast<LoopWake*>(uv_handle_get_data(closed));
  if (--wake->open_handles_ > 0) return;
  const std::shared_ptr<LoopWake> self = std::move(wake->self_);
  self->storage_.reset();
  self->idle_storage_.reset();
  // Not when the last holder lets go, which may be on another thread.
  const std::shared_ptr<Resources> resources = std::move(self->resources_);
  resources->wakes_.erase(self.get());
  resources->finish_if_done();
}

ClosePhase::ClosePhase(std::shared_ptr<Resources> resources, Callback on_close,
                       std::shared_ptr<void*> owner)
    : resources_(std::move(resources)), storage_(handle_storage(uv::kCheckHandle)),
      on_close_(on_close), owner_(std::move(owner)) {}

bool ClosePhase::request(const std::shared_ptr<Resources>& resources, uv_loop_s* loop,
                         Callback on_close, std::shared_ptr<void*> owner) {
  if (!uv::check_abi()) return false;
  std::unique_ptr<ClosePhase> self(new ClosePhase(resources, on_close, std::move(owner)));
  auto* handle = reinterpret_cast<uv_handle_s*>(self->storage_.get());
  // The simplest handle there is: it is never started.
  if (uv_check_init(loop, handle) != 0) return false;
  uv_handle_set_data(handle, self.release());
  resources->close_phases_++;
  uv_close(handle, [](uv_handle_s* closed) {
    const std::unique_ptr<ClosePhase> phase(static_cast<ClosePhase*>(uv_handle_get_data(closed)));
    phase->resources_->close_phases_--;
    if (*phase->owner_ != nullptr) phase->on_close_(*phase->owner_);
    phase->resources_->finish_if_done();
  });
  return true;
}

std::shared_ptr<Resources> Resources::attach(napi_env env) {
  auto resources = std::make_shared<Resources>();
  if (napi_add_async_cleanup_hook(env, on_end, resources.get(), &resources->hook_) != napi_ok) {
    return nullptr;
  }
  resources->self_ = resources;
  return resources;
}

void Resources::on_end(napi_async_cleanup_hook_handle, void* self) {
  auto* resources = static_cast<Resources*>(self);
  const std::shared_ptr<Resources> alive = resources->shared_from_this();
  resources->ending_ = true;
  for (const auto& gateway : std::exchange(resources->gateways_, {})) gateway->close();
  for (const auto& network : std::exchange(resources->networks_, {})) network->close();
  // After the networks, whose resets may go through them.
  for (const auto& one : std::exchange(resources->switches_, {})) one->close();
  for (const auto& stack : std::exchange(resources->bsd_stacks_, {})) stack->close();
  // Their owners have finished them. What a reader does not take by then is given up.
  for (const auto& recording : std::exchange(resources->recordings_, {})) {
    recording->wait(kFlushMilliseconds);
  }
  const std::vector<LoopWatch*> watches(resources->watches_.begin(), resources->watches_.end());
  for (LoopWatch* watch : watches) watch->close();
  const std::vector<LoopWake*> wakes(resources->wakes_.begin(), resources->wakes_.end());
  for (LoopWake* wake : wakes) wake->close();
  resources->finish_if_done();
}

void Resources::finish_if_done() {
  if (!ending_ || !watches_.empty() || !wakes_.empty() || close_phases_ > 0 || hook_ == nullptr)
    return;
  // The environment may go: it waited for libuv's last close callback.
  napi_remove_async_cleanup_hook(std::exchange(hook_, nullptr));
  self_.reset();
}

}  // namespace vpollnet::binding
