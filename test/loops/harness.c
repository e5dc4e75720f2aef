/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "vpoll/vpoll.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

const struct loop* the_loop;

static char words[256];
static struct watch watches[max_watches];
static size_t watched;
static int reports;

static struct {
  int fd;
  bool is_vpoll;
} kept[max_watches];
static size_t kept_count;

static enum verdict say(enum verdict verdict, const char* format, va_list arguments) {
  vsnprintf(words, sizeof words, format, arguments);
  return verdict;
}

enum verdict fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  enum verdict verdict = say(failed, format, arguments);
  va_end(arguments);
  return verdict;
}

enum verdict skip(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  enum verdict verdict = say(skipped, format, arguments);
  va_end(arguments);
  return verdict;
}

const char* reason(void) { return words; }

const char* names_of(uint32_t events) {
  static const struct {
    uint32_t bit;
    const char* name;
  } known[] = {
      {EPOLLIN, "IN"},   {EPOLLOUT, "OUT"}, {EPOLLPRI, "PRI"},        {EPOLLRDHUP, "RDHUP"},
      {EPOLLHUP, "HUP"}, {EPOLLERR, "ERR"}, {1U << 27, "bad status"},
  };
  static char texts[4][64];
  static unsigned next;
  char* text = texts[next++ % 4];
  size_t length = 0;
  text[0] = '\0';
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if ((events & known[i].bit) == 0) continue;
    length += (size_t)snprintf(text + length, sizeof texts[0] - length, "%s%s",
                               length == 0 ? "" : "+", known[i].name);
  }
  return length == 0 ? "nothing" : text;
}

static void need(bool held, const char* what, int error) {
  if (held) return;
  printf("not ok %s: %s: %s %s\n", the_loop->name, what, strerror(error), vpoll_error());
  exit(1);
}

int keep_fd(int fd) {
  need(fd >= 0, "a descriptor for the test", errno);
  need(kept_count < max_watches, "room for one more descriptor", ENOMEM);
  kept[kept_count].fd = fd;
  kept[kept_count++].is_vpoll = false;
  return fd;
}

int vpoll_fd(uint32_t events) {
  int fd = vpoll_create(events, 0);
  need(fd >= 0, "vpoll_create", errno);
  keep_fd(fd);
  kept[kept_count - 1].is_vpoll = true;
  return fd;
}

void vpoll_end(int fd) {
  need(vpoll_close(fd) == 0, "vpoll_close", errno);
  for (size_t i = 0; i < kept_count; i++)
    if (kept[i].fd == fd) kept[i] = kept[--kept_count];
}

void set(int fd, uint32_t events) {
  need(vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, events) == 0, "vpoll_ctl, adding", errno);
}

void take_back(int fd, uint32_t events) {
  need(vpoll_ctl(fd, VPOLL_CTL_DELEVENTS, events) == 0, "vpoll_ctl, deleting", errno);
}

const char* scene_open(const struct loop* loop) {
  the_loop = loop;
  watched = 0;
  kept_count = 0;
  reports = 0;
  return loop->open();
}

void scene_close(void) {
  for (size_t i = 0; i < watched; i++)
    if (watches[i].active) unwatch(&watches[i]);
  the_loop->close();
  for (size_t i = 0; i < kept_count; i++)
    need((kept[i].is_vpoll ? vpoll_close(kept[i].fd) : close(kept[i].fd)) == 0, "close", errno);
  watched = 0;
}

size_t watch_count(void) { return watched; }
struct watch* watch_at(size_t index) {
  return &watches[index];
}

static struct watch* new_watch(int fd, uint32_t events, enum mode mode) {
  need(watched < max_watches, "room for one more watch", ENOMEM);
  struct watch* watch = &watches[watched++];
  *watch = (struct watch){.fd = fd, .events = events & the_loop->offers, .mode = mode};
  return watch;
}

static void join(struct watch* watch) {
  watch->active = true;
  int error = the_loop->add(watch);
  need(error == 0, "adding to the loop", error);
}

struct watch* watch_mode(int fd, uint32_t events, enum mode mode) {
  struct watch* watch = new_watch(fd, events, mode);
  join(watch);
  return watch;
}

struct watch* watch(int fd, uint32_t events) {
  return watch_mode(fd, events, the_loop->usual);
}

struct watch* timer(int milliseconds) {
  if (the_loop->timer != NULL) {
    struct watch* watch = new_watch(-1, EPOLLIN, one_shot);
    the_loop->timer(watch, milliseconds);
    return watch;
  }
  int fd = keep_fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  struct itimerspec once = {.it_value.tv_nsec = milliseconds * 1000000L};
  need(timerfd_settime(fd, 0, &once, NULL) == 0, "timerfd_settime", errno);
  return watch(fd, EPOLLIN);
}

void change(struct watch* watch, uint32_t events) {
  watch->events = events & the_loop->offers;
  int error = the_loop->change(watch);
  need(error == 0, "changing what the loop watches", error);
}

void unwatch(struct watch* watch) {
  watch->active = false;
  int error = the_loop->remove(watch);
  need(error == 0, "removing from the loop", error);
}

void report(struct watch* watch, uint32_t events) {
  watch->seen |= events;
  watch->times++;
  reports++;
  if (watch->act != NULL) watch->act(watch);
}

void forget(void) {
  reports = 0;
  for (size_t i = 0; i < watched; i++) {
    watches[i].seen = 0;
    watches[i].times = 0;
  }
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool turn_until(const int* counter, int wanted) {
  long end = now_ms() + limit_ms;
  while (*counter < wanted) {
    long left = end - now_ms();
    if (left <= 0) return false;
    the_loop->turn((int)left);
  }
  return true;
}

bool until(struct watch* watch, int times) { return turn_until(&watch->times, times); }
bool until_any(void) { return turn_until(&reports, 1); }

void quieten(void) {
  if (the_loop->completes || the_loop->queues) {
    long end = now_ms() + limit_ms;
    do {
      forget();
      the_loop->turn(0);
    } while (reports > 0 && now_ms() < end);
  }
  forget();
}

void turns(void) {
  /* Nothing waits for the time to pass: a report that comes later than this is missed, no more. */
  the_loop->turn(0);
  the_loop->turn(5);
  the_loop->turn(0);
}
