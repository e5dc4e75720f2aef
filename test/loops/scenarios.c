/* SPDX-License-Identifier: MIT */
#include "scenarios.h"

#include "vpoll/vpoll.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- in the loop's own thread ------------------------------------------------------------------
 */

static enum verdict expect(const struct watch* watch, const char* what, uint32_t seen, int times) {
  if (watch->seen == seen && watch->times == times) return passed;
  return fail("%s: reported %d times with %s, expected %d with %s", what, watch->times,
              names_of(watch->seen), times, names_of(seen));
}

static enum verdict readable_before(void) {
  struct watch* it = watch(vpoll_fd(EPOLLIN), EPOLLIN);
  if (!until(it, 1)) return fail("not reported");
  return expect(it, "the fd", EPOLLIN, 1);
}

static enum verdict taken_back_before(void) {
  int fd = vpoll_fd(0);
  struct watch* it = watch(fd, EPOLLIN);
  turns();
  set(fd, EPOLLIN);
  take_back(fd, EPOLLIN);
  turns();
  if (the_loop->completes && it->times > 0) return expect(it, "the fd", EPOLLIN, 1);
  return expect(it, "the fd", 0, 0);
}

static enum verdict writable_alone(void) {
  int fd = vpoll_fd(0);
  struct watch* it = watch(fd, EPOLLIN | EPOLLOUT);
  turns();
  if (it->times != 0) return fail("reported with %s before anything was set", names_of(it->seen));
  set(fd, EPOLLOUT);
  if (!until(it, 1)) return fail("not reported");
  return expect(it, "the fd", EPOLLOUT, 1);
}

static enum verdict both_together(void) {
  int fd = vpoll_fd(EPOLLIN | EPOLLOUT);
  struct watch* it = watch(fd, EPOLLIN | EPOLLOUT);
  if (!until(it, 1)) return fail("not reported");
  if (it->seen != (EPOLLIN | EPOLLOUT)) return fail("seen was %s", names_of(it->seen));
  take_back(fd, EPOLLIN);
  forget();
  change(it, EPOLLIN);
  turns();
  if (it->times != 0) return fail("IN was reported after it was taken back");
  return passed;
}

static enum verdict changed_interest(void) {
  int fd = vpoll_fd(EPOLLOUT);
  struct watch* it = watch(fd, EPOLLIN);
  turns();
  if (it->times != 0) return fail("%s was reported, not asked for", names_of(it->seen));
  change(it, EPOLLOUT);
  if (!until(it, 1)) return fail("OUT was not reported when asked for");
  return expect(it, "the fd", EPOLLOUT, 1);
}

static enum verdict hang_up_with_data(void) {
  int fd = vpoll_fd(EPOLLIN);
  bool exact = ((uint32_t)vpoll_exact(fd) & EPOLLHUP) != 0;
  set(fd, EPOLLHUP);
  uint32_t asked = the_loop->offers;
  uint32_t shown = EPOLLIN | EPOLLHUP | (exact ? 0 : EPOLLRDHUP);
  uint32_t expected = the_loop->reports(shown, asked);
  struct watch* it = watch(fd, asked);
  if (!until(it, 1)) return fail("not reported");
  if (it->seen != expected) return fail("%s, expected %s", names_of(it->seen), names_of(expected));
  return passed;
}

static enum verdict seven_of_many(void) {
  enum { many = 100 };
  static const int ready[] = {0, 1, 13, 50, 51, 77, 99};
  const int ready_count = sizeof ready / sizeof ready[0];
  struct watch* all[many];
  for (int i = 0; i < many; i++) all[i] = watch(vpoll_fd(0), EPOLLIN);
  turns();
  for (int i = 0; i < ready_count; i++) set(all[ready[i]]->fd, EPOLLIN);
  for (int i = 0; i < ready_count; i++)
    if (!until(all[ready[i]], 1)) return fail("number %d was not reported", ready[i]);
  int reported = 0;
  for (int i = 0; i < many; i++) {
    if (all[i]->times > 0) reported++;
    if ((all[i]->seen & ~(uint32_t)EPOLLIN) != 0) return fail("%s", names_of(all[i]->seen));
  }
  if (reported != ready_count) return fail("%d were reported", reported);
  for (int i = 0; i < ready_count; i++) take_back(all[ready[i]]->fd, EPOLLIN);
  quieten();
  turns();
  for (int i = 0; i < many; i++)
    if (all[i]->times > 0) return fail("number %d was reported after it was taken back", i);
  return passed;
}

static struct watch* the_vpoll;
static struct watch* the_pipe;
static int pipe_end;
static int order[3];
static int ordered;

static void timer_is_over(struct watch* it) {
  if (ordered < 3) order[ordered++] = 1;
  if (it->active) unwatch(it); /* a timerfd; the loops' own timers end by themselves */
  if (write(pipe_end, "x", 1) != 1) perror("write to a pipe");
}

static void pipe_is_readable(struct watch* it) {
  char byte;
  if (read(it->fd, &byte, 1) != 1) perror("read from a pipe");
  if (ordered < 3) order[ordered++] = 2;
  set(the_vpoll->fd, EPOLLIN);
}

static void take_in_back(struct watch* it) {
  if (ordered < 3) order[ordered++] = 3;
  take_back(it->fd, EPOLLIN);
}

static enum verdict beside_others(void) {
  int ends[2];
  if (pipe(ends) != 0) return fail("pipe: %s", strerror(errno));
  keep_fd(ends[0]);
  pipe_end = keep_fd(ends[1]);
  ordered = 0;
  the_vpoll = watch(vpoll_fd(0), EPOLLIN);
  the_vpoll->act = take_in_back;
  the_pipe = watch(ends[0], EPOLLIN);
  the_pipe->act = pipe_is_readable;
  timer(1)->act = timer_is_over;
  if (!until(the_vpoll, 1)) return fail("after %d of 3 the loop slept on", ordered);
  turns();
  if (order[0] != 1 || order[1] != 2 || order[2] != 3)
    return fail("the order was %d %d %d", order[0], order[1], order[2]);
  if (the_pipe->times != 1) return fail("the pipe was reported %d times", the_pipe->times);
  return expect(the_vpoll, "the vpoll fd", EPOLLIN, 1);
}

static void hand_over(struct watch* it) {
  take_back(it->fd, EPOLLIN);
  set(the_vpoll->fd, EPOLLIN);
}

static enum verdict set_in_callback(void) {
  struct watch* first = watch(vpoll_fd(EPOLLIN), EPOLLIN);
  first->act = hand_over;
  the_vpoll = watch(vpoll_fd(0), EPOLLIN);
  the_vpoll->act = take_in_back;
  if (!until(the_vpoll, 1)) return fail("the second was not reported");
  turns();
  enum verdict verdict = expect(first, "the first", EPOLLIN, 1);
  return verdict == passed ? expect(the_vpoll, "the second", EPOLLIN, 1) : verdict;
}

static void leave(struct watch* it) { unwatch(it); }

static enum verdict removed_in_callback(void) {
  int fd = vpoll_fd(EPOLLIN);
  struct watch* it = watch(fd, EPOLLIN);
  it->act = leave;
  if (!until(it, 1)) return fail("not reported");
  turns();
  if (it->times != 1) return fail("reported %d times more after its removal", it->times - 1);
  struct watch* again = watch(fd, EPOLLIN);
  if (!until(again, 1)) return fail("not reported when added again");
  return expect(again, "the fd", EPOLLIN, 1);
}

static struct watch* rivals[2];

static void remove_the_other(struct watch* it) {
  struct watch* other = rivals[it == rivals[0] ? 1 : 0];
  if (other->active) unwatch(other);
}

static enum verdict removed_by_another(void) {
  for (int i = 0; i < 2; i++) rivals[i] = watch(vpoll_fd(0), EPOLLIN);
  turns();
  for (int i = 0; i < 2; i++) {
    rivals[i]->act = remove_the_other;
    set(rivals[i]->fd, EPOLLIN);
  }
  if (!until_any()) return fail("neither was reported");
  turns();
  if (rivals[0]->times > 0 && rivals[1]->times > 0) return fail("both were reported");
  return passed;
}

static enum verdict removed_while_ready(void) {
  int fd = vpoll_fd(0);
  struct watch* it = watch(fd, EPOLLIN);
  struct watch* other = watch(vpoll_fd(0), EPOLLIN);
  turns();
  set(fd, EPOLLIN);
  unwatch(it);
  set(other->fd, EPOLLIN);
  if (!until(other, 1)) return fail("the other fd was not reported");
  return expect(it, "the removed fd", 0, 0);
}

static enum verdict closed_in_the_loop(void) {
  int fd = vpoll_fd(EPOLLIN);
  struct watch* it = watch(fd, EPOLLIN);
  if (!until(it, 1)) return fail("not reported");
  forget();
  vpoll_end(fd);
  turns();
  int times = it->times;
  it->active = false; /* nothing is left to remove */
  return times == 0 ? passed : fail("reported %d times after vpoll_close", times);
}

static enum verdict again_until_taken_back(void) {
  int fd = vpoll_fd(EPOLLIN);
  struct watch* it = watch_mode(fd, EPOLLIN, level);
  if (!until(it, 3)) return fail("reported %d times in all", it->times);
  take_back(fd, EPOLLIN);
  quieten();
  turns();
  return expect(it, "after it was taken back", 0, 0);
}

static enum verdict edge_once_a_change(void) {
  int fd = vpoll_fd(0);
  struct watch* it = watch_mode(fd, EPOLLIN, edge);
  turns();
  for (int round = 1; round <= 3; round++) {
    set(fd, EPOLLIN);
    if (!until(it, round)) return fail("change %d was not reported", round);
    turns();
    set(fd, EPOLLIN); /* no change */
    turns();
    if (it->times != round) return fail("%d reports of %d changes", it->times, round);
    take_back(fd, EPOLLIN);
    turns();
    if (it->times != round) return fail("a report when IN was taken back");
  }
  return expect(it, "the fd", EPOLLIN, 3);
}

static enum verdict once_until_asked(void) {
  int fd = vpoll_fd(EPOLLIN);
  struct watch* it = watch_mode(fd, EPOLLIN, one_shot);
  if (!until(it, 1)) return fail("not reported");
  turns();
  take_back(fd, EPOLLIN);
  set(fd, EPOLLIN);
  turns();
  if (it->times != 1) return fail("reported %d times before it was asked again", it->times);
  change(it, EPOLLIN);
  if (!until(it, 2)) return fail("not reported when asked again");
  turns();
  return expect(it, "the fd", EPOLLIN, 2);
}

/* --- another thread ------------------------------------------------------------------------------
 */

/* The main thread sleeps in the kernel; where /proc cannot tell, it is taken on trust. */
static bool main_sleeps(void) {
  char text[512];
  FILE* stat = fopen("/proc/self/stat", "r");
  if (stat == NULL) return true;
  size_t length = fread(text, 1, sizeof text - 1, stat);
  fclose(stat);
  text[length] = '\0';
  const char* name_end = strrchr(text, ')');
  return name_end == NULL || name_end[1] == '\0' || name_end[2] == 'S';
}

static void* set_while_asleep(void* argument) {
  for (int waited = 0; !main_sleeps() && waited < limit_ms; waited++)
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  set(*(int*)argument, EPOLLIN);
  return NULL;
}

static enum verdict woken_by_thread(void) {
  int fd = vpoll_fd(0);
  struct watch* it = watch(fd, EPOLLIN);
  turns();
  pthread_t thread;
  int error = pthread_create(&thread, NULL, set_while_asleep, &fd);
  if (error != 0) return fail("pthread_create: %s", strerror(error));
  bool woken = until(it, 1);
  pthread_join(thread, NULL);
  if (!woken) return fail("the loop slept on");
  return it->seen == EPOLLIN ? passed : fail("seen was %s", names_of(it->seen));
}

enum { rounds = 500 };

static struct {
  int fd;
  sem_t taken;
  int count; /* taken back so far */
  int wrong;
} race;

static void* set_in_turn(void* unused) {
  for (int i = 0; i < rounds; i++) {
    set(race.fd, EPOLLIN);
    while (sem_wait(&race.taken) != 0) {
    }
  }
  return unused;
}

static void take_in_turn(struct watch* it) {
  struct pollfd now = {.fd = it->fd, .events = POLLIN};
  /* A loop that keeps reports may bring one whose event was taken back by an earlier. */
  if (poll(&now, 1, 0) != 1) return;
  if (it->seen != EPOLLIN) race.wrong++;
  take_back(it->fd, EPOLLIN);
  race.count++;
  sem_post(&race.taken);
}

static enum verdict no_lost_wakeup(void) {
  race.fd = vpoll_fd(0);
  race.count = race.wrong = 0;
  sem_init(&race.taken, 0, 0);
  struct watch* it = watch(race.fd, EPOLLIN);
  it->act = take_in_turn;
  pthread_t thread;
  int error = pthread_create(&thread, NULL, set_in_turn, NULL);
  if (error != 0) return fail("pthread_create: %s", strerror(error));
  while (race.count < rounds && until(it, it->times + 1)) {
  }
  int reached = race.count;
  for (int i = 0; i < rounds; i++) sem_post(&race.taken);
  pthread_join(thread, NULL);
  sem_destroy(&race.taken);
  if (reached < rounds) return fail("the loop slept on after %d of %d", reached, rounds);
  return race.wrong == 0 ? passed : fail("%d reports were not IN alone", race.wrong);
}

static bool has_level(const struct loop* loop) { return loop->usual == level; }
static bool has_edge(const struct loop* loop) { return loop->edge; }
static bool forgets(const struct loop* loop) { return loop->forgets; }
static bool has_one_shot(const struct loop* loop) { return loop->one_shot; }

const struct scenario scenarios[] = {
    {"readable before the wait is reported", readable_before, NULL},
    {"readable while the loop sleeps, set by another thread, wakes it", woken_by_thread, NULL},
    {"no wakeup is lost while a thread sets what the loop takes back", no_lost_wakeup, NULL},
    {"taken back before the wait it is not reported, unless the loop completes at once",
     taken_back_before, NULL},
    {"writable alone is reported as writable alone", writable_alone, NULL},
    {"readable and writable are reported together", both_together, NULL},
    {"events asked for later are reported from then on", changed_interest, NULL},
    {"a hang-up with data left is reported with the data", hang_up_with_data, NULL},
    {"seven of a hundred are reported, and no other", seven_of_many, NULL},
    {"a vpoll fd, a pipe and a timer share the loop", beside_others, NULL},
    {"an event set in a callback is reported in a later turn", set_in_callback, NULL},
    {"removed in its own callback it is reported no more", removed_in_callback, NULL},
    {"removed by another's callback in the same turn it is reported no more", removed_by_another,
     NULL},
    {"removed while ready it is reported no more", removed_while_ready, NULL},
    {"closed by vpoll_close it has left the loop", closed_in_the_loop, forgets},
    {"reported again until taken back", again_until_taken_back, has_level},
    {"an edge is reported once a change", edge_once_a_change, has_edge},
    {"one shot is reported once until asked again", once_until_asked, has_one_shot},
};
const size_t scenario_count = sizeof scenarios / sizeof scenarios[0];
