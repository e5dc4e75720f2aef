// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_stack.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>
#include <vector>

#include "host/sockets/bsd_socket.hpp"

namespace vpollnet::host {

std::shared_ptr<BsdStack> BsdStack::open_kernel() {
  // Nobody owns the kernel's calls.
  const std::shared_ptr<const BsdCalls> calls(&BsdCalls::kernel(), [](const BsdCalls*) {});
  return std::shared_ptr<BsdStack>(new BsdStack(nullptr, calls));
}

Failure BsdStack::load(const PluginRequest& request, std::shared_ptr<BsdStack>& stack) {
  std::shared_ptr<Plugin> plugin;
  const Failure failure = Plugin::load(request, plugin);
  if (failure) return failure;
  const std::shared_ptr<const BsdCalls> calls(plugin, &plugin->calls());
  stack = std::shared_ptr<BsdStack>(new BsdStack(plugin, calls));
  stack->path_ = plugin->path();
  stack->licence_ = plugin->licence();
  return {};
}

std::shared_ptr<const BsdCalls> BsdStack::calls() {
  const std::lock_guard guard(mutex_);
  return calls_;
}

Result<std::shared_ptr<SocketHandle>> BsdStack::socket(socket::Type type) {
  const std::shared_ptr<const BsdCalls> calls = this->calls();
  if (calls == nullptr) return Errno::bad_descriptor;
  const auto made = std::make_shared<BsdSocket>(shared_from_this(), calls, type);
  const Errno error = made->open();
  if (error != Errno::ok) return error;
  if (!enlist(*made)) return Errno::bad_descriptor;
  return std::shared_ptr<SocketHandle>(made);
}

Result<InterfaceId> BsdStack::interface_index(const std::string& name) {
  const std::shared_ptr<const BsdCalls> calls = this->calls();
  if (calls == nullptr) return Errno::bad_descriptor;
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return Errno::no_such_device;
  std::memcpy(request.ifr_name, name.data(), name.size());
  const auto fd = calls->socket(AF_INET, SOCK_DGRAM, 0);
  if (!fd) return fd.error();
  const Errno error = calls->ioctl(*fd, SIOCGIFINDEX, &request);
  calls->close(*fd);
  if (error != Errno::ok) return error;
  return static_cast<InterfaceId>(request.ifr_ifindex);
}

bool BsdStack::enlist(BsdSocket& socket) {
  const std::lock_guard guard(mutex_);
  if (calls_ == nullptr) return false;
  sockets_.emplace(&socket, socket.weak_from_this());
  return true;
}

void BsdStack::strike(BsdSocket& socket) {
  const std::lock_guard guard(mutex_);
  sockets_.erase(&socket);
}

Errno BsdStack::close() {
  std::shared_ptr<Plugin> plugin;
  std::unordered_map<BsdSocket*, std::weak_ptr<SocketHandle>> sockets;
  {
    const std::lock_guard guard(mutex_);
    plugin = std::move(plugin_);
    calls_.reset();
    sockets = std::exchange(sockets_, {});
  }
  for (const auto& [socket, handle] : sockets) {
    if (const auto alive = handle.lock()) socket->reset();
  }
  // The last socket lets go of it otherwise: one that another thread is just accepting.
  if (plugin == nullptr || plugin.use_count() > 1) return Errno::ok;
  return plugin->end();
}

}  // namespace vpollnet::host
