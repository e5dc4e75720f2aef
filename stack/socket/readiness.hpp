// SPDX-License-Identifier: MIT
// What a socket is ready for, as poll(2) and epoll(7) number it.
#pragma once

#include <cstdint>

namespace vpollnet::socket {

/// The values of EPOLLIN and its kin, which equal POLLIN and its kin on Linux.
enum Ready : std::uint32_t {
  kIn = 0x001,
  kPri = 0x002,
  kOut = 0x004,
  kErr = 0x008,
  kHup = 0x010,
  kRdHup = 0x2000,
};

class Socket;

/// Hears of each change of a socket's mask. Called with the pump's lock held, in the middle of
/// stack processing: must not call back into the stack.
class ReadinessSink {
 public:
  virtual void on_readiness(Socket& socket, std::uint32_t mask) = 0;

 protected:
  ~ReadinessSink() = default;
};

}  // namespace vpollnet::socket
