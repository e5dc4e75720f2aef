/* SPDX-License-Identifier: MIT */
/* epoll(7). */
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int queue = -1;

static const char* queue_open(void) {
  queue = epoll_create1(EPOLL_CLOEXEC);
  return queue >= 0 ? NULL : strerror(errno);
}

static void queue_close(void) { close(queue); }

static int control(int operation, struct watch* watch) {
  uint32_t mode = watch->mode == edge ? EPOLLET : watch->mode == one_shot ? EPOLLONESHOT : 0;
  struct epoll_event event = {.events = watch->events | mode, .data.ptr = watch};
  return epoll_ctl(queue, operation, watch->fd, &event) == 0 ? 0 : errno;
}

static int queue_add(struct watch* watch) { return control(EPOLL_CTL_ADD, watch); }
static int queue_change(struct watch* watch) { return control(EPOLL_CTL_MOD, watch); }
static int queue_remove(struct watch* watch) { return control(EPOLL_CTL_DEL, watch); }

static void queue_turn(int milliseconds) {
  struct epoll_event events[64];
  int count = epoll_wait(queue, events, 64, milliseconds);
  for (int i = 0; i < count; i++) {
    struct watch* watch = events[i].data.ptr;
    if (watch->active) report(watch, events[i].events); /* else an earlier callback removed it */
  }
}

static uint32_t queue_reports(uint32_t shown, uint32_t asked) {
  return shown & (asked | EPOLLHUP | EPOLLERR);
}

const struct loop tested_loops[] = {{
    .name = "epoll",
    .offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR,
    .usual = level,
    .edge = true,
    .one_shot = true,
    .forgets = true,
    .reports = queue_reports,
    .open = queue_open,
    .close = queue_close,
    .add = queue_add,
    .change = queue_change,
    .remove = queue_remove,
    .turn = queue_turn,
}};
const size_t tested_loop_count = 1;
