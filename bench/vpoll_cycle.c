// SPDX-License-Identifier: MIT
// What it costs to set a bit, find it, take it back and find it gone: vpoll against an eventfd that
// is written, waited for, read and waited for. In turn, several rounds; a JSON object a line.
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vpoll/vpoll.h"

enum { kRounds = 7, kCycles = 100000 };

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void expect(int fd, int ready) {
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  if (poll(&entry, 1, 0) != ready) {
    fprintf(stderr, "vpoll_cycle: poll did not find %d\n", ready);
    exit(1);
  }
}

static double vpoll_round(int fd) {
  const double begin = now();
  for (int i = 0; i < kCycles; i++) {
    if (vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, EPOLLIN) < 0) exit(1);
    expect(fd, 1);
    if (vpoll_ctl(fd, VPOLL_CTL_DELEVENTS, EPOLLIN) < 0) exit(1);
    expect(fd, 0);
  }
  return (now() - begin) / kCycles;
}

static double eventfd_round(int fd) {
  const double begin = now();
  uint64_t value = 1;
  for (int i = 0; i < kCycles; i++) {
    if (write(fd, &value, sizeof value) < 0) exit(1);
    expect(fd, 1);
    if (read(fd, &value, sizeof value) < 0) exit(1);
    expect(fd, 0);
  }
  return (now() - begin) / kCycles;
}

int main(void) {
  const int vpoll = vpoll_create(0, 0);
  const int event = eventfd(0, EFD_NONBLOCK);
  if (vpoll < 0 || event < 0) {
    fprintf(stderr, "vpoll_cycle: %s\n", strerror(errno));
    return 1;
  }
  for (int i = 0; i < kRounds; i++) {
    const double ours = vpoll_round(vpoll);
    const double theirs = eventfd_round(event);
    printf("{\"backend\":\"%s\",\"value\":%.1f,\"against\":%.1f}\n", vpoll_backend(vpoll), ours,
           theirs);
  }
  vpoll_close(vpoll);
  close(event);
  return 0;
}
