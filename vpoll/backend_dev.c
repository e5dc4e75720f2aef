/* SPDX-License-Identifier: MIT */
/* /dev/vpoll: a kernel with the module. Every event exact; one ioctl(2) a change. */
#define _GNU_SOURCE 1
#include "../kernel/uapi/vpoll.h"
#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static uint32_t dev_supported(void) { return VPOLL__EVENTS; }
static uint32_t dev_exact(uint32_t done) {
  (void)done;
  return VPOLL__EVENTS;
}

/* The ioctl's result is the pending set, so success is any result that is not -1. */
static int set_events(int fd, uint32_t events) {
  int pending = ioctl(fd, VPOLL_IO_SETEVENTS, (unsigned long)events);
  if (pending < 0) return errno;
  return (uint32_t)pending == events ? 0 : EIO;
}

static int open_device(void) { return open(VPOLL_DEVICE, O_RDWR | O_CLOEXEC); }

static int dev_probe(char why[VPOLL__WHY]) {
  int fd = open_device();
  if (fd < 0) {
    int error = vpoll__because(why, VPOLL_DEVICE, errno);
    if (error == EPERM) return EACCES;
    bool absent = error == ENOENT || error == ENOTDIR || error == ENXIO || error == ENODEV;
    return absent ? EOPNOTSUPP : error;
  }
  /* Something else may have the name. */
  int error = set_events(fd, EPOLLPRI | EPOLLRDHUP);
  if (error != 0) vpoll__because(why, VPOLL_DEVICE " is no vpoll device", error);
  close(fd);
  return error == 0 ? 0 : EOPNOTSUPP;
}

static int dev_open(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done) {
  (void)done;
  *fd = open_device();
  if (*fd < 0) return errno;
  int error = events == 0 ? 0 : set_events(*fd, events);
  if (error == 0) {
    ends->mine = vpoll__dup_high(*fd);
    if (ends->mine >= 0) return 0;
    error = errno;
  }
  close(*fd);
  return error;
}

static int dev_apply(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  (void)done;
  return set_events(ends->mine, events);
}

static int dev_sync(struct vpoll__ends* ends, uint32_t* done, uint32_t* events) {
  (void)done;
  int pending = ioctl(ends->mine, VPOLL_IO_ADDEVENTS, 0UL);
  if (pending < 0) return errno;
  *events = (uint32_t)pending & VPOLL__EVENTS;
  return 0;
}

const struct vpoll__backend vpoll__backend_dev = {
    .name = "dev",
    .probe = dev_probe,
    .supported = dev_supported,
    .exact = dev_exact,
    .open = dev_open,
    .apply = dev_apply,
    .sync = dev_sync,
};
