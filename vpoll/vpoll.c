/* SPDX-License-Identifier: MIT */
/* The public functions, and the chooser of back ends. Contracts: vpoll.h. */
#define _GNU_SOURCE 1
#include "vpoll.h"

#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the order of preference. */
static const struct vpoll__backend* const backends[] = {
    &vpoll__backend_eventfd,
    &vpoll__backend_dev,
    &vpoll__backend_socketpair,
};
enum { backend_count = sizeof backends / sizeof backends[0] };

/* What each probe said: 0 works, an errno, or not_probed. */
enum { not_probed = -1 };
static _Atomic int verdict[backend_count] = {not_probed, not_probed, not_probed};

static bool is_no_room(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

/* Each back end is probed once. pthread_once would make a passing lack of fds a final verdict. */
static int probe(int index) {
  int known = atomic_load_explicit(&verdict[index], memory_order_acquire);
  if (known != not_probed) return known;
  vpoll__table_lock();
  known = atomic_load_explicit(&verdict[index], memory_order_relaxed);
  if (known == not_probed) {
    known = backends[index]->probe();
    if (!is_no_room(known)) atomic_store_explicit(&verdict[index], known, memory_order_release);
  }
  vpoll__table_unlock();
  return known;
}

/* 0 or an errno. */
static int choose(const struct vpoll__backend** chosen) {
  const char* wanted = secure_getenv("VPOLL_BACKEND");
  if (wanted != NULL && *wanted == '\0') wanted = NULL;
  for (int i = 0; i < backend_count; i++) {
    if (wanted != NULL && strcmp(wanted, backends[i]->name) != 0) continue;
    int error = probe(i);
    if (error == 0) {
      *chosen = backends[i];
      return 0;
    }
    if (wanted != NULL || is_no_room(error)) return error;
  }
  return wanted != NULL ? EINVAL : EOPNOTSUPP;
}

static int fail(int error) {
  errno = error;
  return -1;
}

int vpoll_create(uint32_t init_events, int flags) {
  if ((flags & ~FD_CLOEXEC) != 0 || (init_events & ~VPOLL__EVENTS) != 0) return fail(EINVAL);

  const struct vpoll__backend* backend = NULL;
  int error = choose(&backend);
  if (error != 0) return fail(error);
  if ((init_events & ~backend->supported()) != 0) return fail(EOPNOTSUPP);

  int fd = -1;
  struct vpoll__ends ends = {-1, -1};
  uint32_t done = 0;
  error = backend->open(init_events, &fd, &ends, &done);
  if (error != 0) return fail(error);

  /* Made close-on-exec and opened up afterwards: never the other way round, which would let a fork
     and exec in another thread carry the ends away. */
  if ((flags & FD_CLOEXEC) == 0 && fcntl(fd, F_SETFD, 0) != 0) error = errno;
  if (error == 0) error = vpoll__table_add(fd, backend, ends, init_events, done);
  if (error != 0) {
    vpoll__ends_close(&ends);
    close(fd);
    return fail(error);
  }
  return fd;
}

int vpoll_ctl(int fd, int op, uint32_t events) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return -1;

  int error = (events & ~VPOLL__EVENTS) != 0 ? EINVAL : 0;
  uint32_t mask = shared->mask;
  switch (op) {
  case VPOLL_CTL_ADDEVENTS: mask |= events; break;
  case VPOLL_CTL_DELEVENTS: mask &= ~events; break;
  case VPOLL_CTL_SETEVENTS: mask = events; break;
  default: error = EINVAL;
  }
  if (error == 0 && mask != shared->mask) {
    if ((mask & ~entry->backend->supported()) != 0)
      error = EOPNOTSUPP;
    else
      error = entry->backend->apply(&entry->ends, &shared->done, mask);
    if (error == 0) shared->mask = mask;
  }
  vpoll__entry_unlock(shared);
  return error == 0 ? 0 : fail(error);
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

int vpoll_close(int fd) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return -1;
  bool ours = is_same_file(fd, entry->ends.mine);
  vpoll__entry_remove(entry, shared);
  /* After the removal: the number is free for another thread from here on. */
  if (!ours) return fail(EBADF);
  return close(fd) == 0 || errno == EINTR ? 0 : -1;
}

const char* vpoll_backend(int fd) {
  struct vpoll__shared* shared;
  struct vpoll__entry* entry = vpoll__entry_lock(fd, &shared);
  if (entry == NULL) return NULL;
  const char* name = entry->backend->name;
  vpoll__entry_unlock(shared);
  return name;
}
