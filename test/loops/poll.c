/* SPDX-License-Identifier: MIT */
/* poll(2) and ppoll(2). */
#include "loop.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

static const char* poll_open(void) { return NULL; }
static void poll_close(void) {}
static int nothing_to_do(struct watch* watch) {
  (void)watch;
  return 0;
}

static uint32_t poll_reports(uint32_t shown, uint32_t asked) {
  return shown & (asked | EPOLLHUP | EPOLLERR);
}

static size_t gather(struct pollfd* fds, struct watch** whose) {
  size_t count = 0;
  for (size_t i = 0; i < watch_count(); i++) {
    struct watch* watch = watch_at(i);
    if (!watch->active) continue;
    whose[count] = watch;
    fds[count++] = (struct pollfd){.fd = watch->fd, .events = (short)watch->events};
  }
  return count;
}

static void dispatch(const struct pollfd* fds, struct watch** whose, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (fds[i].revents != 0 && whose[i]->active) report(whose[i], (uint16_t)fds[i].revents);
}

static void poll_turn(int milliseconds) {
  struct pollfd fds[max_watches];
  struct watch* whose[max_watches];
  size_t count = gather(fds, whose);
  if (poll(fds, count, milliseconds) > 0) dispatch(fds, whose, count);
}

static void ppoll_turn(int milliseconds) {
  struct pollfd fds[max_watches];
  struct watch* whose[max_watches];
  struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  sigset_t mask;
  sigemptyset(&mask);
  size_t count = gather(fds, whose);
  if (ppoll(fds, count, &limit, &mask) > 0) dispatch(fds, whose, count);
}

enum { poll_offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR };

const struct loop tested_loops[] = {
    {
        .name = "poll",
        .offers = poll_offers,
        .usual = level,
        .reports = poll_reports,
        .open = poll_open,
        .close = poll_close,
        .add = nothing_to_do,
        .change = nothing_to_do,
        .remove = nothing_to_do,
        .turn = poll_turn,
    },
    {
        .name = "ppoll",
        .offers = poll_offers,
        .usual = level,
        .reports = poll_reports,
        .open = poll_open,
        .close = poll_close,
        .add = nothing_to_do,
        .change = nothing_to_do,
        .remove = nothing_to_do,
        .turn = ppoll_turn,
    },
};
const size_t tested_loop_count = 2;
