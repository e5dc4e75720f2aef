/* SPDX-License-Identifier: MIT */
/* eventfd with EFD_VPOLL: a kernel with the patch. Every event exact; one write(2) a change. */
#define _GNU_SOURCE 1
#include "../kernel/uapi/vpoll.h"
#include "vpoll__internal.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static uint32_t eventfd_supported(void) { return VPOLL__EVENTS; }
static uint32_t eventfd_exact(uint32_t done) {
  (void)done;
  return VPOLL__EVENTS;
}

static int eventfd_probe(char why[VPOLL__WHY]) {
  int fd = eventfd(EPOLLPRI, EFD_VPOLL | EFD_CLOEXEC);
  if (fd < 0) {
    int error = vpoll__because(why, "eventfd(EFD_VPOLL)", errno);
    return error == EINVAL || error == ENOSYS ? EOPNOTSUPP : error;
  }
  /* The flag's bit might mean something else one day: an eventfd that counts shows no PRI. */
  struct pollfd shown = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};
  int ready = poll(&shown, 1, 0);
  close(fd);
  if (ready == 1 && shown.revents == POLLPRI) return 0;
  return vpoll__because(why, "eventfd(EFD_VPOLL) makes no vpoll fd", EOPNOTSUPP);
}

static int eventfd_open(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done) {
  (void)done;
  *fd = eventfd(events, EFD_VPOLL | EFD_CLOEXEC);
  if (*fd < 0) return errno;
  ends->mine = vpoll__dup_high(*fd);
  if (ends->mine >= 0) return 0;
  int error = errno;
  close(*fd);
  return error;
}

static int eventfd_apply(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  (void)done;
  uint64_t word = EFD_VPOLL_MODEVENTS | events;
  return write(ends->mine, &word, sizeof word) == (ssize_t)sizeof word ? 0 : errno;
}

static int eventfd_sync(struct vpoll__ends* ends, uint32_t* done, uint32_t* events) {
  (void)done;
  uint64_t pending;
  if (read(ends->mine, &pending, sizeof pending) != (ssize_t)sizeof pending) return errno;
  *events = (uint32_t)pending & VPOLL__EVENTS;
  return 0;
}

const struct vpoll__backend vpoll__backend_eventfd = {
    .name = "eventfd",
    .probe = eventfd_probe,
    .supported = eventfd_supported,
    .exact = eventfd_exact,
    .open = eventfd_open,
    .apply = eventfd_apply,
    .sync = eventfd_sync,
};
