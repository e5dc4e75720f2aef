// SPDX-License-Identifier: MIT
// An error of the operating system, told so that a user can act on it.
#pragma once

#include <string>

#include "util/result.hpp"

namespace vpollnet::host {

/// An errno and, where it came from a system call or has something to add, the story behind it.
struct Failure {
  Errno error = Errno::ok;
  std::string syscall;  ///< "open", "ioctl", "bind", ...; empty if none
  std::string detail;   ///< what to do about it, for people; may be empty
  explicit operator bool() const { return error != Errno::ok; }
};

}  // namespace vpollnet::host
