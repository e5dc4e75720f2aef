// SPDX-License-Identifier: MIT
// A stack that somebody else implements: the host's kernel, or a plug-in of the libioth kind.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "host/failure.hpp"
#include "host/network.hpp"
#include "host/sockets/bsd_calls.hpp"
#include "host/sockets/plugin.hpp"

namespace vpollnet::host {

class BsdSocket;

/// Thread-safe.
class BsdStack : public std::enable_shared_from_this<BsdStack> {
 public:
  /// The host's kernel, as this process's network namespace has it.
  static std::shared_ptr<BsdStack> open_kernel();
  /// Errors as Plugin::load.
  static Failure load(const PluginRequest& request, std::shared_ptr<BsdStack>& stack);
  ~BsdStack() { close(); }
  BsdStack(const BsdStack&) = delete;
  BsdStack& operator=(const BsdStack&) = delete;

  /// EACCES: ping sockets are not allowed to this user (/proc/sys/net/ipv4/ping_group_range).
  Result<std::shared_ptr<SocketHandle>> socket(socket::Type type);
  /// The number of an interface. ENODEV.
  Result<InterfaceId> interface_index(const std::string& name);

  /// Null once closed. Whoever holds them keeps a plug-in loaded.
  std::shared_ptr<const BsdCalls> calls();
  bool is_kernel() const { return path_.empty(); }

  /// The plug-in's file and licence expression, also after close(); empty for the kernel.
  const std::string& plugin_path() const { return path_; }
  const std::string& plugin_licence() const { return licence_; }

  /// Closes every socket (connections are reset) and the stack. Idempotent. The error is
  /// delstack's.
  Errno close();

  /// For the sockets: false if the stack is closed, and the socket is to be too.
  bool enlist(BsdSocket& socket);
  void strike(BsdSocket& socket);

 private:
  BsdStack(std::shared_ptr<Plugin> plugin, std::shared_ptr<const BsdCalls> calls)
      : plugin_(std::move(plugin)), calls_(std::move(calls)) {}

  std::string path_;
  std::string licence_;
  std::mutex mutex_;
  std::shared_ptr<Plugin> plugin_;         ///< null: the kernel, or closed
  std::shared_ptr<const BsdCalls> calls_;  ///< keeps the plug-in; null once closed
  std::unordered_map<BsdSocket*, std::weak_ptr<SocketHandle>> sockets_;
};

}  // namespace vpollnet::host
