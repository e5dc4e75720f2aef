// SPDX-License-Identifier: MIT
// Runs a test in a child process with a network namespace of its own, so that it may make devices.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

namespace vpollnet::host::test {

inline void write_file(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (::write(fd, text.data(), text.size()) < 0) { /* the test says what then fails */
  }
  ::close(fd);
}

/// Root needs no user namespace; anybody else is root in one.
inline bool enter_network_namespace() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWNET | (user == 0 ? 0 : CLONE_NEWUSER)) != 0) return false;
  if (user != 0) {
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
    write_file("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
  }
  return access("/dev/net/tun", R_OK | W_OK) == 0;
}

/// capset(2): this thread may do nothing that needs privilege from here on.
inline bool drop_privileges() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  return syscall(SYS_capset, &header, none.data()) == 0;
}

/// Calls `body` in a child, in a new network namespace. What it returns is the failure; empty is
/// good. False in `permitted` if this machine does not allow it, and then nothing was run.
template <class Body>
std::string in_network_namespace(bool& permitted, Body body) {
  constexpr int kNotPermitted = 77;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "pipe2";
  std::fflush(nullptr);  // or the child writes it once more
  std::cout.flush();
  const pid_t child = fork();
  if (child == 0) {
    if (!enter_network_namespace()) _exit(kNotPermitted);
    const std::string failure = body();
    if (::write(ends[1], failure.data(), failure.size()) < 0) _exit(1);
    _exit(failure.empty() ? 0 : 1);
  }
  ::close(ends[1]);
  std::string failure;
  std::array<char, 512> text;
  for (ssize_t got = 0; (got = ::read(ends[0], text.data(), text.size())) > 0;) {
    failure.append(text.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  permitted = !WIFEXITED(status) || WEXITSTATUS(status) != kNotPermitted;
  if (failure.empty() && permitted && status != 0) failure = "died: " + std::to_string(status);
  return failure;
}

/// in_network_namespace() with doctest's words: skipped with a message, but a failure where
/// VPOLLNET_CI is 1.
template <class Body>
void check_in_network_namespace(Body body) {
  bool permitted = false;
  const std::string failure = in_network_namespace(permitted, body);
  if (permitted) {
    CHECK(failure == "");
    return;
  }
  const char* strict = std::getenv("VPOLLNET_CI");
  if (strict != nullptr && std::string(strict) == "1") {
    FAIL("no network namespace or no /dev/net/tun here");
  }
  MESSAGE("skipped: no network namespace or no /dev/net/tun here");
}

/// Gives the host's side of a device an IPv4 address/24 and takes it up or down.
inline bool set_up_host_side(const char* device, const char* address, bool up = true) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, address, &in.sin_addr);
  std::memcpy(&request.ifr_addr, &in, sizeof in);
  bool good = ioctl(fd, SIOCSIFADDR, &request) == 0;
  inet_pton(AF_INET, "255.255.255.0", &in.sin_addr);
  std::memcpy(&request.ifr_netmask, &in, sizeof in);
  good = good && ioctl(fd, SIOCSIFNETMASK, &request) == 0;
  request.ifr_flags = up ? IFF_UP : 0;
  good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  ::close(fd);
  return good;
}

/// ip link delete
inline bool delete_device(const char* device) {
  struct {
    nlmsghdr header{};
    ifinfomsg info{};
  } request;
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_DELLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.info.ifi_index = static_cast<int>(if_nametoindex(device));
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  std::array<char, 512> answer{};
  const bool good =
      send(fd, &request, sizeof request, 0) > 0 && recv(fd, answer.data(), answer.size(), 0) >= 20;
  int error = 0;
  std::memcpy(&error, answer.data() + sizeof(nlmsghdr), sizeof error);
  ::close(fd);
  return good && error == 0;
}

}  // namespace vpollnet::host::test
