/* SPDX-License-Identifier: MIT */
/*
 * io_uring by liburing: a poll for each wait (IORING_OP_POLL_ADD), asked again after each
 * completion, and multishot polls, which complete at each change.
 */
#include "loop.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

/* The kernel reports these unasked; RDHUP is one of them, other than with poll and epoll. */
enum { unasked = EPOLLRDHUP | EPOLLHUP | EPOLLERR };

static uint32_t ring_reports(uint32_t shown, uint32_t asked) { return shown & (asked | unasked); }

/* Outlives its watch until the kernel has said the last of it. */
struct request {
  struct watch* watch; /* NULL once removed */
  bool armed;
};

static struct io_uring ring;

static const char* ring_open(void) {
  int error = io_uring_queue_init(256, &ring, 0);
  return error == 0 ? NULL : strerror(-error);
}

/* The requests that are still with the kernel end with the ring; their memory is the list's. */
static struct request* requests[4 * max_watches];
static size_t request_count;

static void ring_close(void) {
  io_uring_queue_exit(&ring);
  for (size_t i = 0; i < request_count; i++) free(requests[i]);
  request_count = 0;
}

static bool is_multishot(const struct watch* watch) { return watch->mode == edge; }

static struct io_uring_sqe* entry(void) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (sqe == NULL) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  return sqe;
}

static void arm(struct request* request) {
  const struct watch* watch = request->watch;
  struct io_uring_sqe* sqe = entry();
  if (is_multishot(watch))
    io_uring_prep_poll_multishot(sqe, watch->fd, watch->events);
  else
    io_uring_prep_poll_add(sqe, watch->fd, watch->events);
  io_uring_sqe_set_data(sqe, request);
  request->armed = true;
}

static int ring_add(struct watch* watch) {
  struct request* request = calloc(1, sizeof *request);
  if (request == NULL || request_count == sizeof requests / sizeof requests[0]) {
    free(request);
    return ENOMEM;
  }
  requests[request_count++] = request;
  request->watch = watch;
  watch->own = request;
  arm(request);
  return io_uring_submit(&ring) >= 0 ? 0 : EIO;
}

static int ring_change(struct watch* watch) {
  struct request* request = watch->own;
  if (!request->armed) {
    arm(request);
  } else {
    struct io_uring_sqe* sqe = entry();
    unsigned multishot = is_multishot(watch) ? IORING_POLL_ADD_MULTI : 0;
    io_uring_prep_poll_update(sqe, (__u64)(uintptr_t)request, 0, watch->events,
                              IORING_POLL_UPDATE_EVENTS | multishot);
    io_uring_sqe_set_data(sqe, NULL);
  }
  return io_uring_submit(&ring) >= 0 ? 0 : EIO;
}

static int ring_remove(struct watch* watch) {
  struct request* request = watch->own;
  request->watch = NULL; /* what is in the completion queue already is not for anybody */
  if (!request->armed) return 0;
  struct io_uring_sqe* sqe = entry();
  io_uring_prep_poll_remove(sqe, (__u64)(uintptr_t)request);
  io_uring_sqe_set_data(sqe, NULL);
  return io_uring_submit(&ring) >= 0 ? 0 : EIO;
}

static void complete(struct request* request, int result, unsigned flags) {
  struct watch* watch = request->watch;
  if ((flags & IORING_CQE_F_MORE) == 0) request->armed = false;
  if (watch == NULL) return;
  /* What was found before the watch changed may be no longer asked for. */
  uint32_t events = result > 0 ? (uint32_t)result & (watch->events | unasked) : 0;
  if (events != 0) report(watch, events);
  bool once = watch->mode == one_shot;
  if (request->watch != NULL && !request->armed && !once) arm(request);
}

static void ring_turn(int milliseconds) {
  struct __kernel_timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  struct io_uring_cqe* cqe;
  io_uring_submit(&ring);
  if (io_uring_wait_cqe_timeout(&ring, &cqe, &limit) != 0) return;
  /* Those that are there now: what a callback causes is for the next turn. */
  for (unsigned left = io_uring_cq_ready(&ring); left > 0; left--) {
    if (io_uring_peek_cqe(&ring, &cqe) != 0) return;
    struct request* request = io_uring_cqe_get_data(cqe);
    int result = cqe->res;
    unsigned flags = cqe->flags;
    io_uring_cqe_seen(&ring, cqe);
    if (request != NULL) complete(request, result, flags);
  }
}

enum { ring_offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR };

const struct loop tested_loops[] = {
    {
        .name = "io_uring, single poll",
        .offers = ring_offers,
        .usual = level,
        .one_shot = true,
        .completes = true,
        .reports = ring_reports,
        .open = ring_open,
        .close = ring_close,
        .add = ring_add,
        .change = ring_change,
        .remove = ring_remove,
        .turn = ring_turn,
    },
    {
        .name = "io_uring, multishot",
        .offers = ring_offers,
        .usual = edge,
        .edge = true,
        .completes = true,
        .reports = ring_reports,
        .open = ring_open,
        .close = ring_close,
        .add = ring_add,
        .change = ring_change,
        .remove = ring_remove,
        .turn = ring_turn,
    },
};
const size_t tested_loop_count = 2;
