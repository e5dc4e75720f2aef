/* SPDX-License-Identifier: MIT */
/*
 * What the files of the FUSE back end share. Not installed.
 *
 *   backend_fuse.c   the back end: sessions, opening, changing events
 *   fuse_mount.c     the ways to a mounted file system that is in nobody's tree
 *   fuse_server.c    the process that answers the kernel
 */
#ifndef VPOLL__FUSE_INTERNAL_H
#define VPOLL__FUSE_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { VPOLL__FUSE_SLOTS = 1 << 20 }; /* files open at once */

/* The name of the one file in the mount. */
#define VPOLL__FUSE_FILE "vpoll"

/*
 * What the program asks of the server, through an open file, by a read at one of these offsets: the
 * number of the file's slot (4 bytes), or to wake whoever polls the file (reads nothing). A read
 * and not an ioctl, which FUSE refuses to a process that has changed its user since.
 */
#define VPOLL__FUSE_SLOT ((int64_t)1 << 40)
#define VPOLL__FUSE_WAKE ((int64_t)1 << 41)

/*
 * One for each open file, in memory that the server shares with every process that was forked
 * since. `mask` is written by the program, the rest by the server; `scheduled` is set by the server
 * when the kernel wants to hear of the next event, and cleared by whoever then asks for the wake.
 */
struct vpoll__fuse_slot {
  _Atomic uint32_t used; /* claimed by compare-and-swap: two servers may share the slots */
  _Atomic uint32_t mask; /* EPOLL bits */
  _Atomic uint32_t scheduled;
  uint32_t unused;
  uint64_t kernel_handle; /* of the poll that was scheduled last */
};

enum vpoll__fuse_way {
  VPOLL__FUSE_DIRECT,
  VPOLL__FUSE_USERNS,
  VPOLL__FUSE_FUSERMOUNT,
  VPOLL__FUSE_WAYS,
};

/* How a mount went, in shared memory: written by the server process, read by the program. */
struct vpoll__fuse_report {
  int error;      /* 0: mounted */
  bool complete;  /* `text` says it all, without the error */
  char text[104]; /* what failed */
  int device;     /* /dev/fuse, in the server's table of fds */
  int root;       /* the mount's root directory, likewise */
};

/* Mounts, in a process of its own with no fds beyond `keep`. Leaves nothing in any mount tree. */
void vpoll__fuse_mount(enum vpoll__fuse_way way, int keep, struct vpoll__fuse_report* report);

/* Answers requests until the kernel drops the connection, which it does with the last reference to
   the mount. */
void vpoll__fuse_serve(int device, struct vpoll__fuse_slot* slots);

/* fork(2) without the handlers of pthread_atfork. No signal tells of the child's end, and wait
   finds it with __WALL only. */
int vpoll__fuse_fork(unsigned long clone_flags);

int vpoll__fuse_send_fd(int socket, int fd);
/* -1 with errno; ECONNRESET where the other end was closed. */
int vpoll__fuse_receive_fd(int socket);

#endif /* VPOLL__FUSE_INTERNAL_H */
