// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_calls.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace vpollnet::host {
namespace {

thread_local void* the_current_stack = nullptr;

/// Flags that ask for nothing: a call without flags can stand for one that has these alone.
constexpr int kPassive = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_TRUNC;

ioth_functions functions_of_the_c_library() {
  ioth_functions f{};
  f.socket = ::socket;
  f.close = ::close;
  f.bind = [](int fd, const sockaddr* address, socklen_t length) {
    return ::bind(fd, address, length);
  };
  f.connect = [](int fd, const sockaddr* address, socklen_t length) {
    return ::connect(fd, address, length);
  };
  f.listen = ::listen;
  f.accept = [](int fd, sockaddr* address, socklen_t* length) {
    return ::accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  };
  f.getsockname = [](int fd, sockaddr* address, socklen_t* length) {
    return ::getsockname(fd, address, length);
  };
  f.getpeername = [](int fd, sockaddr* address, socklen_t* length) {
    return ::getpeername(fd, address, length);
  };
  f.setsockopt = ::setsockopt;
  f.getsockopt = ::getsockopt;
  f.shutdown = ::shutdown;
  f.ioctl = ::ioctl;
  f.fcntl = ::fcntl;
  f.read = ::read;
  f.readv = ::readv;
  f.recv = ::recv;
  f.recvfrom = [](int fd, void* buffer, size_t length, int flags, sockaddr* from,
                  socklen_t* from_length) {
    return ::recvfrom(fd, buffer, length, flags, from, from_length);
  };
  f.recvmsg = ::recvmsg;
  f.write = ::write;
  f.writev = ::writev;
  f.send = ::send;
  f.sendto = [](int fd, const void* buffer, size_t length, int flags, const sockaddr* to,
                socklen_t to_length) { return ::sendto(fd, buffer, length, flags, to, to_length); };
  f.sendmsg = ::sendmsg;
  return f;
}

int* error_of_the_c_library() { return &errno; }

}  // namespace

const BsdCalls& BsdCalls::kernel() {
  static const BsdCalls the_kernel(functions_of_the_c_library(), nullptr, error_of_the_c_library,
                                   false);
  return the_kernel;
}

void* BsdCalls::current_stack() { return the_current_stack; }

void BsdCalls::forget_stack(const void* stack) {
  if (the_current_stack == stack) the_current_stack = nullptr;
}

template <class Function, class... Arguments>
Result<std::size_t> BsdCalls::call(Function* function, Arguments... arguments) const {
  if (function == nullptr) return Errno(ENOSYS);
  std::unique_lock lock(mutex_, std::defer_lock);
  if (serial_) lock.lock();
  if (stack_ != nullptr) the_current_stack = stack_;
  const auto result = function(arguments...);
  if (result >= 0) return static_cast<std::size_t>(result);
  const int error = *error_();
  return Errno(error > 0 ? error : EIO);  // an implementation that gives no reason
}

void BsdCalls::make_non_blocking(int fd) const {
  if (call(f_.fcntl, fd, F_SETFL, long{O_NONBLOCK})) return;
  int on = 1;
  if (call(f_.ioctl, fd, static_cast<unsigned long>(FIONBIO), &on)) return;
  // The descriptor is the kernel's, and for most plug-ins the socket too.
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
}

Result<int> BsdCalls::socket(int domain, int type, int protocol) const {
  auto made = call(f_.socket, domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (made && is_kernel()) return static_cast<int>(*made);
  if (!made && !is_kernel() && made.error() != Errno(ENOSYS)) {
    made = call(f_.socket, domain, type, protocol);  // it may not know SOCK_NONBLOCK
  }
  if (!made) return made.error();
  const int fd = static_cast<int>(*made);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  make_non_blocking(fd);
  return fd;
}

Result<int> BsdCalls::accept(int fd) const {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  const auto accepted = call(f_.accept, fd, reinterpret_cast<sockaddr*>(&peer), &length);
  if (!accepted) return accepted.error();
  const int connection = static_cast<int>(*accepted);
  if (!is_kernel()) {
    ::fcntl(connection, F_SETFD, FD_CLOEXEC);
    make_non_blocking(connection);
  }
  return connection;
}

Errno BsdCalls::close(int fd) const {
  if (f_.close == nullptr) return Errno(ENOSYS);
  std::unique_lock lock(mutex_, std::defer_lock);
  if (serial_) lock.lock();
  return f_.close(fd) == 0 ? Errno::ok : Errno(*error_());
}

Errno BsdCalls::bind(int fd, const sockaddr* address, socklen_t length) const {
  return call(f_.bind, fd, address, length).error();
}

Errno BsdCalls::connect(int fd, const sockaddr* address, socklen_t length) const {
  return call(f_.connect, fd, address, length).error();
}

Errno BsdCalls::listen(int fd, int backlog) const { return call(f_.listen, fd, backlog).error(); }

Errno BsdCalls::getsockname(int fd, sockaddr* address, socklen_t* length) const {
  return call(f_.getsockname, fd, address, length).error();
}

Errno BsdCalls::getpeername(int fd, sockaddr* address, socklen_t* length) const {
  return call(f_.getpeername, fd, address, length).error();
}

Errno BsdCalls::setsockopt(int fd, int level, int option, const void* value,
                           socklen_t length) const {
  return call(f_.setsockopt, fd, level, option, value, length).error();
}

Errno BsdCalls::getsockopt(int fd, int level, int option, void* value, socklen_t* length) const {
  return call(f_.getsockopt, fd, level, option, value, length).error();
}

Errno BsdCalls::shutdown(int fd, int how) const { return call(f_.shutdown, fd, how).error(); }

Errno BsdCalls::ioctl(int fd, unsigned long request, void* argument) const {
  return call(f_.ioctl, fd, request, argument).error();
}

// --- in ---

Result<std::size_t> BsdCalls::read(int fd, std::span<std::uint8_t> buffer) const {
  if (f_.read == nullptr) return recv(fd, buffer, 0);
  return call(f_.read, fd, buffer.data(), buffer.size());
}

Result<std::size_t> BsdCalls::recv(int fd, std::span<std::uint8_t> buffer, int flags) const {
  if (f_.recv == nullptr) return recvfrom(fd, buffer, flags, nullptr, nullptr);
  return call(f_.recv, fd, buffer.data(), buffer.size(), flags);
}

Result<std::size_t> BsdCalls::recvfrom(int fd, std::span<std::uint8_t> buffer, int flags,
                                       sockaddr* from, socklen_t* length) const {
  if (f_.recvfrom != nullptr) {
    return call(f_.recvfrom, fd, buffer.data(), buffer.size(), flags, from, length);
  }
  iovec piece{buffer.data(), buffer.size()};
  if (f_.recvmsg == nullptr && from == nullptr && (flags & ~kPassive) == 0) {
    if (f_.read != nullptr) return call(f_.read, fd, buffer.data(), buffer.size());
    return call(f_.readv, fd, &piece, 1);
  }
  msghdr message{};
  message.msg_name = from;
  message.msg_namelen = length == nullptr ? 0 : *length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const auto got = recvmsg(fd, &message, flags);
  if (got && length != nullptr) *length = message.msg_namelen;
  return got;
}

Result<std::size_t> BsdCalls::recvmsg(int fd, msghdr* message, int flags) const {
  return call(f_.recvmsg, fd, message, flags);
}

// --- out ---

Result<std::size_t> BsdCalls::send(int fd, std::span<const std::uint8_t> data, int flags) const {
  if (f_.send == nullptr) return sendto(fd, data, flags, nullptr, 0);
  return call(f_.send, fd, data.data(), data.size(), flags);
}

Result<std::size_t> BsdCalls::sendto(int fd, std::span<const std::uint8_t> data, int flags,
                                     const sockaddr* to, socklen_t length) const {
  if (f_.sendto != nullptr) {
    return call(f_.sendto, fd, data.data(), data.size(), flags, to, length);
  }
  iovec piece{const_cast<std::uint8_t*>(data.data()), data.size()};  // iovec serves both directions
  if (f_.sendmsg == nullptr && to == nullptr && (flags & ~kPassive) == 0) {
    if (f_.write != nullptr) return call(f_.write, fd, data.data(), data.size());
    return call(f_.writev, fd, &piece, 1);
  }
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(to);
  message.msg_namelen = length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  return sendmsg(fd, &message, flags);
}

Result<std::size_t> BsdCalls::sendmsg(int fd, const msghdr* message, int flags) const {
  return call(f_.sendmsg, fd, message, flags);
}

}  // namespace vpollnet::host
