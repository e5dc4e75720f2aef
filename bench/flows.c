// SPDX-License-Identifier: MIT
// Many TCP connections of the host's kernel: a server that keeps what comes, and clients.
//
//   bench_flows keep    ADDRESS PORT          accept all, close each when its peer has
//   bench_flows connect ADDRESS PORT COUNT    connect and close, 32 at a time; print seconds
//   bench_flows hold    ADDRESS PORT COUNT    connect all and keep them
//
// keep and hold print "ready" when they listen, or have all, and end with their standard input.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kAtOnce = 32, kEvents = 256 };

static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll = -1;

static void die(const char* what) {
  fprintf(stderr, "bench_flows: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void watch(int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void begin_connection(void) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr*)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    die("connect");
  }
  watch(fd, EPOLLOUT | EPOLLONESHOT);
}

static void keep(void) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) < 0) die("bind");
  if (listen(listener, 4096) < 0) die("listen");
  watch(listener, EPOLLIN);
  watch(0, EPOLLIN);
  printf("ready\n");
  fflush(stdout);
  struct epoll_event events[kEvents];
  for (;;) {
    const int count = epoll_wait(epoll, events, kEvents, -1);
    for (int i = 0; i < count; i++) {
      const int fd = events[i].data.fd;
      char byte;
      if (fd == 0) return;
      if (fd != listener) {
        if (recv(fd, &byte, 1, 0) <= 0) close(fd);
        continue;
      }
      for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        watch(peer, EPOLLIN);
      }
    }
  }
}

/// Until `count` connections are there; each is closed at once, or kept.
static void connect_all(long count, int kept) {
  struct epoll_event events[kEvents];
  long begun = 0;
  for (long done = 0; done < count;) {
    while (begun < count && begun - done < kAtOnce) {
      begin_connection();
      begun++;
    }
    const int ready = epoll_wait(epoll, events, kEvents, 30000);
    if (ready == 0) errno = ETIMEDOUT;
    if (ready <= 0) die("epoll_wait");
    for (int i = 0; i < ready; i++) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(events[i].data.fd, SOL_SOCKET, SO_ERROR, &error, &length);
      errno = error;
      if (error != 0) die("connect");
      if (!kept) close(events[i].data.fd);
      done++;
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: bench_flows keep|connect|hold ADDRESS PORT [COUNT]\n");
    return 2;
  }
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  address.sin_port = htons((uint16_t)atoi(argv[3]));
  if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) die("address");
  epoll = epoll_create1(0);
  if (epoll < 0) die("epoll_create1");
  if (strcmp(argv[1], "keep") == 0) {
    keep();
    return 0;
  }
  const int kept = strcmp(argv[1], "hold") == 0;
  const double begin = now();
  connect_all(argc > 4 ? atol(argv[4]) : 1, kept);
  if (kept) {
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
  } else {
    printf("%.9f\n", now() - begin);
  }
  return 0;
}
