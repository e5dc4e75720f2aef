// SPDX-License-Identifier: MIT
// The BSD socket calls of one implementation: the C library's, or a plug-in's.
//
// Each call returns a Result in place of -1 and errno. A call that the implementation has not falls
// back to one that can stand for it, else it is ENOSYS:
//
//   read -> recv -> recvfrom -> recvmsg -> readv
//   send -> sendto -> sendmsg -> write -> writev
//
// and into the same lines from any place in them. read, readv, write and writev can stand only for
// calls without flags and address: a plug-in that has no others is of use for streams.
#pragma once

#include <mutex>
#include <span>

#include "host/sockets/ioth.h"
#include "util/result.hpp"

namespace vpollnet::host {

/// Thread-safe as far as the implementation is; a serial one is called by one thread at a time.
class BsdCalls {
 public:
  /// The C library's.
  static const BsdCalls& kernel();

  /// `stack` is what getstackdata() gives during the calls. `error` gives the place of errno, which
  /// a library in a namespace of its own has for itself. `serial`: one call at a time.
  BsdCalls(const ioth_functions& functions, void* stack, int* (*error)(), bool serial)
      : f_(functions), stack_(stack), error_(error), serial_(serial) {}
  BsdCalls(const BsdCalls&) = delete;
  BsdCalls& operator=(const BsdCalls&) = delete;

  /// The stack whose call this thread has made last; null if that stack is gone.
  static void* current_stack();
  /// To be called when `stack` is deleted.
  static void forget_stack(const void* stack);

  /// True for the C library's: v4-mapped addresses and accept4 are there.
  bool is_kernel() const { return this == &kernel(); }

  /// A socket that does not block and does not survive exec.
  Result<int> socket(int domain, int type, int protocol) const;
  /// The same for accept.
  Result<int> accept(int fd) const;
  Errno close(int fd) const;
  Errno bind(int fd, const sockaddr* address, socklen_t length) const;
  Errno connect(int fd, const sockaddr* address, socklen_t length) const;
  Errno listen(int fd, int backlog) const;
  Errno getsockname(int fd, sockaddr* address, socklen_t* length) const;
  Errno getpeername(int fd, sockaddr* address, socklen_t* length) const;
  Errno setsockopt(int fd, int level, int option, const void* value, socklen_t length) const;
  Errno getsockopt(int fd, int level, int option, void* value, socklen_t* length) const;
  Errno shutdown(int fd, int how) const;
  Errno ioctl(int fd, unsigned long request, void* argument) const;

  Result<std::size_t> read(int fd, std::span<std::uint8_t> buffer) const;
  Result<std::size_t> recv(int fd, std::span<std::uint8_t> buffer, int flags) const;
  /// `from` and `length` may be null.
  Result<std::size_t> recvfrom(int fd, std::span<std::uint8_t> buffer, int flags, sockaddr* from,
                               socklen_t* length) const;
  Result<std::size_t> recvmsg(int fd, msghdr* message, int flags) const;
  Result<std::size_t> send(int fd, std::span<const std::uint8_t> data, int flags) const;
  /// `to` may be null.
  Result<std::size_t> sendto(int fd, std::span<const std::uint8_t> data, int flags,
                             const sockaddr* to, socklen_t length) const;
  Result<std::size_t> sendmsg(int fd, const msghdr* message, int flags) const;

 private:
  template <class Function, class... Arguments>
  Result<std::size_t> call(Function* function, Arguments... arguments) const;
  void make_non_blocking(int fd) const;

  ioth_functions f_;
  void* stack_;
  int* (*error_)();
  bool serial_;
  mutable std::mutex mutex_;  ///< one call at a time, if `serial_`
};

}  // namespace vpollnet::host
