/* SPDX-License-Identifier: MIT */
/*
 * One poll loop over stdin and a vpoll fd.
 *
 * A thread "hears" a message every now and then, as a network stack in a library would, and makes
 * the vpoll fd readable. The loop waits for that and for lines from stdin alike. Ends with stdin.
 *
 *     cc stdin.c $(pkg-config --cflags --libs vpoll) -o stdin && ./stdin
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <vpoll.h>

static int fd;              /* readable while messages wait */
static atomic_int messages; /* how many do */

static void* hear(void* unused) {
  for (;;) {
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    atomic_fetch_add(&messages, 1);
    vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, EPOLLIN);
  }
  return unused;
}

int main(void) {
  fd = vpoll_create(0, FD_CLOEXEC);
  if (fd < 0) {
    fprintf(stderr, "vpoll_create: %s\n", vpoll_error());
    return 1;
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, hear, NULL) != 0) return 1;

  for (;;) {
    struct pollfd wait[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    if (poll(wait, 2, -1) < 0) return 1;
    if ((wait[1].revents & POLLIN) != 0) {
      /* Taken back first: a message that comes meanwhile sets it again. */
      vpoll_ctl(fd, VPOLL_CTL_DELEVENTS, EPOLLIN);
      printf("heard %d\n", atomic_exchange(&messages, 0));
    }
    if ((wait[0].revents & (POLLIN | POLLHUP)) != 0) {
      char line[256];
      ssize_t got = read(STDIN_FILENO, line, sizeof line);
      if (got <= 0) break;
      printf("typed %.*s", (int)got, line);
    }
    fflush(stdout);
  }
  vpoll_close(fd); /* the thread may still call vpoll_ctl: EBADF, and no harm */
  return 0;
}
