/* SPDX-License-Identifier: MIT */
/* The public functions, and the chooser of back ends. Contracts: vpoll.h. */
#define _GNU_SOURCE 1
#include "vpoll.h"

#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order of preference. */
static const struct vpoll__backend* const backends[] = {
    &vpoll__backend_table,      &vpoll__backend_eventfd, &vpoll__backend_dev,
    &vpoll__backend_socketpair, &vpoll__backend_fuse,
};
enum { backend_count = sizeof backends / sizeof backends[0] };

/* What a probe said. `why` is written before `known` is, and never again. */
struct verdict {
  atomic_bool known;
  int error; /* 0: it works */
  char why[VPOLL__WHY];
};
static struct verdict verdicts[backend_count];

/* vpoll_error's text. */
static _Thread_local char explanation[64 + backend_count * (VPOLL__WHY + 16)];

static bool is_no_room(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

static int fail(int error) {
  errno = error;
  return -1;
}

__attribute__((format(printf, 2, 3))) static int explain(int error, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(explanation, sizeof explanation, format, arguments);
  va_end(arguments);
  return error;
}

/* Each back end is probed once. pthread_once would make a passing lack of fds a final verdict. */
static int probe(int index, char why[VPOLL__WHY]) {
  struct verdict* verdict = &verdicts[index];
  int error = 0;
  if (atomic_load_explicit(&verdict->known, memory_order_acquire)) {
    memcpy(why, verdict->why, VPOLL__WHY);
    return verdict->error;
  }
  vpoll__table_lock();
  if (atomic_load_explicit(&verdict->known, memory_order_relaxed)) {
    memcpy(why, verdict->why, VPOLL__WHY);
    error = verdict->error;
  } else {
    why[0] = '\0';
    error = backends[index]->probe(why);
    if (!is_no_room(error)) {
      verdict->error = error;
      memcpy(verdict->why, why, VPOLL__WHY);
      atomic_store_explicit(&verdict->known, true, memory_order_release);
    }
  }
  vpoll__table_unlock();
  return error;
}

/* An environment variable, or NULL where it is unset or empty. */
static const char* setting(const char* name) {
  const char* value = secure_getenv(name);
  return value != NULL && *value != '\0' ? value : NULL;
}

/* 0 or an errno, explained. */
static int choose(bool exact, const struct vpoll__backend** chosen) {
  const char* wanted = setting("VPOLL_BACKEND");
  const char* demand = setting("VPOLL_EXACT");
  if (demand != NULL) {
    if (strcmp(demand, "0") != 0 && strcmp(demand, "1") != 0)
      return explain(EINVAL, "VPOLL_EXACT=%.32s in the environment: give 0 or 1", demand);
    exact |= demand[0] == '1';
  }

  size_t used = 0; /* of `explanation` */
  for (int i = 0; i < backend_count; i++) {
    const struct vpoll__backend* backend = backends[i];
    bool is_exact = backend->exact(0) == VPOLL__EVENTS;
    if (wanted != NULL ? strcmp(wanted, backend->name) != 0 : backend->on_request && !exact)
      continue;
    if (exact && !is_exact) {
      if (wanted == NULL) continue;
      return explain(EOPNOTSUPP, "VPOLL_BACKEND=%s is not exact, and VPOLL_EXACT asks for that",
                     wanted);
    }
    char why[VPOLL__WHY];
    int error = probe(i, why);
    if (error == 0) {
      *chosen = backend;
      return 0;
    }
    int written = snprintf(explanation + used, sizeof explanation - used, "%s%s: %s",
                           used == 0 ? "" : "; ", backend->name, why);
    if (written > 0) used += (size_t)written;
    if (wanted != NULL || is_no_room(error)) return error;
  }
  if (wanted != NULL)
    return explain(EINVAL,
                   "VPOLL_BACKEND=%.32s: no such back end; there are table, eventfd, dev, "
                   "socketpair and fuse",
                   wanted);
  return EOPNOTSUPP;
}

int vpoll__because(char why[VPOLL__WHY], const char* what, int error) {
  (void)snprintf(why, VPOLL__WHY, "%s: %s", what, strerror(error));
  return error;
}

static int create(uint32_t init_events, int flags) {
  int unknown = flags & ~(FD_CLOEXEC | VPOLL_EXACT);
  if (unknown != 0) return fail(explain(EINVAL, "flags: unknown bits 0x%x", (unsigned)unknown));
  if ((init_events & ~VPOLL__EVENTS) != 0)
    return fail(explain(EINVAL, "init_events: 0x%x is no event", init_events & ~VPOLL__EVENTS));

  const struct vpoll__backend* backend = NULL;
  int error = choose((flags & VPOLL_EXACT) != 0, &backend);
  if (error != 0) return fail(error);
  uint32_t lacking = init_events & ~backend->supported();
  if (lacking != 0)
    return fail(explain(EOPNOTSUPP, "init_events: %s cannot show 0x%x", backend->name, lacking));

  int fd = -1;
  struct vpoll__ends ends = {-1, -1};
  uint32_t done = 0;
  error = backend->open(init_events, &fd, &ends, &done);
  if (error != 0) return fail(explain(error, "%s: %s", backend->name, strerror(error)));

  /* Made close-on-exec and opened up afterwards: never the other way round, which would let a fork
     and exec in another thread carry the ends away. */
  if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, 0) != 0) error = errno;
  if (error == 0) error = vpoll__table_add(fd, backend, ends, init_events, done);
  if (error != 0) {
    vpoll__ends_close(&ends);
    close(fd);
    return fail(explain(error, "%s: %s", backend->name, strerror(error)));
  }
  return fd;
}

/* No cancellation point: a thread that ended half way would take fds and locks along. vpoll_ctl
   need not care, since a state's lock is robust. */
int vpoll_create(uint32_t init_events, int flags) {
  int cancellation;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
  int fd = create(init_events, flags);
  pthread_setcancelstate(cancellation, NULL);
  return fd;
}

const char* vpoll_error(void) { return explanation; }

/* Where `wake` is given and the back end can, waiters are left to its wake. 0 or an errno. */
static int change(struct vpoll__entry* entry, struct vpoll__shared* shared, int op, uint32_t events,
                  uint32_t* wake) {
  if ((events & ~VPOLL__EVENTS) != 0) return EINVAL;
  uint32_t mask = shared->mask;
  switch (op) {
  case VPOLL_CTL_ADDEVENTS: mask |= events; break;
  case VPOLL_CTL_DELEVENTS: mask &= ~events; break;
  case VPOLL_CTL_SETEVENTS: mask = events; break;
  default: return EINVAL;
  }
  if (mask == shared->mask) return 0;
  const struct vpoll__backend* backend = entry->backend;
  if ((mask & ~backend->supported()) != 0) return EOPNOTSUPP;
  int error = wake != NULL && backend->change != NULL
                  ? backend->change(&entry->ends, &shared->done, mask, wake)
                  : backend->apply(&entry->ends, &shared->done, mask);
  if (error == 0) shared->mask = mask;
  return error;
}

int vpoll_ctl(int fd, int op, uint32_t events) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return -1;
  int error = change(entry, shared, op, events, NULL);
  vpoll__entry_unlock(shared);
  return error == 0 ? 0 : fail(error);
}

/* What one call of a back end's wake takes: bounds the stack, and is far past where a larger one
   would be felt. */
enum { wakes_at_once = 512 };

/* Changes whose waiters are still to be woken. */
struct wakes {
  const struct vpoll__backend* backend;
  size_t count;
  struct vpoll__wake entries[wakes_at_once];
  struct vpoll_change* of[wakes_at_once];
};

static void wake_all(struct wakes* wakes) {
  int error = wakes->count == 0 ? 0 : wakes->backend->wake(wakes->entries, wakes->count);
  if (error != 0)
    for (size_t i = 0; i < wakes->count; i++) wakes->of[i]->error = error;
  wakes->count = 0;
}

int vpoll_ctl_many(struct vpoll_change* changes, size_t count) {
  if (count > 0 && changes == NULL) return fail(EINVAL);
  struct wakes wakes;
  wakes.count = 0;
  for (size_t i = 0; i < count; i++) {
    struct vpoll_change* each = &changes[i];
    struct vpoll__shared* shared;
    struct vpoll__entry* entry = vpoll__entry_lock(each->fd, &shared);
    if (entry == NULL) {
      each->error = errno;
      continue;
    }
    if (wakes.count > 0 && (wakes.count == wakes_at_once || wakes.backend != entry->backend)) {
      /* Not under an entry's lock: a batch of wake-ups is long. */
      vpoll__entry_unlock(shared);
      wake_all(&wakes);
      i--;
      continue;
    }
    uint32_t wake = 0;
    each->error = change(entry, shared, each->op, each->events, &wake);
    if (wake != 0) {
      wakes.backend = entry->backend;
      wakes.entries[wakes.count] = (struct vpoll__wake){.done = shared->done, .events = wake};
      wakes.of[wakes.count++] = each;
    }
    vpoll__entry_unlock(shared);
  }
  wake_all(&wakes);
  for (size_t i = 0; i < count; i++)
    if (changes[i].error != 0) return fail(changes[i].error);
  return 0;
}

int vpoll_exact(int fd) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return -1;
  uint32_t exact = entry->backend->exact(shared->done);
  vpoll__entry_unlock(shared);
  return (int)exact;
}

/* F_DUPFD_QUERY is Linux 6.10's; older C libraries do not name it. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

/* Do both numbers name the same open file? The inode alone cannot tell: all eventfds share one. It
   has the last word only where neither F_DUPFD_QUERY nor kcmp(2) is to be had. */
static bool is_same_file(int a, int b) {
  int saved = errno;
  int same = fcntl(a, F_DUPFD_QUERY, b);
  if (same < 0) {
    pid_t self = getpid();
    long order = syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)a, (unsigned long)b);
    if (order >= 0) same = order == 0;
  }
  if (same < 0) {
    struct stat x;
    struct stat y;
    same = fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  }
  errno = saved;
  return same != 0;
}

static int close_ours(int fd) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return -1;
  bool ours = is_same_file(fd, entry->ends.mine);
  vpoll__entry_remove(entry, shared);
  /* After the removal: the number is free for another thread from here on. */
  if (!ours) return fail(EBADF);
  return close(fd) == 0 || errno == EINTR ? 0 : -1;
}

int vpoll_close(int fd) {
  int cancellation;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
  int result = close_ours(fd);
  pthread_setcancelstate(cancellation, NULL);
  return result;
}

const char* vpoll_backend(int fd) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return NULL;
  const char* name = entry->backend->name;
  vpoll__entry_unlock(shared);
  return name;
}
