/* SPDX-License-Identifier: MIT */
/*
 * fd -> entry, and the shared states.
 *
 * Entries live in blocks that are made on demand and never freed, so a lookup takes no lock: two
 * loads and an index. The lock of an entry is in its shared state.
 *
 * States live in shared anonymous memory, because a program may fork and change the events of one
 * fd from both processes (the demo in libvpoll's manual does); with a mask in each process, "does
 * any bit change?" would be answered wrongly. After a fork both processes know the same free
 * states, hence the claim by compare-and-swap on `turn`.
 *
 * A state goes back to the process that made it, while others may go on with the fd: the children
 * of a server that closes its own copy, say. So states that a fork has shared rest for a while
 * before they are used anew. A process that finds that its state belongs to somebody else by then
 * takes a fresh one, and from there on asks the kernel object before each change what it shows,
 * since its brothers have states of their own. All that is lost then is that changes by two such
 * processes at the same moment exclude each other.
 */
#define _GNU_SOURCE 1
#include "vpoll__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

enum {
  entries_per_block = 1024,
  max_blocks = 1 << 16, /* 67 million fds; Linux allows 2^30, no machine has the memory */
  states_per_mapping = 1024,
  resting_states = 1024,
};

static _Atomic(struct vpoll__entry*) blocks[max_blocks];

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vpoll__shared** free_states; /* a stack; the rest under table_lock */
static size_t free_count;
static size_t state_count;  /* states ever mapped here: the capacity of free_states */
static unsigned generation; /* grows in the child of each fork; written while single-threaded */
static unsigned forks;      /* of this process; under table_lock */
static struct vpoll__shared* resting[resting_states]; /* a ring; under table_lock */
static size_t resting_next;                           /* the oldest, or NULL */

void vpoll__table_lock(void) { pthread_mutex_lock(&table_lock); }
void vpoll__table_unlock(void) { pthread_mutex_unlock(&table_lock); }

static void after_fork_in_parent(void) {
  forks++;
  vpoll__table_unlock();
}

static void after_fork_in_child(void) {
  generation++;
  /* They are the parent's to give back. */
  for (size_t i = 0; i < resting_states; i++)
    if (resting[i] != NULL) resting[i] = NULL;
  vpoll__table_unlock();
}

__attribute__((constructor)) static void hook_fork(void) {
  /* Fails only without memory at program start. Then a fork in the middle of another thread's
     vpoll_create can leave the child's table locked; all else stays right. */
  (void)pthread_atfork(vpoll__table_lock, after_fork_in_parent, after_fork_in_child);
}

/* ---- states ---- */

static int map_states(void) {
  size_t bytes = states_per_mapping * sizeof(struct vpoll__shared);
  struct vpoll__shared** stack =
      realloc(free_states, (state_count + states_per_mapping) * sizeof(struct vpoll__shared*));
  if (stack == NULL) return ENOMEM;
  free_states = stack;
  struct vpoll__shared* states =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (states == MAP_FAILED) return ENOMEM;

  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  /* A child that is killed inside vpoll_ctl must not hang its parent. */
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (int i = states_per_mapping - 1; i >= 0; i--) {
    pthread_mutex_init(&states[i].lock, &attributes);
    free_states[free_count++] = &states[i];
  }
  pthread_mutexattr_destroy(&attributes);
  state_count += states_per_mapping;
  return 0;
}

/* A state that is ours alone, or NULL. Its turn, now odd, goes to *turn. Under table_lock. */
static struct vpoll__shared* claim_state(uint64_t* turn) {
  for (;;) {
    if (free_count == 0 && map_states() != 0) return NULL;
    struct vpoll__shared* state = free_states[--free_count];
    uint64_t seen = atomic_load(&state->turn);
    if ((seen & 1) == 0 && atomic_compare_exchange_strong(&state->turn, &seen, seen + 1)) {
      *turn = seen + 1;
      return state;
    }
    /* Another process has claimed it: it is no longer in our stack, and theirs to release. */
  }
}

/* Frees a state that was claimed here. Under table_lock. */
static void free_state(struct vpoll__shared* state) {
  atomic_fetch_add(&state->turn, 1);
  free_states[free_count++] = state;
}

/* Gives back a state that was claimed here when there had been `forks_then` forks: after a rest, if
   a child may be using it. Under table_lock. */
static void release_state(struct vpoll__shared* state, unsigned forks_then) {
  if (forks_then != forks) {
    struct vpoll__shared* oldest = resting[resting_next];
    resting[resting_next] = state;
    resting_next = (resting_next + 1) % resting_states;
    state = oldest;
  }
  if (state != NULL) free_state(state);
}

/* Locks a state. True if its last holder died inside: mask and done may then be behind the object.
 */
static bool lock_state(struct vpoll__shared* state) {
  if (pthread_mutex_lock(&state->lock) != EOWNERDEAD) return false;
  pthread_mutex_consistent(&state->lock);
  return true;
}

/* ---- entries ---- */

static struct vpoll__entry* find(int fd) {
  if (fd < 0 || fd / entries_per_block >= max_blocks) return NULL;
  struct vpoll__entry* block =
      atomic_load_explicit(&blocks[fd / entries_per_block], memory_order_acquire);
  return block == NULL ? NULL : &block[fd % entries_per_block];
}

/* Under table_lock. */
static struct vpoll__entry* find_or_make(int fd) {
  struct vpoll__entry* entry = find(fd);
  if (entry != NULL || fd / entries_per_block >= max_blocks) return entry;
  struct vpoll__entry* block = calloc(entries_per_block, sizeof *block);
  if (block == NULL) return NULL;
  atomic_store_explicit(&blocks[fd / entries_per_block], block, memory_order_release);
  return &block[fd % entries_per_block];
}

int vpoll__table_add(int fd, const struct vpoll__backend* backend, struct vpoll__ends ends,
                     uint32_t mask, uint32_t done) {
  struct vpoll__shared* stale;
  struct vpoll__entry* old = vpoll__entry_lock(fd, &stale);
  if (old != NULL) vpoll__entry_remove(old, stale);

  vpoll__table_lock();
  uint64_t turn = 0;
  struct vpoll__entry* entry = find_or_make(fd);
  struct vpoll__shared* state = entry == NULL ? NULL : claim_state(&turn);
  unsigned forks_then = forks;
  vpoll__table_unlock();
  if (state == NULL) return ENOMEM;

  /* A thread that still holds the state from its last life sees the whole new entry or none. */
  lock_state(state);
  state->mask = mask;
  state->done = done;
  entry->backend = backend;
  entry->ends = ends;
  entry->opened = done;
  entry->generation = generation;
  entry->forks = forks_then;
  entry->adopted = false;
  atomic_store(&entry->shared, state);
  atomic_store(&entry->turn, turn);
  pthread_mutex_unlock(&state->lock);
  return 0;
}

/* Gives the entry, whose state `lost` serves another fd by now, a state of its own. 0 or errno. */
static int adopt(struct vpoll__entry* entry, struct vpoll__shared* lost) {
  int error = 0;
  int cancellation;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
  vpoll__table_lock();
  /* Unless another thread has done so, or closed the fd. */
  if (atomic_load(&entry->shared) == lost &&
      atomic_load(&entry->turn) != atomic_load(&lost->turn)) {
    uint64_t turn;
    struct vpoll__shared* state = claim_state(&turn);
    if (state == NULL) {
      error = ENOMEM;
    } else {
      lock_state(state);
      state->mask = 0;
      state->done = entry->opened;
      error = entry->backend->sync(&entry->ends, &state->done, &state->mask);
      if (error == 0) {
        entry->generation = generation;
        entry->forks = forks;
        entry->adopted = true;
        /* In this order: entry_lock reads them the other way round. */
        atomic_store(&entry->shared, state);
        atomic_store(&entry->turn, turn);
      } else {
        free_state(state);
      }
      pthread_mutex_unlock(&state->lock);
    }
  }
  vpoll__table_unlock();
  pthread_setcancelstate(cancellation, NULL);
  return error;
}

struct vpoll__entry* vpoll__entry_lock(int fd, struct vpoll__shared** shared) {
  struct vpoll__entry* entry = find(fd);
  for (;;) {
    struct vpoll__shared* state = entry == NULL ? NULL : atomic_load(&entry->shared);
    if (state == NULL) {
      errno = EBADF;
      return NULL;
    }
    bool holder_died = lock_state(state);
    uint64_t turn = atomic_load(&entry->turn);
    if (atomic_load(&entry->shared) != state) {
      pthread_mutex_unlock(&state->lock);
      continue;
    }
    if (turn == atomic_load(&state->turn)) {
      if (holder_died || entry->adopted)
        (void)entry->backend->sync(&entry->ends, &state->done, &state->mask);
      *shared = state;
      return entry;
    }
    pthread_mutex_unlock(&state->lock);
    int error = adopt(entry, state);
    if (error != 0) {
      errno = error;
      return NULL;
    }
  }
}

void vpoll__entry_unlock(struct vpoll__shared* shared) { pthread_mutex_unlock(&shared->lock); }

void vpoll__entry_remove(struct vpoll__entry* entry, struct vpoll__shared* shared) {
  /* A child gives back only what it made itself: its parent still uses the rest. */
  bool made_here = entry->generation == generation;
  unsigned forks_then = entry->forks;
  atomic_store(&entry->shared, NULL);
  vpoll__ends_close(&entry->ends);
  pthread_mutex_unlock(&shared->lock);
  if (made_here) {
    /* A fork before this has found the entry or not; one after it does not find it. */
    vpoll__table_lock();
    release_state(shared, forks_then);
    vpoll__table_unlock();
  }
}

/* ---- ends ---- */

void vpoll__ends_close(struct vpoll__ends* ends) {
  int saved = errno;
  if (ends->peer >= 0) close(ends->peer);
  if (ends->mine >= 0) close(ends->mine);
  ends->peer = ends->mine = -1;
  errno = saved;
}

int vpoll__dup_high(int fd) {
  int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);
  return high >= 0 ? high : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
