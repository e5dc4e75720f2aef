// SPDX-License-Identifier: MIT
// What the vpoll library costs on this kernel, each figure beside its peer's in the same run; a
// JSON object a line and round:
//
//   vpoll-cycle-BACKEND      IN is set, found by poll and taken back;
//                            an eventfd is written, polled, read
//   vpoll-cycle-BACKEND-out  the same with OUT
//   vpoll-syscalls-BACKEND   system calls an update while nobody waits, counted by ptrace;
//                            an eventfd's
//   vpoll-many-BACKEND       a change of one of 10,000 fds, that somebody waits for, by
//                            vpoll_ctl_many; the same by vpoll_ctl
//   vpoll-batch-dev          a change of one of 10,000 files of /dev/vpoll by one VPOLL_IOC_UPDATE
//                            for all; the same by an ioctl each
//
// VPOLL_BACKEND=NAME leaves out the other back ends.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/uapi/vpoll.h"
#include "vpoll/vpoll.h"

enum { kRounds = 7, kCycles = 20000, kSlowCycles = 1000, kUpdates = 1000, kFiles = 10000 };

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void must(int right, const char* what) {
  if (right) return;
  fprintf(stderr, "vpoll_cost: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void print_row(const char* name, const char* suffix, const char* rest, const char* unit,
                      const char* against, double value, double peer) {
  printf("{\"name\":\"vpoll-%s-%s%s\",\"unit\":\"%s\",\"against\":\"%s\",\"value\":%.3f,"
         "\"against_value\":%.3f}\n",
         name, suffix, rest, unit, against, value, peer);
  fflush(stdout);
}

/* ---- update, wait, take back ---- */

static void expect(int fd, short events) {
  struct pollfd entry = {.fd = fd, .events = events};
  must(poll(&entry, 1, 0) == 1, "poll");
}

static double vpoll_round(int fd, uint32_t event, int cycles) {
  const double begin = now();
  for (int i = 0; i < cycles; i++) {
    must(vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, event) == 0, "vpoll_ctl");
    expect(fd, (short)event);
    must(vpoll_ctl(fd, VPOLL_CTL_DELEVENTS, event) == 0, "vpoll_ctl");
  }
  return (now() - begin) / cycles;
}

static double eventfd_round(int fd, int cycles) {
  const double begin = now();
  uint64_t value = 1;
  for (int i = 0; i < cycles; i++) {
    must(write(fd, &value, sizeof value) == (ssize_t)sizeof value, "write");
    expect(fd, POLLIN);
    must(read(fd, &value, sizeof value) == (ssize_t)sizeof value, "read");
  }
  return (now() - begin) / cycles;
}

static void measure_cycle(const char* backend, uint32_t event, const char* rest) {
  const int cycles = strcmp(backend, "fuse") == 0 ? kSlowCycles : kCycles;
  const int vpoll = vpoll_create(0, FD_CLOEXEC);
  const int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  must(vpoll >= 0 && event_fd >= 0, "descriptors");
  for (int i = 0; i < kRounds; i++) {
    const double ours = vpoll_round(vpoll, event, cycles);
    const double theirs = eventfd_round(event_fd, cycles);
    print_row("cycle", backend, rest, "ns", "eventfd write, poll, read", ours, theirs);
  }
  vpoll_close(vpoll);
  close(event_fd);
}

/* ---- system calls an update ---- */

/* Between two calls of getppid; `fd` is a vpoll fd, or with `is_eventfd` an eventfd. */
static void update_between_marks(int fd, int is_eventfd) {
  uint64_t value = 1;
  syscall(SYS_getppid);
  for (int i = 0; i < kUpdates; i++) {
    if (is_eventfd) {
      if (write(fd, &value, sizeof value) < 0) _exit(1);
    } else if (vpoll_ctl(fd, i % 2 == 0 ? VPOLL_CTL_ADDEVENTS : VPOLL_CTL_DELEVENTS, EPOLLIN) !=
               0) {
      _exit(1);
    }
  }
  syscall(SYS_getppid);
}

static double system_calls_an_update(int fd, int is_eventfd) {
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(1);
    raise(SIGSTOP);
    update_between_marks(fd, is_eventfd);
    _exit(0);
  }
  int status = 0;
  must(waitpid(child, &status, 0) == child && WIFSTOPPED(status), "the traced child");
  must(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0,
       "ptrace");
  int marks = 0;
  int entering = 1;
  long calls = 0;
  for (;;) {
    must(ptrace(PTRACE_SYSCALL, child, 0, 0) == 0, "ptrace");
    must(waitpid(child, &status, 0) == child, "waitpid");
    if (!WIFSTOPPED(status)) break;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
    struct __ptrace_syscall_info info;
    if (entering && ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0) {
      if (info.entry.nr == SYS_getppid)
        marks++;
      else if (marks == 1)
        calls++;
    }
    entering = !entering;
  }
  must(WIFEXITED(status) && WEXITSTATUS(status) == 0 && marks == 2, "the traced child");
  return (double)calls / kUpdates;
}

static void measure_system_calls(const char* backend) {
  const int vpoll = vpoll_create(0, FD_CLOEXEC);
  const int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  must(vpoll >= 0 && event_fd >= 0, "descriptors");
  const double ours = system_calls_an_update(vpoll, 0);
  const double theirs = system_calls_an_update(event_fd, 1);
  print_row("syscalls", backend, "", "calls", "an eventfd written", ours, theirs);
  vpoll_close(vpoll);
  close(event_fd);
}

/* ---- many at once ---- */

/* How many fds of `each` descriptors the limit leaves room for. */
static int room_for(int wished, int each) {
  struct rlimit limit;
  must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
  if (limit.rlim_max < (rlim_t)wished * (rlim_t)each + 64) {
    struct rlimit more = {(rlim_t)wished * (rlim_t)each + 64, (rlim_t)wished * (rlim_t)each + 64};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return wished;
  }
  limit.rlim_cur = limit.rlim_max;
  must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
  const int room = (int)((limit.rlim_cur - 64) / (rlim_t)each);
  return room < wished ? room : wished;
}

/* Everything is reported, so that whoever waits is asleep again when the next change comes. */
static void collect(int set, int count) {
  static struct epoll_event got[kFiles];
  int seen = 0;
  while (seen < count) {
    int some = epoll_wait(set, got, kFiles, 1000);
    must(some > 0, "epoll_wait");
    seen += some;
  }
}

static void watch(int set, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void measure_many(const char* backend) {
  const int count = room_for(kFiles, strcmp(backend, "socketpair") == 0 ? 3 : 2);
  struct vpoll_change* changes = calloc((size_t)count, sizeof *changes);
  const int set = epoll_create1(EPOLL_CLOEXEC);
  must(changes != NULL && set >= 0, "memory");
  for (int i = 0; i < count; i++) {
    changes[i] = (struct vpoll_change){.fd = vpoll_create(0, FD_CLOEXEC), .events = EPOLLIN};
    must(changes[i].fd >= 0, "vpoll_create");
    watch(set, changes[i].fd);
  }
  for (int round = 0; round < kRounds; round++) {
    double took[2];
    for (int by_one_call = 0; by_one_call < 2; by_one_call++) {
      double begin = now();
      if (by_one_call) {
        for (int i = 0; i < count; i++) changes[i].op = VPOLL_CTL_ADDEVENTS;
        must(vpoll_ctl_many(changes, (size_t)count) == 0, "vpoll_ctl_many");
      } else {
        for (int i = 0; i < count; i++)
          must(vpoll_ctl(changes[i].fd, VPOLL_CTL_ADDEVENTS, EPOLLIN) == 0, "vpoll_ctl");
      }
      took[by_one_call] = (now() - begin) / count;
      collect(set, count);
      for (int i = 0; i < count; i++) changes[i].op = VPOLL_CTL_DELEVENTS;
      must(vpoll_ctl_many(changes, (size_t)count) == 0, "vpoll_ctl_many");
    }
    print_row("many", backend, "", "ns", "vpoll_ctl for each", took[1], took[0]);
  }
  for (int i = 0; i < count; i++) vpoll_close(changes[i].fd);
  close(set);
  free(changes);
}

static void measure_batch(void) {
  const int table = open(VPOLL_DEVICE, O_RDWR | O_CLOEXEC);
  if (table < 0 || ioctl(table, VPOLL_IOC_TABLE, (unsigned long)kFiles) != 0) return;
  const int count = room_for(kFiles, 1);
  struct vpoll_update* updates = calloc((size_t)count, sizeof *updates);
  int* fds = calloc((size_t)count, sizeof *fds);
  must(updates != NULL && fds != NULL, "memory");
  for (int i = 0; i < count; i++) {
    struct vpoll_file file = {.flags = VPOLL_FILE_CLOEXEC};
    must(ioctl(table, VPOLL_IOC_FILE, &file) >= 0, "VPOLL_IOC_FILE");
    fds[i] = file.fd;
    updates[i] = (struct vpoll_update){.index = file.index, .op = VPOLL_UPDATE_SET};
  }
  for (int round = 0; round < kRounds; round++) {
    for (int i = 0; i < count; i++) updates[i].events = EPOLLIN;
    struct vpoll_updates batch = {.entries = (uintptr_t)updates, .count = (uint32_t)count};
    double begin = now();
    must(ioctl(table, VPOLL_IOC_UPDATE, &batch) == count, "VPOLL_IOC_UPDATE");
    double ours = (now() - begin) / count;
    begin = now();
    for (int i = 0; i < count; i++)
      must(ioctl(fds[i], VPOLL_IO_SETEVENTS, (unsigned long)EPOLLOUT) >= 0, "VPOLL_IO_SETEVENTS");
    double theirs = (now() - begin) / count;
    print_row("batch", "dev", "", "ns", "an ioctl for each", ours, theirs);
  }
  for (int i = 0; i < count; i++) close(fds[i]);
  close(table);
  free(updates);
  free(fds);
}

int main(void) {
  static const char* const names[] = {"table", "eventfd", "dev", "socketpair", "fuse"};
  const char* setting = getenv("VPOLL_BACKEND");
  char* only = setting != NULL && *setting != '\0' ? strdup(setting) : NULL;
  int measured = 0;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (only != NULL && strcmp(only, names[i]) != 0) continue;
    setenv("VPOLL_BACKEND", names[i], 1);
    const int probe = vpoll_create(0, FD_CLOEXEC);
    if (probe < 0) {
      fprintf(stderr, "vpoll_cost: no %s here: %s\n", names[i], vpoll_error());
      continue;
    }
    vpoll_close(probe);
    measured++;
    measure_cycle(names[i], EPOLLIN, "");
    measure_cycle(names[i], EPOLLOUT, "-out");
    measure_system_calls(names[i]);
    measure_many(names[i]);
  }
  measure_batch();
  free(only);
  return measured > 0 ? 0 : 1;
}
