/* SPDX-License-Identifier: MIT */
/*
 * A table of event words that the module of /dev/vpoll shares with the process: a change is a store
 * to memory, and a system call only if somebody may be asleep for it. Every event exact. The
 * protocol of the words is in uapi/vpoll.h.
 */
#define _GNU_SOURCE 1
#include "../kernel/uapi/vpoll.h"
#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * `done` is where the word is: the number of its table in the upper bits, its index in the lower.
 * Tables are never unmapped: a child has those of its parent. A new one is made when the last is
 * full, or its descriptor was closed behind the library's back (as daemons do with all that they
 * find). The size is a compromise: a table costs the kernel 8 bytes a word from the start, used or
 * not.
 */
enum { index_bits = 14, table_words = 1 << index_bits, max_tables = 256 };

struct table {
  int fd;
  struct vpoll_word* words;
};
static struct table tables[max_tables];
static _Atomic unsigned
    table_count; /* grows under the table lock; what is below it never changes */

static uint32_t table_supported(void) { return VPOLL__EVENTS; }
static uint32_t table_exact(uint32_t done) {
  (void)done;
  return VPOLL__EVENTS;
}

static struct vpoll_word* word_of(uint32_t done) {
  return &tables[done >> index_bits].words[done & (table_words - 1)];
}

/* Under the table lock. 0 or an errno; EOPNOTSUPP if this kernel has no tables. */
static int make_table(char why[VPOLL__WHY]) {
  unsigned count = atomic_load(&table_count);
  if (count == max_tables) return vpoll__because(why, VPOLL_DEVICE ": too many tables", ENFILE);
  int fd = open(VPOLL_DEVICE, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    int error = vpoll__because(why, VPOLL_DEVICE, errno);
    if (error == EPERM) return EACCES;
    bool absent = error == ENOENT || error == ENOTDIR || error == ENXIO || error == ENODEV;
    return absent ? EOPNOTSUPP : error;
  }
  int error = 0;
  if (ioctl(fd, VPOLL_IOC_TABLE, (unsigned long)table_words) != 0) {
    error = vpoll__because(why, VPOLL_DEVICE ": its module knows no tables", errno);
    if (error == ENOTTY || error == EINVAL) error = EOPNOTSUPP;
  }
  void* words = MAP_FAILED;
  if (error == 0) {
    words = mmap(NULL, table_words * sizeof(struct vpoll_word), PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, 0);
    if (words == MAP_FAILED) error = vpoll__because(why, VPOLL_DEVICE ": mmap", errno);
  }
  int high = error == 0 ? vpoll__dup_high(fd) : -1;
  if (error == 0 && high < 0) {
    error = vpoll__because(why, VPOLL_DEVICE, errno);
    munmap(words, table_words * sizeof(struct vpoll_word));
  }
  close(fd);
  if (error != 0) return error;
  tables[count] = (struct table){.fd = high, .words = words};
  atomic_store(&table_count, count + 1);
  return 0;
}

static int table_open(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done) {
  for (;;) {
    unsigned count = atomic_load(&table_count);
    struct vpoll_file file = {.events = events, .flags = VPOLL_FILE_CLOEXEC};
    if (ioctl(tables[count - 1].fd, VPOLL_IOC_FILE, &file) >= 0) {
      *fd = file.fd;
      *done = (count - 1) << index_bits | file.index;
      break;
    }
    if (errno != ENOSPC && errno != EBADF && errno != ENOTTY) return errno;
    char why[VPOLL__WHY];
    int error = 0;
    vpoll__table_lock();
    if (atomic_load(&table_count) == count) error = make_table(why);
    vpoll__table_unlock();
    if (error != 0) return error;
  }
  ends->mine = vpoll__dup_high(*fd);
  if (ends->mine >= 0) return 0;
  int error = errno;
  close(*fd);
  return error;
}

static int table_change(struct vpoll__ends* ends, uint32_t* done, uint32_t events, uint32_t* wake) {
  (void)ends;
  struct vpoll_word* word = word_of(*done);
  uint32_t before = __atomic_exchange_n(&word->events, events, __ATOMIC_SEQ_CST);
  *wake = events & ~before & __atomic_load_n(&word->armed, __ATOMIC_SEQ_CST);
  return 0;
}

/* Entries a system call, on the stack. */
enum { wakes_per_call = 512 };

static int table_wake(const struct vpoll__wake* wakes, size_t count) {
  struct vpoll_update updates[wakes_per_call];
  for (size_t i = 0; i < count;) {
    unsigned number = wakes[i].done >> index_bits;
    uint32_t filled = 0;
    for (; i < count && filled < wakes_per_call && wakes[i].done >> index_bits == number; i++)
      updates[filled++] = (struct vpoll_update){.index = wakes[i].done & (table_words - 1),
                                                .op = VPOLL_UPDATE_WAKE,
                                                .events = wakes[i].events};
    for (uint32_t sent = 0; sent < filled;) {
      struct vpoll_updates batch = {.entries = (uintptr_t)(updates + sent), .count = filled - sent};
      int carried_out = ioctl(tables[number].fd, VPOLL_IOC_UPDATE, &batch);
      if (carried_out == 0) return EIO;
      if (carried_out < 0 && errno != ENOENT) return errno;
      /* ENOENT: that file was closed meanwhile, and nobody waits for it. */
      sent += carried_out > 0 ? (uint32_t)carried_out : 1;
    }
  }
  return 0;
}

static int table_apply(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  struct vpoll_word* word = word_of(*done);
  uint32_t before = __atomic_load_n(&word->events, __ATOMIC_SEQ_CST);
  struct vpoll__wake wake = {.done = *done};
  int error = table_change(ends, done, events, &wake.events);
  if (error == 0 && wake.events != 0) error = table_wake(&wake, 1);
  if (error != 0) __atomic_store_n(&word->events, before, __ATOMIC_SEQ_CST);
  return error;
}

/* Also wakes: the process that was changing the events may have been killed before it did. */
static int table_sync(struct vpoll__ends* ends, uint32_t* done, uint32_t* events) {
  (void)ends;
  struct vpoll_word* word = word_of(*done);
  *events = __atomic_load_n(&word->events, __ATOMIC_SEQ_CST) & VPOLL__EVENTS;
  struct vpoll__wake wake = {.done = *done,
                             .events = *events & __atomic_load_n(&word->armed, __ATOMIC_SEQ_CST)};
  return wake.events == 0 ? 0 : table_wake(&wake, 1);
}

const struct vpoll__backend vpoll__backend_table = {
    .name = "table",
    .probe = make_table,
    .supported = table_supported,
    .exact = table_exact,
    .open = table_open,
    .apply = table_apply,
    .change = table_change,
    .wake = table_wake,
    .sync = table_sync,
};
