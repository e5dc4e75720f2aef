/* SPDX-License-Identifier: MIT */
/*
 * Frames a second that the kernel's bridge forwards between two veth pairs, the peer of
 * switch_forward.cpp:
 *
 *   bench_kernel_bridge SECONDS
 *
 * In a network namespace of its own, where bench/switch.ts has made  a0 -- a1 [bridge] b1 -- b0.
 * Frames of 60 bytes go into a0 by sendmmsg(2) on a packet socket, past the queueing discipline,
 * and are counted as b0 gets them; nobody reads them there, which is in the kernel's favour.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { kBatch = 64, kFrame = 60 };

static void fail(const char* what) {
  fprintf(stderr, "bench_kernel_bridge: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* From /proc/net/dev, which is the namespace's own; /sys may be another's. */
static uint64_t received(const char* interface) {
  FILE* file = fopen("/proc/net/dev", "r");
  if (file == NULL) fail("/proc/net/dev");
  char line[512];
  unsigned long long packets = 0;
  int found = 0;
  while (!found && fgets(line, sizeof line, file) != NULL) {
    char name[64];
    unsigned long long bytes;
    found = sscanf(line, " %63[^:]: %llu %llu", name, &bytes, &packets) == 3 &&
            strcmp(name, interface) == 0;
  }
  fclose(file);
  if (!found) {
    errno = ENODEV;
    fail(interface);
  }
  return packets;
}

/* A packet socket that sends into `interface`. */
static int open_sender(const char* interface) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  const struct sockaddr_ll address = {
      .sll_family = AF_PACKET,
      .sll_ifindex = (int)if_nametoindex(interface),
  };
  if (bind(fd, (const struct sockaddr*)&address, sizeof address) != 0) fail(interface);
  const int on = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) fail("setsockopt");
  return fd;
}

static void make_frame(unsigned char* frame, unsigned char to, unsigned char from) {
  memset(frame, 0, kFrame);
  frame[0] = frame[6] = 2;
  frame[5] = to;
  frame[11] = from;
  frame[12] = 0x88; /* IEEE 802 local experimental EtherType 1 */
  frame[13] = 0xb5;
}

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 1;
  unsigned char frame[kFrame];
  const int a0 = open_sender("a0");
  const int b0 = open_sender("b0");
  make_frame(frame, 1, 2); /* from now on the bridge knows both */
  if (send(b0, frame, sizeof frame, 0) < 0) fail("send");
  make_frame(frame, 2, 1);
  if (send(a0, frame, sizeof frame, 0) < 0) fail("send");

  struct iovec piece = {.iov_base = frame, .iov_len = sizeof frame};
  struct mmsghdr batch[kBatch];
  memset(batch, 0, sizeof batch);
  for (int i = 0; i < kBatch; i++) {
    batch[i].msg_hdr.msg_iov = &piece;
    batch[i].msg_hdr.msg_iovlen = 1;
  }
  const uint64_t before = received("b0");
  const int64_t begin = now();
  int64_t at = begin;
  for (; (double)(at - begin) < seconds * 1e9; at = now()) {
    for (int i = 0; i < 100; i++) {
      if (sendmmsg(a0, batch, kBatch, 0) < 0 && errno != ENOBUFS) fail("sendmmsg");
    }
  }
  printf("%.0f\n", (double)(received("b0") - before) * 1e9 / (double)(at - begin));
  return 0;
}
