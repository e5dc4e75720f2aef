// SPDX-License-Identifier: MIT
#include "host/links/vdeplug_relay.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include "host/signals_blocked.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kLeastFrame = 14;
constexpr std::size_t kMostFrame = VdeLibrary::kMaxMtu + 14 + 4;
/// A module that fails so often in a row, though it says that it is readable, is broken.
constexpr int kPatience = 64;

class Relay {
 public:
  Relay(const VdeLibrary& library, VdeConnection* connection, int socket)
      : library_(library), connection_(connection), socket_(socket) {}
  ~Relay() {
    library_.close(connection_);
    ::close(socket_);
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void run() {
    std::array<pollfd, 3> wait{
        pollfd{socket_, POLLIN, 0},
        pollfd{library_.data_fd(connection_), POLLIN | POLLRDHUP, 0},
        pollfd{library_.control_fd(connection_), POLLIN | POLLRDHUP, 0},
    };
    constexpr short kEnd = POLLHUP | POLLRDHUP | POLLERR | POLLNVAL;
    for (;;) {
      if (::poll(wait.data(), wait.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (wait[0].revents != 0 && !carry_out()) return;
      if (wait[1].revents != 0 && !carry_in((wait[1].revents & kEnd) != 0)) return;
      if (wait[2].revents != 0 && control_ended()) return;
    }
  }

 private:
  bool carry_out() {
    const ssize_t size = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    if (size <= 0) return size < 0 && errno == EINTR;
    // A frame that cannot be sent is lost, as on a wire.
    (void)library_.send(connection_, buffer_.data(), static_cast<std::size_t>(size), 0);
    return true;
  }

  /// `ending`: the descriptor says that no more will come once this is read.
  bool carry_in(bool ending) {
    const ssize_t size = library_.receive(connection_, buffer_.data(), buffer_.size(), 0);
    if (size <= 0) return !ending && ++failures_ < kPatience;
    failures_ = 0;
    if (static_cast<std::size_t>(size) < kLeastFrame) return true;
    return ::send(socket_, buffer_.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) > 0;
  }

  bool control_ended() const {
    std::array<char, 256> said;
    const int fd = library_.control_fd(connection_);
    const ssize_t got = ::recv(fd, said.data(), said.size(), MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  }

  const VdeLibrary& library_;
  VdeConnection* connection_;
  int socket_;
  int failures_ = 0;
  std::vector<char> buffer_ = std::vector<char>(kMostFrame);
};

}  // namespace

int relay_vde(const VdeLibrary& library, VdeConnection* connection, Failure& failure) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    failure = {Errno(errno), "socketpair", ""};
    library.close(connection);
    return -1;
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  auto relay = std::make_unique<Relay>(library, connection, ends[1]);
  try {
    const SignalsBlocked blocked;
    std::thread thread([relay = std::move(relay)] { relay->run(); });
    pthread_setname_np(thread.native_handle(), "vpollnet-vde");
    // It may wait in a call of the module's, which nothing ends: nobody can wait for it in turn.
    thread.detach();
  } catch (const std::system_error& error) {
    failure = {Errno(error.code().value()), "pthread_create", ""};
    ::close(ends[0]);
    return -1;
  }
  return ends[0];
}

}  // namespace vpollnet::host
