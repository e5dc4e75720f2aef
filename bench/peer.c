// SPDX-License-Identifier: MIT
// The host kernel's end of a measurement: a small TCP program with nothing in its way.
//
//   bench_peer sink   ADDRESS PORT          accept one connection after the other, read it to its
//   end bench_peer source ADDRESS PORT BYTES    accept, send BYTES, close bench_peer echo   ADDRESS
//   PORT          accept, send back what comes bench_peer bulk   ADDRESS PORT BYTES    connect,
//   send BYTES, wait for the end; print seconds bench_peer rtt    ADDRESS PORT COUNT    connect,
//   exchange one byte COUNT times; print seconds
//
// Servers print "ready" when they listen, and end with their standard input.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 17];

static void die(const char* what) {
  fprintf(stderr, "bench_peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int tcp_socket(void) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

static void send_all(int fd, long long bytes) {
  while (bytes > 0) {
    const size_t step = bytes < 65536 ? (size_t)bytes : 65536;
    const ssize_t sent = send(fd, buffer, step, MSG_NOSIGNAL);
    if (sent < 0) die("send");
    bytes -= sent;
  }
}

static void serve(int fd, char mode, long long bytes) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ssize_t got = 0;
  if (mode == 's') {
    send_all(fd, bytes);
    shutdown(fd, SHUT_WR);
  }
  while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {
    if (mode == 'e') send_all(fd, got);
  }
  close(fd);
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: bench_peer sink|source|echo|bulk|rtt ADDRESS PORT [BYTES or COUNT]\n");
    return 2;
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) die("address");
  const long long amount = argc > 4 ? atoll(argv[4]) : 0;
  const int fd = tcp_socket();

  if (strcmp(argv[1], "bulk") == 0 || strcmp(argv[1], "rtt") == 0) {
    if (connect(fd, (struct sockaddr*)&address, sizeof address) < 0) die("connect");
    const double begin = now();
    if (argv[1][0] == 'b') {
      send_all(fd, amount);
      shutdown(fd, SHUT_WR);
      while (recv(fd, buffer, sizeof buffer, 0) > 0) {
      }
    } else {
      for (long long i = 0; i < amount; i++) {
        send_all(fd, 1);
        if (recv(fd, buffer, 1, 0) != 1) die("recv");
      }
    }
    printf("%.9f\n", now() - begin);
    return 0;
  }

  const char mode = strcmp(argv[1], "echo") == 0 ? 'e' : strcmp(argv[1], "source") == 0 ? 's' : 'r';
  if (bind(fd, (struct sockaddr*)&address, sizeof address) < 0) die("bind");
  if (listen(fd, 16) < 0) die("listen");
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0) die("poll");
    if (fds[1].revents != 0) return 0;
    const int connection = accept(fd, NULL, NULL);
    if (connection < 0) die("accept");
    serve(connection, mode, amount);
  }
}
