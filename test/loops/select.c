/* SPDX-License-Identifier: MIT */
/* select(2) and pselect(2): no fd of FD_SETSIZE (1024) or more. */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/select.h>
#include <time.h>

struct sets {
  int highest;
  fd_set read, write, except;
};

static const char* select_open(void) { return NULL; }
static void select_close(void) {}
static int select_add(struct watch* watch) { return watch->fd < FD_SETSIZE ? 0 : EBADF; }
static int nothing_to_do(struct watch* watch) {
  (void)watch;
  return 0;
}

/* The kernel's idea of the three sets: an end and an error can be read, an error can be written. */
static uint32_t select_reports(uint32_t shown, uint32_t asked) {
  uint32_t events = 0;
  if ((shown & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) events |= EPOLLIN;
  if ((shown & (EPOLLOUT | EPOLLERR)) != 0) events |= EPOLLOUT;
  if ((shown & EPOLLPRI) != 0) events |= EPOLLPRI;
  return events & asked;
}

static void gather(struct sets* sets) {
  sets->highest = -1;
  FD_ZERO(&sets->read);
  FD_ZERO(&sets->write);
  FD_ZERO(&sets->except);
  for (size_t i = 0; i < watch_count(); i++) {
    const struct watch* watch = watch_at(i);
    if (!watch->active) continue;
    if ((watch->events & EPOLLIN) != 0) FD_SET(watch->fd, &sets->read);
    if ((watch->events & EPOLLOUT) != 0) FD_SET(watch->fd, &sets->write);
    if ((watch->events & EPOLLPRI) != 0) FD_SET(watch->fd, &sets->except);
    if (watch->fd > sets->highest) sets->highest = watch->fd;
  }
}

static void dispatch(struct sets* sets) {
  size_t count = watch_count(); /* those that a callback adds were not waited for */
  for (size_t i = 0; i < count; i++) {
    struct watch* watch = watch_at(i);
    if (!watch->active) continue;
    uint32_t events = 0;
    if (FD_ISSET(watch->fd, &sets->read)) events |= EPOLLIN;
    if (FD_ISSET(watch->fd, &sets->write)) events |= EPOLLOUT;
    if (FD_ISSET(watch->fd, &sets->except)) events |= EPOLLPRI;
    if (events != 0) report(watch, events);
  }
}

static void select_turn(int milliseconds) {
  struct sets sets;
  struct timeval limit = {milliseconds / 1000, milliseconds % 1000 * 1000L};
  gather(&sets);
  if (select(sets.highest + 1, &sets.read, &sets.write, &sets.except, &limit) > 0) dispatch(&sets);
}

static void pselect_turn(int milliseconds) {
  struct sets sets;
  struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  sigset_t mask;
  sigemptyset(&mask);
  gather(&sets);
  if (pselect(sets.highest + 1, &sets.read, &sets.write, &sets.except, &limit, &mask) > 0)
    dispatch(&sets);
}

const struct loop tested_loops[] = {
    {
        .name = "select",
        .offers = EPOLLIN | EPOLLOUT | EPOLLPRI,
        .usual = level,
        .reports = select_reports,
        .open = select_open,
        .close = select_close,
        .add = select_add,
        .change = nothing_to_do,
        .remove = nothing_to_do,
        .turn = select_turn,
    },
    {
        .name = "pselect",
        .offers = EPOLLIN | EPOLLOUT | EPOLLPRI,
        .usual = level,
        .reports = select_reports,
        .open = select_open,
        .close = select_close,
        .add = select_add,
        .change = nothing_to_do,
        .remove = nothing_to_do,
        .turn = pselect_turn,
    },
};
const size_t tested_loop_count = 2;
