// SPDX-License-Identifier: MIT
#include "host/links/vdeplug.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <span>

#include "host/links/vdeplug_relay.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kLeastFrame = 14;        // an Ethernet header
constexpr std::size_t kHeaderAndTag = 14 + 4;  // and an 802.1Q tag

/// A command that a module starts (cmd://) inherits the signal mask of the thread that opens it,
/// and would not end by SIGTERM where that is full, as in a thread that opens devices anew.
class SignalsAllowed {
 public:
  SignalsAllowed() {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, &saved_);
  }
  ~SignalsAllowed() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
  SignalsAllowed(const SignalsAllowed&) = delete;
  SignalsAllowed& operator=(const SignalsAllowed&) = delete;

 private:
  sigset_t saved_;
};

std::string advice(int error, const std::string& locator) {
  switch (error) {
  case ENOENT: return "there is no VDE switch; start one (vde_switch -s PATH), or correct the path";
  case ECONNREFUSED:
    return "nobody answers there: the switch has ended without cleaning up, start it again";
  case EACCES:
  case EPERM:
    return "this user may not use it (see --mode and --group of vde_switch(1)), or somebody else "
           "has that end of it";
  case EADDRINUSE:
  case EEXIST: return "another program has that end of it";
  case EINVAL: return "libvdeplug does not understand '" + locator + "'; see vde_plug(1)";
  default: return "libvdeplug refused '" + locator + "'";
  }
}

int socket_option(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

bool is_local_datagram_socket(int fd) {
  return socket_option(fd, SO_DOMAIN) == AF_UNIX && socket_option(fd, SO_TYPE) == SOCK_DGRAM;
}

}  // namespace

VdePlug::VdePlug(const VdeLibrary& library, std::uint32_t mtu)
    : library_(library), largest_(mtu + kHeaderAndTag),
      // One byte more than what may come, so that what is too long shows.
      buffer_(std::size_t{VdeLibrary::kMaxMtu} + kHeaderAndTag + 1) {
  capabilities_.mtu = mtu;
}

std::unique_ptr<VdePlug> VdePlug::open(const std::string& locator, std::uint32_t mtu,
                                       Failure& failure) {
  if (locator.find('\0') != std::string::npos) {
    failure = {Errno::invalid, "", "a locator of libvdeplug has no zero byte"};
    return nullptr;
  }
  const VdeLibrary* library = VdeLibrary::load(failure);
  if (library == nullptr) return nullptr;
  // Its parameters are not const, and modules do write to them.
  std::string mutable_locator = locator;
  std::string description = "vpollnet";
  VdeConnection* connection = nullptr;
  int error = 0;
  {
    const SignalsAllowed allowed;
    errno = 0;
    connection = library->open(mutable_locator.data(), description.data(),
                               VdeLibrary::kInterfaceVersion, nullptr);
    error = errno;
  }
  if (connection == nullptr) {
    // Modules that dislike what they read tell no reason.
    if (error == 0) error = EINVAL;
    failure = {Errno(error), "vde_open", advice(error, locator)};
    return nullptr;
  }
  return over(*library, connection, mtu, failure);
}

std::unique_ptr<VdePlug> VdePlug::over(const VdeLibrary& library, VdeConnection* connection,
                                       std::uint32_t mtu, Failure& failure) {
  std::unique_ptr<VdePlug> plug(new VdePlug(library, mtu));
  return plug->connect(connection, failure) ? std::move(plug) : nullptr;
}

bool VdePlug::connect(VdeConnection* connection, Failure& failure) {
  if (is_local_datagram_socket(library_.data_fd(connection))) {
    connection_ = connection;
    data_fd_ = library_.data_fd(connection);
    control_fd_ = library_.control_fd(connection);
    fcntl(data_fd_, F_SETFL, fcntl(data_fd_, F_GETFL) | O_NONBLOCK);
  } else {
    data_fd_ = relay_vde(library_, connection, failure);
    if (data_fd_ < 0) return false;
  }
  ready_fd_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event readable{};
  readable.events = EPOLLIN;
  if (ready_fd_ < 0 || epoll_ctl(ready_fd_, EPOLL_CTL_ADD, data_fd_, &readable) != 0 ||
      (control_fd_ >= 0 && epoll_ctl(ready_fd_, EPOLL_CTL_ADD, control_fd_, &readable) != 0)) {
    failure = {Errno(errno), "epoll_ctl", ""};
    return false;
  }
  return true;
}

VdePlug::~VdePlug() {
  if (ready_fd_ >= 0) ::close(ready_fd_);
  if (connection_ != nullptr) {
    library_.close(connection_);
  } else if (data_fd_ >= 0) {
    ::close(data_fd_);
  }
}

ssize_t VdePlug::receive() {
  if (connection_ == nullptr) return ::recv(data_fd_, buffer_.data(), buffer_.size(), 0);
  return library_.receive(connection_, buffer_.data(), buffer_.size(), 0);
}

bool VdePlug::peer_left() const {
  // "Silent after the initial handshake" (libvdeplug.h): what might be said is read and left alone.
  std::array<char, 256> said;
  ssize_t got = 0;
  do {
    got = ::recv(control_fd_, said.data(), said.size(), MSG_DONTWAIT);
  } while (got > 0 || (got < 0 && errno == EINTR));
  return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

Errno VdePlug::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  for (bool first = true; limit > 0; limit--, first = false) {
    const ssize_t got = receive();
    if (got < 0) {
      const int error = errno;
      // The end of the control connection is looked for behind all frames, and where none was the
      // reason to come here.
      if (first && control_fd_ >= 0 && peer_left()) return Errno::reset;
      if (error == EAGAIN || error == EWOULDBLOCK) return Errno::again;
      if (connection_ == nullptr && error != EINTR) return Errno::reset;
      continue;  // what a former write() to somebody who had left brought up
    }
    const auto size = static_cast<std::size_t>(got);
    if (size == 0 && connection_ == nullptr) return Errno::reset;  // the relay has ended
    if (size == 1) {
      drop(LinkDrop::wrong_peer);  // libvdeplug(3): "the sender was not allowed to send that"
    } else if (size < kLeastFrame) {
      drop(LinkDrop::malformed);
    } else if (size > largest_) {
      drop(LinkDrop::too_long);
    } else {
      frames.emplace_back(pool.copy(std::span(buffer_).first(size)));
    }
  }
  return Errno::ok;
}

Errno VdePlug::write(Packet& frame, BlockPool& /*pool*/) {
  const std::size_t size = frame.size();
  if (size > largest_) return Errno::message_size;
  frame.copy_out(0, std::span(buffer_).first(size));
  for (;;) {
    const ssize_t sent = connection_ == nullptr
                             ? ::send(data_fd_, buffer_.data(), size, MSG_NOSIGNAL)
                             : library_.send(connection_, buffer_.data(), size, 0);
    if (sent >= 0) return Errno::ok;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return Errno::again;
    if (errno != EINTR) return Errno(errno);
  }
}

bool VdePlug::is_gone(Errno error) const {
  // A switch tells its end by the control descriptor. A frame that nobody takes is not the end of a
  // peer to peer link (ptp), whose other side comes and goes.
  const bool relay_ended = error == Errno::reset || error == Errno::broken_pipe;
  return error == Errno::bad_descriptor || (connection_ == nullptr && relay_ended);
}

}  // namespace vpollnet::host
