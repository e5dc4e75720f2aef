/* SPDX-License-Identifier: MIT */
/*
 * The server: a file system of one file, each opening of which is a vpoll fd. It runs in a process
 * of its own, and so calls nothing that takes a lock or memory from the C library: another thread
 * of the program may have held any lock at the moment of the fork.
 */
#define _GNU_SOURCE 1
#include "fuse__internal.h"
#include "vpoll__internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef FOPEN_NOFLUSH /* Linux 5.16 */
#define FOPEN_NOFLUSH (1 << 5)
#endif

enum {
  protocol_minor = 31, /* the newest whose messages are relied on: Linux 5.4 */
  file_node = FUSE_ROOT_ID + 1,
  request_bytes = FUSE_MIN_READ_BUFFER,
};

static const uint64_t forever = UINT64_MAX >> 2;

struct server {
  int device;
  struct vpoll__fuse_slot* slots;
  uint32_t lowest; /* no slot below it is free */
};

/* The kernel has forgotten a request whose sender was killed: ENOENT, which nobody minds. */
static int reply(const struct server* server, uint64_t unique, int error, const void* body,
                 size_t bytes) {
  struct fuse_out_header head = {
      .len = (uint32_t)(sizeof head + bytes), .error = -error, .unique = unique};
  struct iovec parts[] = {{&head, sizeof head}, {(void*)(uintptr_t)body, bytes}};
  return writev(server->device, parts, bytes == 0 ? 1 : 2) < 0 ? errno : 0;
}

/* POLL and EPOLL bits are the same numbers on most machines, not on all. */
static uint32_t poll_bits(uint32_t mask) {
  static const struct {
    uint32_t epoll;
    uint32_t poll;
  } bits[] = {
      {EPOLLIN, POLLIN},         {EPOLLPRI, POLLPRI},       {EPOLLOUT, POLLOUT},
      {EPOLLERR, POLLERR},       {EPOLLHUP, POLLHUP},       {EPOLLRDNORM, POLLRDNORM},
      {EPOLLRDBAND, POLLRDBAND}, {EPOLLWRNORM, POLLWRNORM}, {EPOLLWRBAND, POLLWRBAND},
      {EPOLLMSG, POLLMSG},       {EPOLLRDHUP, POLLRDHUP},
  };
  uint32_t shown = 0;
  for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
    if ((mask & bits[i].epoll) != 0) shown |= bits[i].poll;
  return shown;
}

static void init(const struct server* server, uint64_t unique) {
  struct fuse_init_out out = {
      .major = FUSE_KERNEL_VERSION, .minor = protocol_minor, .max_write = 4096, .time_gran = 1};
  reply(server, unique, 0, &out, sizeof out);
}

static struct fuse_attr attributes(uint64_t node) {
  return (struct fuse_attr){.ino = node,
                            .mode = node == FUSE_ROOT_ID ? S_IFDIR | 0500 : S_IFREG | 0600,
                            .nlink = 1,
                            .uid = geteuid(),
                            .gid = getegid(),
                            .blksize = 4096};
}

static void get_attributes(const struct server* server, const struct fuse_in_header* in) {
  struct fuse_attr_out out = {.attr_valid = forever, .attr = attributes(in->nodeid)};
  reply(server, in->unique, 0, &out, sizeof out);
}

static void look_up(const struct server* server, const struct fuse_in_header* in,
                    const char* name) {
  if (in->nodeid != FUSE_ROOT_ID || strcmp(name, VPOLL__FUSE_FILE) != 0) {
    reply(server, in->unique, ENOENT, NULL, 0);
    return;
  }
  struct fuse_entry_out out = {.nodeid = file_node,
                               .generation = 1,
                               .entry_valid = forever,
                               .attr_valid = forever,
                               .attr = attributes(file_node)};
  reply(server, in->unique, 0, &out, sizeof out);
}

static void free_slot(struct server* server, uint32_t slot) {
  atomic_store(&server->slots[slot].used, 0);
  if (slot < server->lowest) server->lowest = slot;
}

static void open_file(struct server* server, const struct fuse_in_header* in) {
  uint32_t slot = server->lowest;
  for (; slot < VPOLL__FUSE_SLOTS; slot++) {
    uint32_t nobody = 0;
    if (atomic_compare_exchange_strong(&server->slots[slot].used, &nobody, 1)) break;
  }
  server->lowest = slot;
  if (in->nodeid != file_node || slot == VPOLL__FUSE_SLOTS) {
    if (slot < VPOLL__FUSE_SLOTS) free_slot(server, slot);
    reply(server, in->unique, in->nodeid != file_node ? EACCES : ENFILE, NULL, 0);
    return;
  }
  server->lowest = slot + 1;
  atomic_store(&server->slots[slot].mask, 0);
  atomic_store(&server->slots[slot].scheduled, 0);
  struct fuse_open_out out = {.fh = slot, .open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH};
  if (reply(server, in->unique, 0, &out, sizeof out) != 0) free_slot(server, slot);
}

static void answer_poll(const struct server* server, uint64_t unique,
                        const struct fuse_poll_in* in) {
  struct vpoll__fuse_slot* slot = &server->slots[in->fh];
  if ((in->flags & FUSE_POLL_SCHEDULE_NOTIFY) != 0) {
    slot->kernel_handle = in->kh;
    /* Before the mask is read: a change that does not see it is seen here. */
    atomic_store(&slot->scheduled, 1);
  }
  struct fuse_poll_out out = {.revents = poll_bits(atomic_load(&slot->mask))};
  reply(server, unique, 0, &out, sizeof out);
}

static int wake(const struct server* server, const struct vpoll__fuse_slot* slot) {
  struct fuse_notify_poll_wakeup_out body = {.kh = slot->kernel_handle};
  struct fuse_out_header head = {.len = sizeof head + sizeof body, .error = FUSE_NOTIFY_POLL};
  struct iovec parts[] = {{&head, sizeof head}, {&body, sizeof body}};
  return writev(server->device, parts, 2) < 0 ? errno : 0;
}

static void answer_read(const struct server* server, uint64_t unique,
                        const struct fuse_read_in* in) {
  uint32_t slot = (uint32_t)in->fh;
  if (in->offset == VPOLL__FUSE_SLOT && in->size >= sizeof slot)
    reply(server, unique, 0, &slot, sizeof slot);
  else if (in->offset == VPOLL__FUSE_WAKE)
    reply(server, unique, wake(server, &server->slots[slot]), NULL, 0);
  else
    reply(server, unique, EINVAL, NULL, 0);
}

static void answer(struct server* server, const struct fuse_in_header* in, const void* body) {
  switch (in->opcode) {
  case FUSE_INIT: init(server, in->unique); break;
  case FUSE_LOOKUP: look_up(server, in, body); break;
  case FUSE_GETATTR: get_attributes(server, in); break;
  case FUSE_OPEN: open_file(server, in); break;
  case FUSE_POLL: answer_poll(server, in->unique, body); break;
  case FUSE_READ: answer_read(server, in->unique, body); break;
  case FUSE_RELEASE:
    free_slot(server, (uint32_t)((const struct fuse_release_in*)body)->fh);
    reply(server, in->unique, 0, NULL, 0);
    break;
  case FUSE_WRITE: reply(server, in->unique, EINVAL, NULL, 0); break;
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET:
    break; /* no answer is expected */
  /* The kernel does not ask again for what is not implemented. Of that, FLUSH and INTERRUPT matter:
     close(2) then waits for nobody, and a signal does not make a second request out of one. */
  default: reply(server, in->unique, ENOSYS, NULL, 0);
  }
}

void vpoll__fuse_serve(int device, struct vpoll__fuse_slot* slots) {
  static _Alignas(uint64_t) char request[request_bytes];
  struct server server = {.device = device, .slots = slots};
  for (;;) {
    ssize_t got = read(device, request, sizeof request);
    if (got >= (ssize_t)sizeof(struct fuse_in_header))
      answer(&server, (const struct fuse_in_header*)(const void*)request,
             request + sizeof(struct fuse_in_header));
    /* ENOENT: the request was taken back while it was being read. */
    else if (got >= 0 || (errno != EINTR && errno != ENOENT && errno != EAGAIN))
      return;
  }
}
