/* SPDX-License-Identifier: MIT */
/* 10,000 files updated by one call, against one call each. */
#include "check.h"

#include <sys/resource.h>

enum { FILES = 10000, ROUNDS = 20 };

int main(void) {
  struct rlimit limit = {FILES + 100, FILES + 100};
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  struct table t = make_table(FILES);
  static int fds[FILES];
  static struct vpoll_update entries[FILES];
  for (int i = 0; i < FILES; ++i) {
    fds[i] = make_file(&t, 0, &entries[i].index);
    CHECK(fds[i] >= 0);
  }
  report("10,000 files are made in one table");

  int64_t batch = 0, single = 0;
  struct vpoll_updates all = {.entries = (uintptr_t)entries, .count = FILES};
  for (int round = 0; round < ROUNDS; ++round) {
    uint32_t events = round % 2 ? EPOLLOUT : EPOLLIN;
    for (int i = 0; i < FILES; ++i) {
      entries[i].op = VPOLL_UPDATE_SET;
      entries[i].events = events;
    }
    int64_t start = now_ns();
    int done = ioctl(t.fd, VPOLL_IOC_UPDATE, &all);
    batch += now_ns() - start;
    SAME(done, FILES);
    for (int i = 0; i < FILES; ++i) SAME(t.map[entries[i].index].events, events);
    start = now_ns();
    for (int i = 0; i < FILES; ++i) ioctl(fds[i], VPOLL_IO_SETEVENTS, EPOLLPRI);
    single += now_ns() - start;
    for (int i = 0; i < FILES; ++i) SAME(t.map[entries[i].index].events, EPOLLPRI);
  }
  report("one call changes 10,000 files");
  printf("# batch %d: %.0f ns an entry, single: %.0f ns an entry, ratio %.1f\n", FILES,
         (double)batch / FILES / ROUNDS, (double)single / FILES / ROUNDS,
         (double)single / (double)batch);

  int set = epoll_create1(0);
  for (int i = 0; i < FILES; ++i) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = (uint32_t)i};
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event) == 0);
    entries[i].op = VPOLL_UPDATE_ADD;
    entries[i].events = EPOLLIN;
  }
  SAME(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), FILES);
  static struct epoll_event events[FILES];
  static bool seen[FILES];
  int count = 0;
  for (int n; (n = epoll_wait(set, events, FILES, 0)) > 0;) {
    for (int i = 0; i < n; ++i) {
      CHECK(!seen[events[i].data.u32]);
      seen[events[i].data.u32] = true;
      ++count;
    }
  }
  SAME(count, FILES);
  report("one call wakes epoll for each of 10,000 files");
  return check_failures ? 1 : 0;
}
