// SPDX-License-Identifier: MIT
// libvdeplug, taken in at run time: nothing is needed to build, and a machine without it lacks only
// the links that need it. The calls are those of libvdeplug.h, interface version 1, which
// libvdeplug 2 to 4 have (libvdeplug(3)).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "host/failure.hpp"

namespace vpollnet::host {

/// One connection of libvdeplug's, VDECONN there.
struct VdeConnection;

struct VdeLibrary {
  /// vde_open_real(): the locator, a description for people, the interface version, options (none).
  VdeConnection* (*open)(char* locator, char* description, int version, void* options) = nullptr;
  /// The frame's size; 0 at the end, -1 and errno, or 1 for a frame that is to be dropped. `flags`
  /// is ignored by most modules.
  ssize_t (*receive)(VdeConnection* connection, void* buffer, std::size_t size,
                     int flags) = nullptr;
  ssize_t (*send)(VdeConnection* connection, const void* buffer, std::size_t size,
                  int flags) = nullptr;
  /// Readable when receive() has a frame.
  int (*data_fd)(VdeConnection* connection) = nullptr;
  /// At its end when the other side is gone; -1 where the module has none.
  int (*control_fd)(VdeConnection* connection) = nullptr;
  int (*close)(VdeConnection* connection) = nullptr;

  /// The library, loaded at the first call that finds it and for good. Null, and `failure` says
  /// what to install, if it is not there. Thread-safe.
  static const VdeLibrary* load(Failure& failure);

  static constexpr int kInterfaceVersion = 1;     ///< LIBVDEPLUG_INTERFACE_VERSION
  static constexpr std::uint32_t kMaxMtu = 9216;  ///< VDE_MAXMTU
};

}  // namespace vpollnet::host
