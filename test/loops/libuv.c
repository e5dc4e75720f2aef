/* SPDX-License-Identifier: MIT */
/* libuv: uv_poll_t. */
#include "loop.h"

#include <stdlib.h>
#include <uv.h>

static uv_loop_t loop;
static uv_timer_t limit;

static void limit_over(uv_timer_t* handle) { (void)handle; }
static void free_handle(uv_handle_t* handle) { free(handle); }

static const char* loop_open(void) {
  int error = uv_loop_init(&loop);
  if (error == 0) error = uv_timer_init(&loop, &limit);
  return error == 0 ? NULL : uv_strerror(error);
}

static void close_handle(uv_handle_t* handle, void* unused) {
  (void)unused;
  if (!uv_is_closing(handle)) uv_close(handle, handle == (uv_handle_t*)&limit ? NULL : free_handle);
}

static void close_all(void) {
  uv_walk(&loop, close_handle, NULL);
  while (uv_run(&loop, UV_RUN_DEFAULT) != 0) {
  }
  uv_loop_close(&loop);
}

static int to_uv(uint32_t events) {
  int wanted = 0;
  if ((events & EPOLLIN) != 0) wanted |= UV_READABLE;
  if ((events & EPOLLOUT) != 0) wanted |= UV_WRITABLE;
  if ((events & EPOLLPRI) != 0) wanted |= UV_PRIORITIZED;
  if ((events & EPOLLRDHUP) != 0) wanted |= UV_DISCONNECT;
  return wanted;
}

static void on_poll(uv_poll_t* handle, int status, int found) {
  uint32_t events = 0;
  if ((found & UV_READABLE) != 0) events |= EPOLLIN;
  if ((found & UV_WRITABLE) != 0) events |= EPOLLOUT;
  if ((found & UV_PRIORITIZED) != 0) events |= EPOLLPRI;
  if ((found & UV_DISCONNECT) != 0) events |= EPOLLRDHUP;
  report(handle->data, status == UV_EBADF ? error_status : events);
}

static int poll_change(struct watch* watch) {
  return -uv_poll_start(watch->own, to_uv(watch->events), on_poll);
}

static int poll_add(struct watch* watch) {
  uv_poll_t* handle = malloc(sizeof *handle);
  if (handle == NULL) return -UV_ENOMEM;
  int error = uv_poll_init(&loop, handle, watch->fd);
  if (error != 0) {
    free(handle);
    return -error;
  }
  handle->data = watch;
  watch->own = handle;
  return poll_change(watch);
}

static int poll_remove(struct watch* watch) {
  uv_poll_stop(watch->own);
  uv_close(watch->own, free_handle); /* before the fd is closed */
  return 0;
}

static void loop_turn(int milliseconds) {
  if (milliseconds == 0) {
    uv_run(&loop, UV_RUN_NOWAIT);
    return;
  }
  /* Repeated: one that is over before the loop polls, as on a slow machine, would leave the poll
   * without an end. */
  uv_timer_start(&limit, limit_over, (uint64_t)milliseconds, (uint64_t)milliseconds);
  uv_run(&loop, UV_RUN_ONCE);
  uv_timer_stop(&limit);
}

static void timer_over(uv_timer_t* handle) { report(handle->data, EPOLLIN); }

static void once_after(struct watch* watch, int milliseconds) {
  uv_timer_t* handle = malloc(sizeof *handle);
  if (handle == NULL) abort();
  uv_timer_init(&loop, handle);
  handle->data = watch;
  uv_timer_start(handle, timer_over, (uint64_t)milliseconds, 0);
}

/* HUP has no name of its own: alone, it is seen as all that was asked for. So is ERR if PRI is
   asked for too; else the handle ends with UV_EBADF. */
static uint32_t poll_reports(uint32_t shown, uint32_t asked) {
  uint32_t seen = shown & (asked | EPOLLHUP | EPOLLERR);
  if (seen == EPOLLERR || seen == EPOLLHUP) seen |= asked;
  if ((seen & EPOLLERR) != 0 && (seen & EPOLLPRI) == 0) return error_status;
  return seen & ~(uint32_t)(EPOLLHUP | EPOLLERR);
}

const struct loop tested_loops[] = {{
    .name = "libuv",
    .offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP,
    .usual = level,
    .reports = poll_reports,
    .open = loop_open,
    .close = close_all,
    .add = poll_add,
    .change = poll_change,
    .remove = poll_remove,
    .turn = loop_turn,
    .timer = once_after,
}};
const size_t tested_loop_count = 1;
