// SPDX-License-Identifier: MIT
#include "host/sockets/plugin.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/sockets/licence.hpp"
#include "host/sockets/rtnetlink.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kLongestName = 64;
constexpr std::size_t kLongestLicence = 512;

int* own_error() { return &errno; }

bool is_name(const std::string& name) {
  if (name.empty() || name.size() > kLongestName) return false;
  for (const char c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!fine && c != '_') return false;
  }
  return true;
}

/// The folder of the C library: where a distribution keeps libraries, such as
/// /usr/lib/x86_64-linux-gnu.
std::string library_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&::getpid), &info) == 0 || info.dli_fname == nullptr)
    return "";
  const std::string path = info.dli_fname;
  const std::size_t end = path.rfind('/');
  return end == std::string::npos ? "" : path.substr(0, end);
}

std::vector<std::string> folders(const std::string& home) {
  std::vector<std::string> result;
  if (!home.empty()) result.push_back(home + "/.ioth");
  result.emplace_back("/usr/local/lib/ioth");
  if (const std::string folder = library_folder(); !folder.empty()) {
    result.push_back(folder + "/ioth");
  }
  result.emplace_back("/usr/lib/ioth");
  return result;
}

/// A string that a plug-in exports as a pointer (libioth's way) or as an array; empty if neither.
std::string exported_text(void* address) {
  Dl_info info{};
  const ElfW(Sym)* symbol = nullptr;
  if (dladdr1(address, &info, reinterpret_cast<void**>(const_cast<ElfW(Sym)**>(&symbol)),
              RTLD_DL_SYMENT) == 0 ||
      symbol == nullptr) {
    return "";
  }
  const char* text = static_cast<const char*>(address);
  std::size_t limit = symbol->st_size;
  // A pointer has zeros at its upper end; a text of that length has one, at its last byte.
  if (limit == sizeof(void*) && strnlen(text, limit) != limit - 1) {
    std::memcpy(&text, address, sizeof text);
    if (text == nullptr) return "";
    limit = kLongestLicence + 1;
  }
  const std::size_t length = strnlen(text, limit);
  return length > kLongestLicence ? "" : std::string(text, length);
}

std::string last_dl_error() {
  const char* text = dlerror();
  return text == nullptr ? "dlopen gave no reason" : text;
}

}  // namespace

void* Plugin::symbol(const std::string& suffix) const {
  return dlsym(library_, (prefix_ + suffix).c_str());
}

Failure Plugin::wrong_kind(const std::string& what) const {
  return {Errno::not_supported, "load", path_ + " is no plug-in of this kind: it has " + what};
}

Failure Plugin::load(const PluginRequest& request, std::shared_ptr<Plugin>& plugin) {
  if (!is_name(request.name)) {
    return {Errno::invalid, "", "must be made of letters, digits and '_', and be at most 64 long"};
  }
  const std::shared_ptr<Plugin> candidate(new Plugin());
  candidate->prefix_ = "ioth_" + request.name + "_";
  Failure failure = candidate->open(request);
  if (!failure) failure = candidate->check_licence_of(request);
  if (!failure) failure = candidate->new_stack(request);
  if (!failure) failure = candidate->configure(request);
  if (!failure) plugin = candidate;
  return failure;
}

Failure Plugin::open(const PluginRequest& request) {
  std::string looked_at;
  for (const std::string& folder : folders(request.home)) {
    for (const bool reentrant : {true, false}) {
      const std::string path = folder + "/ioth_" + request.name + (reentrant ? "-r.so" : ".so");
      looked_at += (looked_at.empty() ? "" : ", ") + path;
      struct stat status {};
      if (::stat(path.c_str(), &status) != 0) {
        if (errno != ENOENT) looked_at += std::string(" (") + std::strerror(errno) + ")";
        continue;
      }
      path_ = path;
      reentrant_ = reentrant;
      // See ioth.h for what the two names mean.
      library_ = dlmopen(reentrant ? LM_ID_BASE : LM_ID_NEWLM, path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library_ == nullptr) {
        return {Errno(ENOEXEC), "dlopen", "cannot load " + path + ": " + last_dl_error()};
      }
      error_ = own_error;
      if (!reentrant) {
        // Its C library is another one than ours, with an errno of its own.
        if (void* place = dlsym(library_, "__errno_location")) {
          error_ = reinterpret_cast<int* (*)()>(place);
        }
      }
      return {};
    }
  }
  return {Errno(ENOENT), "load", "no such plug-in; looked at " + looked_at};
}

Failure Plugin::check_licence_of(const PluginRequest& request) {
  if (symbol("newstack") == nullptr) return wrong_kind("no " + prefix_ + "newstack");
  std::string text;
  if (void* place = symbol("license")) text = exported_text(place);
  licence_ = licence_expression(text);
  const std::string named = licence_.empty() ? "NOASSERTION" : licence_;
  const std::string advice = "; to load it all the same, add it to `licenses`";
  switch (check_licence(named, request.licences)) {
  case LicenceCheck::accepted: return {};
  case LicenceCheck::malformed:
    return {Errno::not_permitted, "load",
            path_ + " has a licence that is no SPDX expression: '" + licence_ + "'"};
  case LicenceCheck::refused: break;
  }
  if (licence_.empty()) {
    return {Errno::not_permitted, "load",
            path_ + " names no licence in " + prefix_ + "license; to load it all the same, add " +
                "'NOASSERTION' to `licenses`"};
  }
  return {Errno::not_permitted, "load",
          path_ + " is under '" + licence_ + "', which is not accepted" + advice};
}

Failure Plugin::new_stack(const PluginRequest& request) {
  functions_.getstackdata = BsdCalls::current_stack;
#define VPOLLNET_TAKE(name)                                                                        \
  functions_.name = reinterpret_cast<decltype(functions_.name)>(symbol(#name))
  VPOLLNET_TAKE(newstack);
  VPOLLNET_TAKE(delstack);
  VPOLLNET_TAKE(socket);
  VPOLLNET_TAKE(close);
  VPOLLNET_TAKE(bind);
  VPOLLNET_TAKE(connect);
  VPOLLNET_TAKE(listen);
  VPOLLNET_TAKE(accept);
  VPOLLNET_TAKE(getsockname);
  VPOLLNET_TAKE(getpeername);
  VPOLLNET_TAKE(setsockopt);
  VPOLLNET_TAKE(getsockopt);
  VPOLLNET_TAKE(shutdown);
  VPOLLNET_TAKE(ioctl);
  VPOLLNET_TAKE(fcntl);
  VPOLLNET_TAKE(read);
  VPOLLNET_TAKE(readv);
  VPOLLNET_TAKE(recv);
  VPOLLNET_TAKE(recvfrom);
  VPOLLNET_TAKE(recvmsg);
  VPOLLNET_TAKE(write);
  VPOLLNET_TAKE(writev);
  VPOLLNET_TAKE(send);
  VPOLLNET_TAKE(sendto);
  VPOLLNET_TAKE(sendmsg);
#undef VPOLLNET_TAKE

  std::vector<const char*> locators;
  for (const PluginLink& link : request.links) locators.push_back(link.locator.c_str());
  locators.push_back(nullptr);
  *error_() = 0;
  void* stack = functions_.newstack(locators.data(), request.options.c_str(), &functions_);
  if (stack == nullptr) {
    const int error = *error_();
    return {Errno(error > 0 ? error : EIO), prefix_ + "newstack",
            error > 0 ? path_ + " could not open its stack"
                      : path_ + " could not open its stack, and gave no errno"};
  }
  stack_ = stack;
  calls_ = std::make_unique<BsdCalls>(functions_, stack, error_, !reentrant_);
  for (const auto& [name, there] : {std::pair("socket", functions_.socket != nullptr),
                                    std::pair("close", functions_.close != nullptr)}) {
    if (!there) return wrong_kind("no " + prefix_ + name);
  }
  return {};
}

/// The interfaces but the loopback, by number, are those of the links in their order.
Failure Plugin::configure(const PluginRequest& request) {
  const bool wanted = std::any_of(request.links.begin(), request.links.end(),
                                  [](const PluginLink& link) { return link.configured; });
  if (!wanted) return {};
  Rtnetlink netlink(*calls_);
  Errno error = netlink.open();
  if (error != Errno::ok) {
    return {error, "load", path_ + " has no rtnetlink to give its links addresses by"};
  }
  const auto interfaces = netlink.interfaces();
  if (!interfaces) return {interfaces.error(), "load", path_ + " does not list its interfaces"};
  std::vector<InterfaceId> indices;
  for (const Rtnetlink::Interface& interface : *interfaces) {
    if (!interface.loopback)
      indices.push_back(interface.index);
    else if (error == Errno::ok)
      error = netlink.set_up(interface.index);
  }
  if (error != Errno::ok) return {error, "load", path_ + ": the loopback does not come up"};
  for (std::size_t i = 0; i < request.links.size(); i++) {
    const PluginLink& link = request.links[i];
    if (!link.configured) continue;
    const auto failed = [&](const std::string& what) {
      return Failure{error, "load", path_ + ": " + what + " of link '" + link.locator + "'"};
    };
    error = i < indices.size() ? netlink.set_up(indices[i]) : Errno::no_such_device;
    if (error != Errno::ok) return failed("the interface");
    for (const Cidr& address : link.addresses) {
      error = netlink.add_address(indices[i], address);
      if (error != Errno::ok) return failed("address " + address.to_string());
    }
    for (const IpAddress& gateway : link.gateways) {
      error = netlink.add_gateway(indices[i], gateway);
      if (error != Errno::ok) return failed("gateway " + gateway.to_string());
    }
  }
  return {};
}

Errno Plugin::end() {
  if (library_ == nullptr) return Errno::ok;
  if (void* stack = std::exchange(stack_, nullptr)) {
    BsdCalls::forget_stack(stack);
    *error_() = 0;
    if (functions_.delstack != nullptr && functions_.delstack(stack) != 0) {
      library_ = nullptr;
      const int error = *error_();
      return Errno(error > 0 ? error : EIO);
    }
  }
  dlclose(std::exchange(library_, nullptr));
  return Errno::ok;
}

}  // namespace vpollnet::host
