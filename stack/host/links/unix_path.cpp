// SPDX-License-Identifier: MIT
#include "host/links/unix_path.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace vpollnet::host {
namespace {

/// Whether a process has the socket of that path. Asked with another type than links use, so that
/// it is refused in any case and its owner sees nothing of it: EPROTOTYPE for a socket that
/// somebody has, ECONNREFUSED for a left one.
bool is_alive(const SocketAddress& address) {
  Failure failure;
  const Descriptor probe = open_socket(AF_UNIX, SOCK_SEQPACKET, failure);
  if (!probe) return true;
  return ::connect(probe.get(), address.get(), address.size()) == 0 || errno != ECONNREFUSED;
}

}  // namespace

UnixPath& UnixPath::operator=(UnixPath&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

void UnixPath::remove() {
  struct stat now {};
  if (path_.empty() || lstat(path_.c_str(), &now) != 0) return;
  if (now.st_dev == device_ && now.st_ino == inode_) ::unlink(path_.c_str());
}

Failure UnixPath::bind(const Descriptor& socket, const SocketAddress& address, UnixPath& path) {
  const std::string name = address.to_string();
  struct stat found {};
  if (lstat(name.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      return {Errno::address_in_use, "bind", "'" + name + "' exists, and is no socket"};
    }
    if (is_alive(address)) {
      return {Errno::address_in_use, "bind", "another program has the socket '" + name + "'"};
    }
    ::unlink(name.c_str());
  }
  if (::bind(socket.get(), address.get(), address.size()) != 0) {
    const int error = errno;
    return {Errno(error), "bind",
            error == ENOENT ? "the folder of '" + name + "' does not exist" : "'" + name + "'"};
  }
  struct stat made {};
  if (lstat(name.c_str(), &made) == 0) {
    path.path_ = name;
    path.device_ = made.st_dev;
    path.inode_ = made.st_ino;
  }
  return {};
}

}  // namespace vpollnet::host
