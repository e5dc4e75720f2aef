// SPDX-License-Identifier: MIT
// Saying the same thing again changes nothing and costs no system call.
#include "support.hpp"

#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

using namespace vpoll_test;

namespace {

// From here on any system call of this thread but exit_group kills the process.
bool forbid_system_calls() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

TEST_CASE("six times +IN and once -IN is not readable") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    for (int i = 0; i < 6; i++) REQUIRE(fd.add(EPOLLIN) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLIN);
    REQUIRE(fd.del(EPOLLIN) == 0);
    CHECK(shown_by_poll(fd.get()) == 0);
  });
}

TEST_CASE("three times -OUT and once +OUT is writable") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLOUT);
    for (int i = 0; i < 3; i++) REQUIRE(fd.del(EPOLLOUT) == 0);
    CHECK(shown_by_poll(fd.get()) == 0);
    REQUIRE(fd.add(EPOLLOUT) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLOUT);
  });
}

TEST_CASE("taking back what is not there changes nothing") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLOUT);
    REQUIRE(fd.del(kAllSix & ~EPOLLOUT) == 0);
    CHECK(shown_by_poll(fd.get()) == EPOLLOUT);
  });
}

TEST_CASE("a call that changes no bit makes no system call") {
  on_each_backend([](const std::string&) {
    VpollFd fd(EPOLLIN | EPOLLOUT);
    int code = exit_code_of_child([&] {
      if (!forbid_system_calls()) return 2;
      bool right = true;
      for (int i = 0; i < 1000; i++) {
        right &= fd.add(EPOLLIN) == 0 && fd.add(EPOLLIN | EPOLLOUT) == 0;
        right &= fd.del(EPOLLPRI | EPOLLHUP) == 0 && fd.set(EPOLLIN | EPOLLOUT) == 0;
      }
      syscall(SYS_exit_group, right ? 0 : 1);
      return 3;
    });
    CHECK(code == 0);
  });
}

TEST_CASE("a call that changes a bit makes none with a table, and makes one with the others") {
  on_each_backend([](const std::string& backend) {
    VpollFd fd(EPOLLIN);
    int code = exit_code_of_child([&] {
      if (!forbid_system_calls()) return 2;
      for (int i = 0; i < 1000; i++) {
        fd.del(EPOLLIN);
        fd.add(EPOLLIN | EPOLLHUP);
        fd.set(EPOLLIN);
      }
      syscall(SYS_exit_group, 0);
      return 3;
    });
    // FUSE's server reads the events from shared memory: no call while nobody waits either.
    CHECK(code == (backend == "table" || backend == "fuse" ? 0 : 128 + SIGSYS));
    if (code == 0) CHECK(shown_by_poll(fd.get()) == EPOLLIN);
  });
}
