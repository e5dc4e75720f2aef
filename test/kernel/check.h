/* SPDX-License-Identifier: MIT */
/* What the tests of the kernel module share. A test prints `ok NAME` or `not ok NAME: why`. */
#ifndef VPOLL_TEST_CHECK_H
#define VPOLL_TEST_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../kernel/uapi/vpoll.h"

static int check_failures;
static char check_why[256];

/* Within a test: the first reason is kept. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition) && !check_why[0])                                                             \
      snprintf(check_why, sizeof(check_why), "line %d: %s (errno %d)", __LINE__, #condition,       \
               errno);                                                                             \
  } while (0)

/* Compares two whole numbers. */
#define SAME(actual, expected)                                                                     \
  do {                                                                                             \
    long check_a = (long)(actual), check_e = (long)(expected);                                     \
    if (check_a != check_e && !check_why[0])                                                       \
      snprintf(check_why, sizeof(check_why), "line %d: %s is %#lx, not %#lx (errno %d)", __LINE__, \
               #actual, check_a, check_e, errno);                                                  \
  } while (0)

/* A call that fails with this errno. */
#define FAILS(call, number)                                                                        \
  do {                                                                                             \
    errno = 0;                                                                                     \
    long check_r = (long)(call);                                                                   \
    if ((check_r != -1 || errno != (number)) && !check_why[0])                                     \
      snprintf(check_why, sizeof(check_why), "line %d: %s gave %ld and errno %d, not %d",          \
               __LINE__, #call, check_r, errno, number);                                           \
  } while (0)

/* Room for one descriptor on its way. */
union in_flight {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr head;
};

/* By SCM_RIGHTS, with a byte; sendmsg's result. */
static inline ssize_t send_fd(int socket, int fd) {
  union in_flight control = {{0}};
  char byte = 1;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control)};
  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
  return sendmsg(socket, &message, 0);
}

/* What send_fd sent; -1 if nothing came. */
static inline int receive_fd(int socket) {
  union in_flight control = {{0}};
  char byte;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control)};
  int fd = -1;
  if (recvmsg(socket, &message, 0) == 1 && message.msg_controllen > 0)
    memcpy(&fd, CMSG_DATA(&control.head), sizeof(int));
  return fd;
}

/* Ends a test. */
static inline void report(const char* name) {
  if (check_why[0]) {
    printf("not ok %s: %s\n", name, check_why);
    ++check_failures;
  } else {
    printf("ok %s\n", name);
  }
  fflush(stdout);
  check_why[0] = 0;
}

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* What poll shows of all events, waiting up to timeout_ms. */
static inline int polled(int fd, short events, int timeout_ms) {
  struct pollfd p = {.fd = fd, .events = events};
  return poll(&p, 1, timeout_ms) < 0 ? -1 : p.revents;
}

static inline int open_device(void) {
  int fd = open(VPOLL_DEVICE, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    printf("not ok %s can be opened: errno %d\n", VPOLL_DEVICE, errno);
    exit(1);
  }
  return fd;
}

struct table {
  int fd;
  uint32_t words;
  size_t bytes;
  struct vpoll_word* map;
};

static inline struct table make_table(uint32_t words) {
  struct table t = {.fd = open_device(), .words = words};
  t.bytes = ((size_t)words * sizeof(struct vpoll_word) + 4095) & ~(size_t)4095;
  if (ioctl(t.fd, VPOLL_IOC_TABLE, words)) {
    printf("not ok a table of %u words can be made: errno %d\n", words, errno);
    exit(1);
  }
  t.map = mmap(NULL, t.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
  if (t.map == MAP_FAILED) {
    printf("not ok a table of %u words can be mapped: errno %d\n", words, errno);
    exit(1);
  }
  return t;
}

static inline void free_table(struct table* t) {
  munmap(t->map, t->bytes);
  close(t->fd);
}

/* A new file; its word's index in *index if that isn't NULL. */
static inline int make_file(const struct table* t, uint32_t events, uint32_t* index) {
  struct vpoll_file file = {.events = events, .flags = VPOLL_FILE_CLOEXEC};
  int fd = ioctl(t->fd, VPOLL_IOC_FILE, &file);
  if (fd >= 0 && index) *index = file.index;
  return fd;
}

static inline int update(const struct table* t, uint32_t index, uint16_t op, uint32_t events) {
  struct vpoll_update entry = {.index = index, .op = op, .events = events};
  struct vpoll_updates all = {.entries = (uintptr_t)&entry, .count = 1};
  return ioctl(t->fd, VPOLL_IOC_UPDATE, &all);
}

static inline uint32_t take_word(struct table* t, uint32_t index, uint32_t events) {
  return atomic_fetch_and((_Atomic uint32_t*)&t->map[index].events, ~events);
}

/* Adds events by the protocol. Returns whether a system call was needed. */
static inline bool add_word(struct table* t, uint32_t index, uint32_t events) {
  uint32_t before = atomic_fetch_or((_Atomic uint32_t*)&t->map[index].events, events);
  uint32_t gained = events & ~before;
  if (!(gained & atomic_load((_Atomic uint32_t*)&t->map[index].armed))) return false;
  return update(t, index, VPOLL_UPDATE_WAKE, 0) == 1;
}

#endif /* VPOLL_TEST_CHECK_H */
