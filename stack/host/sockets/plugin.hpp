// SPDX-License-Identifier: MIT
// A stack of a plug-in of the libioth kind (ioth.h): found, checked, loaded, opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/failure.hpp"
#include "host/sockets/bsd_calls.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

struct PluginLink {
  std::string locator;  ///< of the virtual network
  /// Whether its interface is set up and given what follows, by rtnetlink(7); else that is left to
  /// the plug-in.
  bool configured = false;
  std::vector<Cidr> addresses;
  std::vector<IpAddress> gateways;  ///< default routes
};

struct PluginRequest {
  std::string name;  ///< letters, digits and '_'
  std::string home;  ///< plug-ins in `home`/.ioth come first; empty: none there
  std::vector<PluginLink> links;
  std::string options;  ///< as the plug-in has them
  /// SPDX identifiers that are accepted; "NOASSERTION" stands for a plug-in that names none.
  std::vector<std::string> licences;
};

/// One stack, with the library that it is from. Calls into it may be made as long as the object
/// lives and end() was not called.
class Plugin {
 public:
  /// ENOENT: not found, with the paths that were looked at. ENOEXEC: dlopen(3) refused. EPERM: its
  /// licence is not accepted. EOPNOTSUPP: no plug-in of this kind. Else newstack's own error, or
  /// that of giving a link its addresses. The library's constructors run before its licence is
  /// read: dlopen(3) has no way around that.
  static Failure load(const PluginRequest& request, std::shared_ptr<Plugin>& plugin);
  ~Plugin() { end(); }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  const BsdCalls& calls() const { return *calls_; }
  const std::string& path() const { return path_; }
  /// The licence expression; empty if the plug-in names none.
  const std::string& licence() const { return licence_; }

  /// delstack, then dlclose. Idempotent. On failure of delstack the library stays loaded, as parts
  /// of it may still run.
  Errno end();

 private:
  Plugin() = default;
  Failure open(const PluginRequest& request);
  Failure check_licence_of(const PluginRequest& request);
  Failure new_stack(const PluginRequest& request);
  void* symbol(const std::string& suffix) const;
  Failure configure(const PluginRequest& request);
  Failure wrong_kind(const std::string& what) const;

  std::string path_;
  std::string prefix_;  ///< "ioth_NAME_"
  std::string licence_;
  bool reentrant_ = false;
  void* library_ = nullptr;
  void* stack_ = nullptr;
  int* (*error_)() = nullptr;
  ioth_functions functions_{};
  std::unique_ptr<BsdCalls> calls_;
};

}  // namespace vpollnet::host
