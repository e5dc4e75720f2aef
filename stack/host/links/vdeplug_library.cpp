// SPDX-License-Identifier: MIT
#include "host/links/vdeplug_library.hpp"

#include <dlfcn.h>

#include <cerrno>
#include <mutex>

namespace vpollnet::host {
namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

const VdeLibrary* VdeLibrary::load(Failure& failure) {
  static std::mutex mutex;
  static VdeLibrary library;
  static bool loaded = false;

  const std::lock_guard guard(mutex);
  if (loaded) return &library;
  void* handle = dlopen("libvdeplug.so.2", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = dlerror();
    const std::string why = text == nullptr ? "" : text;
    handle = dlopen("libvdeplug.so", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      failure = {Errno(ENOENT), "dlopen",
                 "this link needs libvdeplug, which cannot be loaded here; install it with: " +
                     std::string("sudo apt install libvdeplug2 (") + why + ")"};
      return nullptr;
    }
  }
  if (!find(handle, "vde_open_real", library.open) || !find(handle, "vde_recv", library.receive) ||
      !find(handle, "vde_send", library.send) || !find(handle, "vde_datafd", library.data_fd) ||
      !find(handle, "vde_ctlfd", library.control_fd) || !find(handle, "vde_close", library.close)) {
    dlclose(handle);
    failure = {Errno(ENOSYS), "dlsym",
               "the libvdeplug of this machine lacks calls of libvdeplug 4; install libvdeplug2"};
    return nullptr;
  }
  // Never unloaded: a thread that opens a connection may outlive its link.
  loaded = true;
  return &library;
}

}  // namespace vpollnet::host
