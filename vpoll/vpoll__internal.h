/* SPDX-License-Identifier: MIT */
/*
 * What the files of this library share. Not installed.
 *
 *   vpoll.c       the public functions, and which back end serves a new fd
 *   table.c       fd -> entry; the state that processes share after a fork
 *   backend_*.c   one kernel mechanism each
 */
#ifndef VPOLL__INTERNAL_H
#define VPOLL__INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

enum { VPOLL__WHY = 160 }; /* bytes of an explanation, its 0 included */

/* Every bit that is an event; EPOLLET and its neighbours are ways to wait. */
#define VPOLL__EVENTS                                                                              \
  ((uint32_t)EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND |     \
   EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG | EPOLLRDHUP)

/*
 * The library's own handles on the object that the user's fd shows. `mine` is a duplicate of the
 * user's fd: the user may close the number at any time, and another file may get it, so the library
 * never reads, writes or sets anything through the user's number. `peer` is the other end of a
 * socket pair, else -1. Both are close-on-exec.
 */
struct vpoll__ends {
  int mine;
  int peer;
};

struct vpoll__wake {
  uint32_t done;
  uint32_t events;
};

/*
 * A mechanism. `done` is a word of the back end's own, kept beside the mask: what it has done to
 * the kernel object so far. It is 0 before open, and stays true when a function fails half way, so
 * that the next apply can go on from there. Functions that return int give 0 or an errno.
 */
struct vpoll__backend {
  const char* name;

  /* Does it work here? EOPNOTSUPP if this kernel does not have it; what exactly failed goes to
     `why`, a sentence part for vpoll_error such as "/dev/vpoll: Permission denied". Called under
     the table's lock until an answer other than EMFILE, ENFILE or ENOMEM is known. */
  int (*probe)(char why[VPOLL__WHY]);

  /* The events that it can show at all; valid once probe returned 0. */
  uint32_t (*supported)(void);

  /* What vpoll_exact gives for an object that `done` was done to; for 0, for a new one. */
  uint32_t (*exact)(uint32_t done);

  /* Chosen only for VPOLL_EXACT or by name. */
  bool on_request;

  /* Makes an object that shows `events`. *fd is the user's end, close-on-exec. */
  int (*open)(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done);

  /* Makes the object show `events` as far as it can. */
  int (*apply)(struct vpoll__ends* ends, uint32_t* done, uint32_t events);

  /* A back end that wakes many objects by one call has both, else both are NULL. `change` does what
     apply does but for the waiters, and gives in *wake the events that some of them may be asleep
     for. Then `wake` wakes these: for each of `count` objects its `done` word and the events. It
     gives what failed first. */
  int (*change)(struct vpoll__ends* ends, uint32_t* done, uint32_t events, uint32_t* wake);
  int (*wake)(const struct vpoll__wake* wakes, size_t count);

  /* Finds out what the object shows: for a process that lost the shared state (see table.c). *done
     is what was known last, at least what open gave. */
  int (*sync)(struct vpoll__ends* ends, uint32_t* done, uint32_t* events);
};

extern const struct vpoll__backend vpoll__backend_table;
extern const struct vpoll__backend vpoll__backend_eventfd;
extern const struct vpoll__backend vpoll__backend_dev;
extern const struct vpoll__backend vpoll__backend_socketpair;
extern const struct vpoll__backend vpoll__backend_fuse;

/* Writes "WHAT: text of errno" to `why`, and gives `error`. */
int vpoll__because(char why[VPOLL__WHY], const char* what, int error);

/* The part of an entry that parent and child share after a fork; lives in shared memory. */
struct vpoll__shared {
  pthread_mutex_t lock;  /* process-shared, robust */
  _Atomic uint64_t turn; /* odd while in use; grows by one with each claim and each release */
  uint32_t mask;         /* the events that are set; under lock */
  uint32_t done;         /* the back end's word; under lock */
};

/* The part of an entry that each process has for itself. Changed only under shared->lock. */
struct vpoll__entry {
  _Atomic(struct vpoll__shared*) shared; /* NULL: this number is no vpoll fd */
  _Atomic uint64_t turn;                 /* shared->turn, as long as shared is still ours */
  const struct vpoll__backend* backend;
  struct vpoll__ends ends;
  uint32_t opened;     /* shared->done as open left it */
  unsigned generation; /* of the process that made it */
  unsigned forks;      /* of that process until then */
  bool adopted;        /* shared is not the one that other processes have */
};

/* Guards the growth of the table, free states and probing; held over fork. Never taken while a
   state's lock is held, nor where the thread can be cancelled. */
void vpoll__table_lock(void);
void vpoll__table_unlock(void);

/* Files a new fd. An older entry of the same number is stale (its fd was closed behind our back)
   and released. Returns 0 or ENOMEM; on error the caller still owns fd and ends. */
int vpoll__table_add(int fd, const struct vpoll__backend* backend, struct vpoll__ends ends,
                     uint32_t mask, uint32_t done);

/* The entry of fd with its state locked, or NULL with errno (EBADF). */
struct vpoll__entry* vpoll__entry_lock(int fd, struct vpoll__shared** shared);
void vpoll__entry_unlock(struct vpoll__shared* shared);

/* Takes a locked entry out of the table, closes its ends and unlocks. */
void vpoll__entry_remove(struct vpoll__entry* entry, struct vpoll__shared* shared);

void vpoll__ends_close(struct vpoll__ends* ends);

/* A close-on-exec duplicate with a number beyond FD_SETSIZE where the limits allow: the low
   numbers, which alone select(2) can take, are left to the program. -1 with errno. */
int vpoll__dup_high(int fd);

#endif /* VPOLL__INTERNAL_H */
