/* SPDX-License-Identifier: MIT */
/*
 * Wake-ups under races. Each case has producers that add a bit by the protocol of vpoll.h and
 * consumers that sleep for it, take it back and count it. Nobody may sleep for good: what is waited
 * for comes in 20 s, or a wake-up was lost.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>

enum { LOST_MS = 20000, CASE_MS = 4000, MOST_WAITERS = 16 };

struct game {
  struct table table;
  int fd;
  uint32_t index;
  atomic_bool stop;
  atomic_int lost;
  atomic_uint given, taken, calls;
};

/* One token is in play: whoever takes `bit` lets the producer of `bit` add it again. */
struct player {
  struct game* game;
  uint32_t bit;
  uint32_t how; /* 0: poll, else epoll with these flags besides the bit */
  int set;
  unsigned noise;
  pthread_t thread;
};

static void* produce(void* argument) {
  struct player* p = argument;
  struct game* g = p->game;
  for (unsigned n = 0; !atomic_load(&g->stop); ++n) {
    int64_t start = now_ns();
    while (atomic_load((_Atomic uint32_t*)&g->table.map[g->index].events) & p->bit) {
      if (atomic_load(&g->stop)) return NULL;
      if (now_ns() - start > LOST_MS * 1000000LL) {
        atomic_fetch_add(&g->lost, 1);
        atomic_store(&g->stop, true);
        return NULL;
      }
      sched_yield();
    }
    atomic_fetch_add(&g->given, 1);
    if (add_word(&g->table, g->index, p->bit)) atomic_fetch_add(&g->calls, 1);
    /* Sometimes taken back at once, and added again before anybody may have looked. */
    if (n % 7 == 0 && (take_word(&g->table, g->index, p->bit) & p->bit))
      if (add_word(&g->table, g->index, p->bit)) atomic_fetch_add(&g->calls, 1);
  }
  return NULL;
}

static void* consume(void* argument) {
  struct player* p = argument;
  struct game* g = p->game;
  while (!atomic_load(&g->stop)) {
    if (p->how == 0) {
      polled(g->fd, (short)p->bit, 100000);
    } else {
      struct epoll_event event;
      epoll_wait(p->set, &event, 1, 100000);
    }
    if (take_word(&g->table, g->index, p->bit) & p->bit) atomic_fetch_add(&g->taken, 1);
    if (p->how & EPOLLONESHOT) {
      struct epoll_event again = {.events = p->bit | p->how};
      epoll_ctl(p->set, EPOLL_CTL_MOD, g->fd, &again);
    }
  }
  return NULL;
}

/*
 * Consumers alternate between two bits, so that a wake-up for one must not disarm those who sleep
 * for the other. Nobody but they ends a wait: a timeout is far beyond what the producers allow.
 */
static void play(const char* name, const uint32_t* ways, int count, bool shared_set) {
  static const uint32_t bits[2] = {EPOLLIN, EPOLLOUT};
  struct game g = {.table = make_table(1)};
  g.fd = make_file(&g.table, 0, &g.index);
  struct player producers[2], consumers[MOST_WAITERS];
  int set = shared_set ? epoll_create1(0) : -1;
  for (int i = 0; i < count; ++i) {
    struct player* p = &consumers[i];
    *p = (struct player){.game = &g, .bit = bits[shared_set ? 0 : i % 2], .how = ways[i]};
    if (!p->how) continue;
    p->set = shared_set ? set : epoll_create1(0);
    struct epoll_event event = {.events = p->bit | (p->how == EPOLLMSG ? 0 : p->how)};
    if (!shared_set || i == 0) CHECK(epoll_ctl(p->set, EPOLL_CTL_ADD, g.fd, &event) == 0);
  }
  for (int i = 0; i < count; ++i) {
    pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]);
  }
  int producing = shared_set ? 1 : 2;
  for (int i = 0; i < producing; ++i) {
    producers[i] = (struct player){.game = &g, .bit = bits[i]};
    pthread_create(&producers[i].thread, NULL, produce, &producers[i]);
  }
  for (int i = 0; i < CASE_MS / 50 && !atomic_load(&g.stop); ++i) usleep(50000);
  /* A loss is only known after LOST_MS, so each bit has to go through once more. */
  unsigned before = atomic_load(&g.taken);
  int64_t start = now_ns();
  while (!atomic_load(&g.stop) && atomic_load(&g.taken) < before + 4) {
    if (now_ns() - start > LOST_MS * 1000000LL) atomic_fetch_add(&g.lost, 1);
    if (atomic_load(&g.lost)) break;
    usleep(1000);
  }
  atomic_store(&g.stop, true);
  for (int i = 0; i < producing; ++i) pthread_join(producers[i].thread, NULL);
  /* Wakes all that wait, whichever way: each needs an event of its own. */
  atomic_int left = count;
  for (int i = 0; i < count; ++i) {
    while (pthread_tryjoin_np(consumers[i].thread, NULL)) {
      ioctl(g.fd, VPOLL_IO_SETEVENTS, 0);
      ioctl(g.fd, VPOLL_IO_SETEVENTS, EPOLLIN | EPOLLOUT);
      usleep(1000);
    }
    if (consumers[i].how && !shared_set) close(consumers[i].set);
    atomic_fetch_sub(&left, 1);
  }
  if (set >= 0) close(set);
  SAME(atomic_load(&g.lost), 0);
  CHECK(atomic_load(&g.taken) > 100);
  printf("# %u given, %u taken, %u calls\n", atomic_load(&g.given), atomic_load(&g.taken),
         atomic_load(&g.calls));
  report(name);
  close(g.fd);
  free_table(&g.table);
}

/* EPOLLMSG stands for plain epoll: it is no flag, and never set here. */
enum { LEVEL = EPOLLMSG };

struct closing {
  struct table table;
  atomic_bool stop;
  atomic_long updates;
};

static void* update_all(void* argument) {
  struct closing* c = argument;
  unsigned n = 0;
  while (!atomic_load(&c->stop)) {
    int done = update(&c->table, n % c->table.words, (uint16_t)(n % 4), n % 4 ? EPOLLIN : 0);
    if (done == 1) atomic_fetch_add(&c->updates, 1);
    ++n;
  }
  return NULL;
}

static void* open_and_close(void* argument) {
  struct closing* c = argument;
  int set = epoll_create1(0);
  for (unsigned n = 0; !atomic_load(&c->stop); ++n) {
    int fd = make_file(&c->table, 0, NULL);
    if (fd < 0) continue;
    struct epoll_event event = {.events = EPOLLIN | (n % 2 ? EPOLLEXCLUSIVE : EPOLLET)};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    if (n % 3) polled(fd, POLLIN, 1);
    close(fd);
  }
  close(set);
  return NULL;
}

static void close_against_update(void) {
  struct closing c = {.table = make_table(4)};
  pthread_t threads[5];
  for (int i = 0; i < 5; ++i)
    pthread_create(&threads[i], NULL, i < 2 ? update_all : open_and_close, &c);
  usleep(CASE_MS * 1000);
  atomic_store(&c.stop, true);
  for (int i = 0; i < 5; ++i) pthread_join(threads[i], NULL);
  CHECK(atomic_load(&c.updates) > 10);
  uint32_t index = 0;
  bool used[4] = {false};
  int fds[4];
  for (int i = 0; i < 4; ++i) {
    fds[i] = make_file(&c.table, 0, &index);
    CHECK(fds[i] >= 0 && index < 4 && !used[index]);
    if (index < 4) used[index] = true;
    SAME(c.table.map[index].events, 0);
  }
  for (int i = 0; i < 4; ++i) close(fds[i]);
  report("files are closed while others update them, and no word is lost");
  free_table(&c.table);
}

int main(void) {
  const uint32_t poll_ways[2] = {0, 0};
  play("no wake-up of poll is lost", poll_ways, 2, false);
  const uint32_t level[2] = {LEVEL, LEVEL};
  play("no wake-up of level-triggered epoll is lost", level, 2, false);
  const uint32_t edge[2] = {EPOLLET, EPOLLET};
  play("no edge is lost", edge, 2, false);
  const uint32_t once[2] = {EPOLLET | EPOLLONESHOT, EPOLLONESHOT};
  play("no wake-up with ONESHOT is lost", once, 2, false);
  const uint32_t exclusive[6] = {EPOLLEXCLUSIVE,           EPOLLEXCLUSIVE, EPOLLEXCLUSIVE | EPOLLET,
                                 EPOLLEXCLUSIVE | EPOLLET, EPOLLEXCLUSIVE, EPOLLEXCLUSIVE};
  play("no wake-up with EXCLUSIVE is lost", exclusive, 6, false);
  const uint32_t shared[4] = {LEVEL, LEVEL, LEVEL, LEVEL};
  play("no wake-up of many threads in one epoll set is lost", shared, 4, true);
  uint32_t mixed[MOST_WAITERS];
  for (int i = 0; i < MOST_WAITERS; ++i)
    mixed[i] = (const uint32_t[]){0, LEVEL, EPOLLET, EPOLLEXCLUSIVE}[i / 2 % 4];
  play("no wake-up of 16 waiters of all kinds is lost", mixed, MOST_WAITERS, false);
  close_against_update();
  return check_failures ? 1 : 0;
}
