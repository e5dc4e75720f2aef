// SPDX-License-Identifier: MIT
#include "resources.hpp"

#include <cerrno>
#include <utility>
#include <vector>

namespace vpollnet::binding {

namespace {

/// How long the end of an environment waits for a recording to be written out.
constexpr unsigned kFlushMilliseconds = 1000;

}  // namespace

LoopWatch::LoopWatch(std::shared_ptr<Resources> resources, std::unique_ptr<host::PollWatch> watch)
    : resources_(std::move(resources)), watch_(std::move(watch)) {
  const std::size_t size = uv_handle_size(uv::kPollHandle);
  storage_.reset(
      new std::max_align_t[(size + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t)]);
}

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
  resources->finish_if_done();
}

void Resources::finish_if_done() {
  if (!ending_ || !watches_.empty() || hook_ == nullptr) return;
  // The environment may go: it waited for libuv's last close callback.
  napi_remove_async_cleanup_hook(std::exchange(hook_, nullptr));
  self_.reset();
}

}  // namespace vpollnet::binding
