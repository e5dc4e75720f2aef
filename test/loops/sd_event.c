/* SPDX-License-Identifier: MIT */
/* sd-event of libsystemd: events are epoll's own bits. */
#include "loop.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

static sd_event* events_of;
static sd_event_source* timers[max_watches];
static size_t timer_count;

static const char* events_open(void) {
  int error = sd_event_new(&events_of);
  return error >= 0 ? NULL : strerror(-error);
}

static void events_close(void) {
  while (timer_count > 0) sd_event_source_unref(timers[--timer_count]);
  sd_event_unref(events_of);
}

static int on_io(sd_event_source* source, int fd, uint32_t events, void* argument) {
  (void)source;
  (void)fd;
  report(argument, events);
  return 0;
}

static uint32_t wanted(const struct watch* watch) {
  return watch->events | (watch->mode == edge ? (uint32_t)EPOLLET : 0);
}

static int enabled(const struct watch* watch) {
  return watch->mode == one_shot ? SD_EVENT_ONESHOT : SD_EVENT_ON;
}

static int sd_add(struct watch* watch) {
  sd_event_source* source;
  int error = sd_event_add_io(events_of, &source, watch->fd, wanted(watch), on_io, watch);
  if (error < 0) return -error;
  watch->own = source;
  error = sd_event_source_set_enabled(source, enabled(watch));
  return error < 0 ? -error : 0;
}

static int sd_change(struct watch* watch) {
  int error = sd_event_source_set_io_events(watch->own, wanted(watch));
  if (error >= 0) error = sd_event_source_set_enabled(watch->own, enabled(watch));
  return error < 0 ? -error : 0;
}

static int sd_remove(struct watch* watch) {
  sd_event_source_disable_unref(watch->own); /* before the fd is closed */
  return 0;
}

static void sd_turn(int milliseconds) { sd_event_run(events_of, (uint64_t)milliseconds * 1000); }

static int timer_over(sd_event_source* source, uint64_t when, void* argument) {
  (void)source;
  (void)when;
  report(argument, EPOLLIN);
  return 0;
}

static void sd_timer(struct watch* watch, int milliseconds) {
  int error = sd_event_add_time_relative(events_of, &timers[timer_count], CLOCK_MONOTONIC,
                                         (uint64_t)milliseconds * 1000, 0, timer_over, watch);
  if (error < 0) abort();
  timer_count++;
}

static uint32_t sd_reports(uint32_t shown, uint32_t asked) {
  return shown & (asked | EPOLLHUP | EPOLLERR);
}

const struct loop tested_loops[] = {{
    .name = "sd-event",
    .offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR,
    .usual = level,
    .edge = true,
    .one_shot = true,
    .queues = true, /* one source a run */
    .reports = sd_reports,
    .open = events_open,
    .close = events_close,
    .add = sd_add,
    .change = sd_change,
    .remove = sd_remove,
    .turn = sd_turn,
    .timer = sd_timer,
}};
const size_t tested_loop_count = 1;
