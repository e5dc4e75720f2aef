/* SPDX-License-Identifier: MIT */
/* libevent, with epoll below it. */
#include "loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

static struct event_base* base;
static struct event* limit;

static void limit_over(evutil_socket_t fd, short what, void* unused) {
  (void)fd;
  (void)what;
  (void)unused;
}

static const char* base_open(void) {
  base = event_base_new();
  if (base == NULL) return "event_base_new gave none";
  limit = evtimer_new(base, limit_over, NULL);
  return limit != NULL ? NULL : "evtimer_new gave none";
}

static struct event* timers[max_watches];
static size_t timer_count;

static void base_close(void) {
  while (timer_count > 0) event_free(timers[--timer_count]);
  event_free(limit);
  event_base_free(base);
}

static short to_event(const struct watch* watch) {
  short wanted = 0;
  if ((watch->events & EPOLLIN) != 0) wanted |= EV_READ;
  if ((watch->events & EPOLLOUT) != 0) wanted |= EV_WRITE;
  if ((watch->events & EPOLLRDHUP) != 0) wanted |= EV_CLOSED;
  if (watch->mode != one_shot) wanted |= EV_PERSIST;
  if (watch->mode == edge) wanted |= EV_ET;
  return wanted;
}

static void on_event(evutil_socket_t fd, short what, void* argument) {
  (void)fd;
  uint32_t events = 0;
  if ((what & EV_READ) != 0) events |= EPOLLIN;
  if ((what & EV_WRITE) != 0) events |= EPOLLOUT;
  if ((what & EV_CLOSED) != 0) events |= EPOLLRDHUP;
  report(argument, events);
}

static int base_add(struct watch* watch) {
  struct event* event = event_new(base, watch->fd, to_event(watch), on_event, watch);
  if (event == NULL) return ENOMEM;
  watch->own = event;
  return event_add(event, NULL) == 0 ? 0 : EINVAL;
}

static int base_remove(struct watch* watch) {
  event_free(watch->own); /* before the fd is closed */
  return 0;
}

static int base_change(struct watch* watch) {
  base_remove(watch);
  return base_add(watch);
}

static void base_turn(int milliseconds) {
  struct timeval after = {milliseconds / 1000, milliseconds % 1000 * 1000L};
  if (milliseconds == 0) {
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    return;
  }
  event_add(limit, &after);
  event_base_loop(base, EVLOOP_ONCE);
  event_del(limit);
}

static void timer_over(evutil_socket_t fd, short what, void* argument) {
  (void)fd;
  (void)what;
  report(argument, EPOLLIN);
}

static void base_timer(struct watch* watch, int milliseconds) {
  struct timeval after = {milliseconds / 1000, milliseconds % 1000 * 1000L};
  struct event* event = evtimer_new(base, timer_over, watch);
  if (event == NULL || event_add(event, &after) != 0) abort();
  timers[timer_count++] = event;
}

/* An error, and a hang-up where RDHUP is not seen with it, are "whatever was asked for". */
static uint32_t base_reports(uint32_t shown, uint32_t asked) {
  uint32_t seen = shown & (asked | EPOLLHUP | EPOLLERR);
  bool ends = (seen & EPOLLHUP) != 0 && (seen & EPOLLRDHUP) == 0;
  if ((seen & EPOLLERR) != 0 || ends) return asked & (EPOLLIN | EPOLLOUT);
  return seen & asked;
}

const struct loop tested_loops[] = {{
    .name = "libevent",
    .offers = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
    .usual = level,
    .edge = true,
    .one_shot = true,
    .reports = base_reports,
    .open = base_open,
    .close = base_close,
    .add = base_add,
    .change = base_change,
    .remove = base_remove,
    .turn = base_turn,
    .timer = base_timer,
}};
const size_t tested_loop_count = 1;
