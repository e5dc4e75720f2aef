/* SPDX-License-Identifier: MIT */
/* GLib: a GSource made by g_unix_fd_source_new. */
#include "loop.h"

#include <glib-unix.h>

static GMainContext* context;

static const char* context_open(void) {
  context = g_main_context_new();
  return NULL;
}

static void context_close(void) { g_main_context_unref(context); }

static GIOCondition to_glib(uint32_t events) {
  GIOCondition wanted = 0;
  if ((events & EPOLLIN) != 0) wanted |= G_IO_IN;
  if ((events & EPOLLOUT) != 0) wanted |= G_IO_OUT;
  if ((events & EPOLLPRI) != 0) wanted |= G_IO_PRI;
  if ((events & EPOLLHUP) != 0) wanted |= G_IO_HUP;
  if ((events & EPOLLERR) != 0) wanted |= G_IO_ERR;
  return wanted;
}

static gboolean on_ready(gint fd, GIOCondition found, gpointer argument) {
  (void)fd;
  struct watch* watch = argument;
  uint32_t events = 0;
  if ((found & G_IO_IN) != 0) events |= EPOLLIN;
  if ((found & G_IO_OUT) != 0) events |= EPOLLOUT;
  if ((found & G_IO_PRI) != 0) events |= EPOLLPRI;
  if ((found & G_IO_HUP) != 0) events |= EPOLLHUP;
  if ((found & G_IO_ERR) != 0) events |= EPOLLERR;
  report(watch, events);
  return watch->mode == one_shot ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static int context_add(struct watch* watch) {
  GSource* source = g_unix_fd_source_new(watch->fd, to_glib(watch->events));
  g_source_set_callback(source, G_SOURCE_FUNC(on_ready), watch, NULL);
  g_source_attach(source, context);
  watch->own = source;
  return 0;
}

static int context_remove(struct watch* watch) {
  g_source_destroy(watch->own);
  g_source_unref(watch->own);
  return 0;
}

static int context_change(struct watch* watch) {
  context_remove(watch);
  return context_add(watch);
}

static gboolean limit_over(gpointer unused) {
  (void)unused;
  return G_SOURCE_REMOVE;
}

static void context_turn(int milliseconds) {
  GSource* limit = NULL;
  if (milliseconds > 0) {
    limit = g_timeout_source_new((guint)milliseconds);
    g_source_set_callback(limit, limit_over, NULL, NULL);
    g_source_attach(limit, context);
  }
  g_main_context_iteration(context, milliseconds > 0);
  if (limit != NULL) {
    g_source_destroy(limit);
    g_source_unref(limit);
  }
}

static gboolean timer_over(gpointer argument) {
  report(argument, EPOLLIN);
  return G_SOURCE_REMOVE;
}

static void context_timer(struct watch* watch, int milliseconds) {
  GSource* source = g_timeout_source_new((guint)milliseconds);
  g_source_set_callback(source, timer_over, watch, NULL);
  g_source_attach(source, context);
  g_source_unref(source);
}

static uint32_t context_reports(uint32_t shown, uint32_t asked) {
  return shown & (asked | EPOLLHUP | EPOLLERR);
}

const struct loop tested_loops[] = {{
    .name = "GLib",
    .offers = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLHUP | EPOLLERR,
    .usual = level,
    .one_shot = true,
    .reports = context_reports,
    .open = context_open,
    .close = context_close,
    .add = context_add,
    .change = context_change,
    .remove = context_remove,
    .turn = context_turn,
    .timer = context_timer,
}};
const size_t tested_loop_count = 1;
