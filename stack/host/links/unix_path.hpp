// SPDX-License-Identifier: MIT
// The path of a Unix socket that this process made.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "host/failure.hpp"
#include "host/links/descriptor.hpp"
#include "host/links/socket_address.hpp"

namespace vpollnet::host {

/// Removes its path at the end, if the same socket is still there.
class UnixPath {
 public:
  UnixPath() = default;
  UnixPath(UnixPath&& other) noexcept { *this = std::move(other); }
  UnixPath& operator=(UnixPath&& other) noexcept;
  ~UnixPath() { remove(); }

  /// Binds `socket`. What a process that died has left behind is replaced: a socket that nobody
  /// has. EADDRINUSE if somebody does, or the path is something else; else errors of bind(2).
  static Failure bind(const Descriptor& socket, const SocketAddress& address, UnixPath& path);

 private:
  void remove();

  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace vpollnet::host
