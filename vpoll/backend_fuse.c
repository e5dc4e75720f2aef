/* SPDX-License-Identifier: MIT */
/*
 * A FUSE file for each vpoll fd: every event exact on a stock kernel. The kernel asks the file
 * system for the events at each poll, and hears from it when a waiter has to look again.
 *
 * Who answers is a process of its own, the server, and not a thread. A thread would be gone in the
 * child of a fork and after an exec, while their copies of the fds live on; and a thread that is
 * killed after it took a request and before it answered leaves the sender in a wait that no signal
 * ends: if that is another thread of the same program, the program never goes away. A process is
 * not hurt by any end of the program, and if it is killed itself, the kernel ends every request and
 * all fds show ERR.
 *
 * The server is made with the first fd, and ends when no process has any of the fds, or the mount,
 * open any more; a program keeps the mount open until its end. It has none of the program's fds,
 * and the program's memory as it was, page by page until the program writes there.
 *
 * The events are kept in shared memory, so a change is a store; a system call is needed only if an
 * event came and somebody waits.
 */
#define _GNU_SOURCE 1
#include "fuse__internal.h"
#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct vpoll__fuse_slot* slots; /* written once, under the table's lock, by probe */
static atomic_int root = -1;           /* the mount's root; written under the table's lock */
static pid_t server;                   /* under the table's lock */

static uint32_t fuse_supported(void) { return VPOLL__EVENTS; }

static uint32_t fuse_exact(uint32_t done) {
  (void)done;
  return VPOLL__EVENTS;
}

/* ---- the server process ---- */

_Noreturn static void serve(enum vpoll__fuse_way way, int socket,
                            struct vpoll__fuse_report* report) {
  prctl(PR_SET_NAME, "vpoll-fuse");
  setsid(); /* a terminal's signals are not for us, nor those for the program's process group */
  int folder = chdir("/");
  (void)folder; /* where that fails, the folder stays busy for as long as we live: no harm */
  vpoll__fuse_mount(way, socket, report);
  if (report->error == 0 && report->root >= 0)
    report->error = vpoll__fuse_send_fd(socket, report->root);
  if (report->root >= 0) close(report->root);
  close(socket);
  if (report->error == 0) vpoll__fuse_serve(report->device, slots);
  _exit(0);
}

/* Starts a server; *got is the root of its mount. What failed goes to report->text. */
static int start(enum vpoll__fuse_way way, int* got, struct vpoll__fuse_report* report) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return errno;
  if (server > 0) waitpid(server, NULL, WNOHANG | __WALL);

  /* No handler of the program's may run in the server. */
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int child = vpoll__fuse_fork(0);
  if (child == 0) serve(way, pair[1], report);
  int error = child < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(pair[1]);
  if (error == 0) {
    server = child;
    int received = vpoll__fuse_receive_fd(pair[0]);
    if (received >= 0) {
      *got = vpoll__dup_high(received);
      if (*got < 0) error = errno;
      close(received);
    } else {
      error = report->error != 0 ? report->error : errno;
      while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
      } /* it ends by itself */
      server = 0;
    }
  }
  close(pair[0]);
  return error;
}

/* ---- files ---- */

static int ask_slot(int file, uint32_t* done) {
  uint32_t slot = 0;
  ssize_t got = pread(file, &slot, sizeof slot, VPOLL__FUSE_SLOT);
  if (got != sizeof slot || slot >= VPOLL__FUSE_SLOTS) return got < 0 ? errno : EBADF;
  *done = slot + 1;
  return 0;
}

static int wake(int file) {
  char nothing;
  return pread(file, &nothing, sizeof nothing, VPOLL__FUSE_WAKE) == 0 ? 0 : errno;
}

static int open_in(int folder, int* fd, uint32_t* done) {
  *fd = openat(folder, VPOLL__FUSE_FILE, O_RDONLY | O_CLOEXEC);
  if (*fd < 0) return errno;
  int error = ask_slot(*fd, done);
  if (error != 0) close(*fd);
  return error;
}

/* Tries the ways, unless the environment names one, until a file can be opened. Under the table's
   lock. */
static int find_way(char why[VPOLL__WHY]) {
  static const char* const names[] = {"direct", "userns", "fusermount"};
  const char* only = secure_getenv("VPOLL_FUSE_MOUNT");
  if (only != NULL && *only == '\0') only = NULL;
  size_t bytes = sizeof(struct vpoll__fuse_report);
  struct vpoll__fuse_report* report =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (report == MAP_FAILED) return vpoll__because(why, "mmap", errno);

  int error = EINVAL;
  size_t used = 0;
  for (int way = 0; way < VPOLL__FUSE_WAYS && error != 0; way++) {
    if (only != NULL && strcmp(only, names[way]) != 0) continue;
    int folder = -1;
    memset(report, 0, bytes);
    report->device = report->root = -1;
    error = start((enum vpoll__fuse_way)way, &folder, report);
    if (error == 0) {
      int file;
      uint32_t slot;
      error = open_in(folder, &file, &slot);
      if (error == 0) {
        close(file);
        atomic_store(&root, folder);
        break;
      }
      (void)snprintf(report->text, sizeof report->text, "open");
      close(folder);
    }
    const char* text = report->text[0] != '\0' ? report->text : "server";
    int wrote =
        snprintf(why + used, VPOLL__WHY - used, "%s%s: %s%s%s", used == 0 ? "" : "; ", names[way],
                 text, report->complete ? "" : ": ", report->complete ? "" : strerror(error));
    if (wrote > 0) used += (size_t)wrote;
    if (used >= VPOLL__WHY) used = VPOLL__WHY - 1;
    if (error == EMFILE || error == ENFILE || error == ENOMEM) break;
  }
  munmap(report, bytes);
  if (error == EINVAL && used == 0)
    (void)snprintf(why, VPOLL__WHY, "VPOLL_FUSE_MOUNT=%.32s: give direct, userns or fusermount",
                   only);
  return error;
}

static int fuse_probe(char why[VPOLL__WHY]) {
  if (slots == NULL) {
    void* memory = mmap(NULL, VPOLL__FUSE_SLOTS * sizeof(struct vpoll__fuse_slot),
                        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return vpoll__because(why, "mmap of the slots", errno);
    slots = memory;
  }
  int error = find_way(why);
  if (error == 0 || error == EMFILE || error == ENFILE || error == ENOMEM) return error;
  return EOPNOTSUPP;
}

/* The server was killed, the fd of the mount was closed behind our back, or the process has changed
   its user and may no longer open there: then another server, once. The old number is left alone,
   since another thread may be using it, or it may be another file's by now. */
static bool is_lost(int error) {
  return error == ENOTCONN || error == ECONNABORTED || error == EBADF || error == ENOENT ||
         error == ENOTDIR || error == EINVAL || error == EACCES;
}

static int open_file(int* fd, uint32_t* done) {
  int folder = atomic_load(&root);
  int error = open_in(folder, fd, done);
  if (!is_lost(error)) return error;
  vpoll__table_lock();
  char why[VPOLL__WHY];
  int failed = atomic_load(&root) == folder ? find_way(why) : 0;
  vpoll__table_unlock();
  return failed != 0 ? error : open_in(atomic_load(&root), fd, done);
}

static int fuse_open(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done) {
  int error = open_file(fd, done);
  if (error != 0) return error;
  ends->mine = vpoll__dup_high(*fd);
  if (ends->mine < 0) {
    error = errno;
    close(*fd);
    return error;
  }
  atomic_store(&slots[*done - 1].mask, events);
  return 0;
}

static int fuse_apply(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  int error = *done == 0 ? ask_slot(ends->mine, done) : 0;
  if (error != 0) return error;
  struct vpoll__fuse_slot* slot = &slots[*done - 1];
  uint32_t before = atomic_exchange(&slot->mask, events);
  if ((events & ~before) == 0 || atomic_exchange(&slot->scheduled, 0) == 0) return 0;
  error = wake(ends->mine);
  if (error != 0) atomic_store(&slot->mask, before);
  return error;
}

/* Also wakes: the process that was changing the events may have been killed before it did. */
static int fuse_sync(struct vpoll__ends* ends, uint32_t* done, uint32_t* events) {
  int error = ask_slot(ends->mine, done);
  if (error != 0) return error;
  *events = atomic_load(&slots[*done - 1].mask);
  return wake(ends->mine);
}

const struct vpoll__backend vpoll__backend_fuse = {
    .name = "fuse",
    .probe = fuse_probe,
    .supported = fuse_supported,
    .exact = fuse_exact,
    .on_request = true,
    .open = fuse_open,
    .apply = fuse_apply,
    .sync = fuse_sync,
};
