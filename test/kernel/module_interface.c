/* SPDX-License-Identifier: MIT */
/* /dev/vpoll as kernel/uapi/vpoll.h describes it, call by call. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static uint32_t epolled(int set, int timeout_ms) {
  struct epoll_event event = {0};
  int n = epoll_wait(set, &event, 1, timeout_ms);
  return n == 1 ? event.events : 0;
}

static int watch(int fd, uint32_t events) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = events};
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
  return set;
}

static void published_ioctls(void) {
  int fd = open_device(), set = watch(fd, VPOLL_EVENT_MASK);
  for (int bit = 0; bit < 28; ++bit) {
    uint32_t mask = 1U << bit;
    SAME(ioctl(fd, VPOLL_IO_ADDEVENTS, mask), mask);
    SAME(ioctl(fd, VPOLL_IO_ADDEVENTS, mask), mask);
    SAME(epolled(set, 0), mask);
    SAME(ioctl(fd, VPOLL_IO_DELEVENTS, mask), 0);
    SAME(epolled(set, 0), 0);
  }
  close(set);
  report("each of the 28 bits is set and taken back alone");
  SAME(ioctl(fd, VPOLL_IO_SETEVENTS, VPOLL_EVENT_MASK), VPOLL_EVENT_MASK);
  SAME(ioctl(fd, VPOLL_IO_DELEVENTS, EPOLLIN | EPOLLHUP),
       VPOLL_EVENT_MASK & ~(uint32_t)(EPOLLIN | EPOLLHUP));
  SAME(ioctl(fd, VPOLL_IO_SETEVENTS, EPOLLIN | EPOLLRDHUP), EPOLLIN | EPOLLRDHUP);
  SAME(polled(fd, POLLIN | POLLOUT | 0x2000, 0), POLLIN | 0x2000);
  SAME(ioctl(fd, VPOLL_IO_ADDEVENTS, 0), EPOLLIN | EPOLLRDHUP);
  report("bits are set and taken back together");

  set = watch(fd, EPOLLIN);
  SAME(epolled(set, 0), EPOLLIN);
  SAME(epolled(set, 0), EPOLLIN);
  close(set);
  set = watch(fd, EPOLLIN | EPOLLET);
  SAME(epolled(set, 0), EPOLLIN);
  SAME(epolled(set, 0), 0);
  ioctl(fd, VPOLL_IO_ADDEVENTS, EPOLLIN | EPOLLOUT);
  SAME(epolled(set, 0), 0);
  ioctl(fd, VPOLL_IO_DELEVENTS, EPOLLIN);
  SAME(epolled(set, 0), 0);
  ioctl(fd, VPOLL_IO_ADDEVENTS, EPOLLIN);
  SAME(epolled(set, 0), EPOLLIN);
  close(set);
  set = watch(fd, EPOLLIN | EPOLLONESHOT);
  SAME(epolled(set, 0), EPOLLIN);
  ioctl(fd, VPOLL_IO_DELEVENTS, EPOLLIN);
  ioctl(fd, VPOLL_IO_ADDEVENTS, EPOLLIN);
  SAME(epolled(set, 0), 0);
  struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT};
  epoll_ctl(set, EPOLL_CTL_MOD, fd, &again);
  SAME(epolled(set, 0), EPOLLIN);
  close(set);
  report("epoll sees levels, edges and one shot of a file of its own");
  close(fd);
}

static void bad_input(void) {
  int fd = open_device();
  ioctl(fd, VPOLL_IO_SETEVENTS, EPOLLOUT);
  char byte = 0;
  FAILS(ioctl(fd, VPOLL_IO_ADDEVENTS, 1UL << 28), EINVAL);
  FAILS(ioctl(fd, VPOLL_IO_SETEVENTS, EPOLLIN | 1UL << 40), EINVAL);
  FAILS(ioctl(fd, VPOLL_IO_DELEVENTS, EPOLLOUT | 1UL << 31), EINVAL);
  FAILS(ioctl(fd, _IO('^', 0), 0), ENOTTY);
  FAILS(ioctl(fd, _IO('^', 4), 0), ENOTTY);
  FAILS(ioctl(fd, TIOCSTI, &byte), ENOTTY);
  FAILS(read(fd, &byte, 1), EINVAL);
  FAILS(write(fd, &byte, 1), EINVAL);
  FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
  FAILS(ioctl(fd, VPOLL_IOC_TABLE, 8), EBUSY);
  struct vpoll_file file = {0};
  FAILS(ioctl(fd, VPOLL_IOC_FILE, &file), EINVAL);
  struct vpoll_updates none = {0};
  FAILS(ioctl(fd, VPOLL_IOC_UPDATE, &none), EINVAL);
  SAME(ioctl(fd, VPOLL_IO_ADDEVENTS, 0), EPOLLOUT);
  report("bad input to a file of its own gives an errno and changes nothing");
  close(fd);

  fd = open_device();
  FAILS(ioctl(fd, VPOLL_IOC_TABLE, 0), EINVAL);
  FAILS(ioctl(fd, VPOLL_IOC_TABLE, VPOLL_TABLE_MAX + 1UL), EINVAL);
  FAILS(ioctl(fd, VPOLL_IOC_TABLE, 1UL << 32 | 1), EINVAL);
  close(fd);

  struct table t = make_table(513);
  uint32_t index = 99;
  int one = make_file(&t, EPOLLOUT, &index);
  CHECK(one >= 0);
  SAME(index, 0);
  FAILS(ioctl(t.fd, VPOLL_IOC_TABLE, 8), EBUSY);
  FAILS(ioctl(t.fd, VPOLL_IO_ADDEVENTS, EPOLLIN), EINVAL);
  SAME(polled(t.fd, 0x3fff, 0), 0);
  file = (struct vpoll_file){.flags = 2};
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, &file), EINVAL);
  file = (struct vpoll_file){.events = 1U << 28};
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, &file), EINVAL);
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, NULL), EFAULT);
  void* read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, read_only), EFAULT);
  int two = make_file(&t, 0, &index);
  SAME(index, 1);
  SAME(two, one + 1);
  close(two);
  report("a file that can't be made leaves neither a word nor a descriptor taken");

  FAILS(update(&t, 0, 4, EPOLLIN), EINVAL);
  FAILS(update(&t, 0, VPOLL_UPDATE_ADD, 1U << 28), EINVAL);
  FAILS(update(&t, 513, VPOLL_UPDATE_ADD, EPOLLIN), EINVAL);
  FAILS(update(&t, 512, VPOLL_UPDATE_ADD, EPOLLIN), ENOENT);
  FAILS(update(&t, UINT32_MAX, VPOLL_UPDATE_WAKE, 0), EINVAL);
  struct vpoll_update entries[3] = {{.index = 0, .op = VPOLL_UPDATE_ADD, .events = EPOLLIN},
                                    {.index = 7, .op = VPOLL_UPDATE_ADD, .events = EPOLLIN},
                                    {.index = 0, .op = VPOLL_UPDATE_ADD, .events = EPOLLPRI}};
  struct vpoll_updates all = {.entries = (uintptr_t)entries, .count = VPOLL_UPDATE_MAX + 1};
  FAILS(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), EINVAL);
  all = (struct vpoll_updates){.entries = (uintptr_t)entries, .count = 3, .reserved = 1};
  FAILS(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), EINVAL);
  all = (struct vpoll_updates){.entries = 0, .count = 3};
  FAILS(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), EFAULT);
  FAILS(ioctl(t.fd, VPOLL_IOC_UPDATE, NULL), EFAULT);
  SAME(t.map[0].events, EPOLLOUT);
  all = (struct vpoll_updates){.entries = (uintptr_t)entries, .count = 3};
  SAME(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), 1);
  SAME(t.map[0].events, EPOLLIN | EPOLLOUT);
  all.count = 0;
  SAME(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), 0);
  entries[1].reserved = 1;
  all = (struct vpoll_updates){.entries = (uintptr_t)&entries[1], .count = 2};
  FAILS(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), EINVAL);
  report("bad updates give an errno, those before them are carried out");

  char* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(pages + 4096, 4096);
  struct vpoll_update* edge = (struct vpoll_update*)(pages + 4096 - 2 * sizeof(*edge) - 5);
  struct vpoll_update wake = {.index = 0, .op = VPOLL_UPDATE_WAKE};
  memcpy(edge, &wake, sizeof(wake));
  memcpy(edge + 1, &wake, sizeof(wake));
  all = (struct vpoll_updates){.entries = (uintptr_t)edge, .count = 100};
  SAME(ioctl(t.fd, VPOLL_IOC_UPDATE, &all), 2);
  report("updates up to the end of what is mapped are carried out");
  munmap(pages, 4096);

  CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, t.fd, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 12288, PROT_READ, MAP_SHARED, t.fd, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 8192, PROT_READ, MAP_SHARED, t.fd, 4096) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, t.fd, 8192) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, one, 0) == MAP_FAILED);
  CHECK(mremap(t.map, 8192, 12288, MREMAP_MAYMOVE) == MAP_FAILED);
  struct vpoll_word* second = mmap(NULL, 4096, PROT_READ, MAP_SHARED, t.fd, 4096);
  CHECK(second != MAP_FAILED);
  t.map[512].events = 5;
  SAME(second->events, 5);
  munmap(second, 4096);
  report("a table is mapped shared, and within its size");
  FAILS(ioctl(one, VPOLL_IOC_TABLE, 8), EINVAL);
  FAILS(ioctl(one, VPOLL_IOC_UPDATE, &all), EINVAL);
  FAILS(ioctl(one, VPOLL_IO_ADDEVENTS, 1UL << 28), EINVAL);
  FAILS(ioctl(one, _IO('^', 99), 0), ENOTTY);
  SAME(ioctl(one, VPOLL_IO_ADDEVENTS, EPOLLPRI), EPOLLIN | EPOLLOUT | EPOLLPRI);
  SAME(ioctl(one, VPOLL_IO_DELEVENTS, EPOLLIN), EPOLLOUT | EPOLLPRI);
  SAME(ioctl(one, VPOLL_IO_SETEVENTS, EPOLLHUP), EPOLLHUP);
  SAME(t.map[0].events, EPOLLHUP);
  report("a table's file takes the published ioctls");
  close(one);
  free_table(&t);
}

struct waiter {
  int fd;
  short events;
  int result;
  pthread_t thread;
};

static void* wait_in_poll(void* argument) {
  struct waiter* w = argument;
  w->result = polled(w->fd, w->events, 20000);
  return NULL;
}

static void* wait_in_select(void* argument) {
  struct waiter* w = argument;
  fd_set in;
  FD_ZERO(&in);
  FD_SET(w->fd, &in);
  struct timeval limit = {.tv_sec = 20};
  w->result = select(w->fd + 1, &in, NULL, NULL, &limit);
  return NULL;
}

static void* wait_in_epoll(void* argument) {
  struct waiter* w = argument;
  w->result = (int)epolled(w->fd, 20000);
  return NULL;
}

static void await_armed(struct table* t, uint32_t index, uint32_t events) {
  for (int i = 0; i < 5000; ++i) {
    if (atomic_load((_Atomic uint32_t*)&t->map[index].armed) & events) return;
    usleep(1000);
  }
  CHECK(!"nobody armed the word in 5 s");
}

static void table_events(void) {
  struct table t = make_table(4);
  uint32_t i;
  int fd = make_file(&t, EPOLLOUT, &i);
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  SAME(polled(fd, POLLIN | POLLOUT, 0), POLLOUT);
  SAME(t.map[i].armed, 0);
  SAME(add_word(&t, i, EPOLLIN), false);
  SAME(polled(fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
  SAME(polled(fd, POLLIN | POLLOUT, -1), POLLIN | POLLOUT);
  SAME(t.map[i].armed, 0);
  take_word(&t, i, EPOLLIN | EPOLLOUT);
  SAME(polled(fd, POLLIN | POLLOUT, 0), 0);
  t.map[i].events = UINT32_MAX;
  SAME(ioctl(fd, VPOLL_IO_ADDEVENTS, 0), VPOLL_EVENT_MASK);
  t.map[i].events = 0;
  t.map[i].armed = UINT32_MAX;
  SAME(add_word(&t, i, EPOLLIN), true);
  take_word(&t, i, EPOLLIN);
  t.map[i].armed = 0;
  report("a change in the mapping is seen without a system call");

  static void* (*const ways[])(void*) = {wait_in_poll, wait_in_select};
  for (int way = 0; way < 2; ++way) {
    struct waiter w = {.fd = fd, .events = POLLIN, .result = -2};
    pthread_create(&w.thread, NULL, ways[way], &w);
    await_armed(&t, i, EPOLLIN);
    SAME(t.map[i].armed & EPOLLIN, EPOLLIN);
    SAME(add_word(&t, i, EPOLLIN), true);
    pthread_join(w.thread, NULL);
    SAME(w.result, 1);
    take_word(&t, i, EPOLLIN);
    SAME(add_word(&t, i, EPOLLIN), false);
    take_word(&t, i, EPOLLIN);
  }
  report("a sleeper in poll or select is woken, after which a change costs no call");

  int set = watch(fd, EPOLLIN);
  struct waiter w = {.fd = set};
  pthread_create(&w.thread, NULL, wait_in_epoll, &w);
  SAME(add_word(&t, i, EPOLLIN), true);
  pthread_join(w.thread, NULL);
  SAME(w.result, EPOLLIN);
  SAME(epolled(set, 0), EPOLLIN);
  take_word(&t, i, EPOLLIN);
  SAME(epolled(set, 0), 0);
  SAME(add_word(&t, i, EPOLLIN), true);
  for (int n = 0; n < 10; ++n) {
    take_word(&t, i, EPOLLIN);
    SAME(add_word(&t, i, EPOLLIN), false);
  }
  SAME(epolled(set, 0), EPOLLIN);
  close(set);
  take_word(&t, i, EPOLLIN);
  report("epoll is woken once, and further changes cost no call before it looks");

  set = watch(fd, EPOLLIN | EPOLLET);
  for (int n = 0; n < 3; ++n) {
    SAME(epolled(set, 0), 0);
    SAME(add_word(&t, i, EPOLLIN), true);
    SAME(epolled(set, 0), EPOLLIN);
    SAME(epolled(set, 0), 0);
    SAME(add_word(&t, i, EPOLLIN), false);
    SAME(epolled(set, 0), 0);
    add_word(&t, i, EPOLLOUT);
    SAME(epolled(set, 0), 0);
    take_word(&t, i, EPOLLIN | EPOLLOUT);
  }
  close(set);
  report("an edge is seen for each bit that is added anew, and for no other");

  /* Of two in a queue one is woken; the other must be woken by what is gained after that, and also
     before the first has looked. */
  int first = watch(fd, EPOLLIN | EPOLLEXCLUSIVE), second = watch(fd, EPOLLIN | EPOLLEXCLUSIVE);
  for (int round = 0; round < 20; ++round) {
    struct waiter waiters[2] = {{.fd = first}, {.fd = second}};
    for (int n = 0; n < 2; ++n)
      pthread_create(&waiters[n].thread, NULL, wait_in_epoll, &waiters[n]);
    usleep(50000);
    SAME(add_word(&t, i, EPOLLIN), true);
    take_word(&t, i, EPOLLIN);
    SAME(add_word(&t, i, EPOLLIN), true);
    for (int n = 0; n < 2; ++n) {
      pthread_join(waiters[n].thread, NULL);
      SAME(waiters[n].result, EPOLLIN);
    }
    take_word(&t, i, EPOLLIN);
  }
  close(first);
  close(second);
  report("EPOLLEXCLUSIVE waiters that were not woken stay armed");

  set = watch(fd, VPOLL_EVENT_MASK);
  SAME(update(&t, i, VPOLL_UPDATE_SET, VPOLL_EVENT_MASK), 1);
  SAME(epolled(set, 0), VPOLL_EVENT_MASK);
  SAME(update(&t, i, VPOLL_UPDATE_SET, 0), 1);
  SAME(epolled(set, 0), 0);
  SAME(update(&t, i, VPOLL_UPDATE_ADD, 0x4000 | 0x8000), 1);
  SAME(update(&t, i, VPOLL_UPDATE_ADD, EPOLLPRI), 1);
  SAME(epolled(set, 0), 0x4000 | 0x8000 | EPOLLPRI);
  close(set);
  report("bits that wake-ups use for other things do no harm");
  close(fd);
  free_table(&t);
}

static void life(void) {
  struct table t = make_table(2);
  uint32_t a, b, c;
  int one = make_file(&t, EPOLLIN, &a), two = make_file(&t, EPOLLOUT, &b);
  struct vpoll_file file = {0};
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, &file), ENOSPC);
  int again = dup(one);
  close(one);
  FAILS(ioctl(t.fd, VPOLL_IOC_FILE, &file), ENOSPC);
  t.map[a].armed = UINT32_MAX;
  close(again);
  FAILS(update(&t, a, VPOLL_UPDATE_ADD, EPOLLIN), ENOENT);
  one = make_file(&t, EPOLLPRI, &c);
  SAME(c, a);
  SAME(t.map[a].events, EPOLLPRI);
  SAME(t.map[a].armed, 0);
  report("a word is free when the last reference of its file is closed, and starts anew");

  CHECK(close(t.fd) == 0);
  SAME(polled(one, POLLPRI, 0), POLLPRI);
  take_word(&t, a, EPOLLPRI);
  SAME(polled(one, POLLPRI, 0), 0);
  munmap(t.map, t.bytes);
  SAME(ioctl(one, VPOLL_IO_ADDEVENTS, EPOLLIN), EPOLLIN);
  SAME(polled(one, POLLIN, 0), POLLIN);
  report("files live on without their table's descriptor and mapping");
  close(one);
  SAME(polled(two, POLLOUT, 0), POLLOUT);
  close(two);

  t = make_table(2);
  one = make_file(&t, 0, &a);
  pid_t child = fork();
  if (child == 0) {
    bool called = add_word(&t, a, EPOLLIN);
    bool fresh = make_file(&t, 0, &b) >= 0 && b == 1;
    _exit(called || !fresh || polled(one, POLLIN, 0) != POLLIN);
  }
  int status = -1;
  waitpid(child, &status, 0);
  SAME(status, 0);
  SAME(polled(one, POLLIN, 0), POLLIN);
  report("parent and child share table, mapping and files");

  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(send_fd(pair[0], one) == 1);
  close(one);
  SAME(update(&t, a, VPOLL_UPDATE_ADD, EPOLLOUT), 1);
  one = receive_fd(pair[1]);
  CHECK(one >= 0);
  SAME(polled(one, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
  char path[64], text[512];
  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", one);
  FILE* info = fopen(path, "r");
  size_t n = info ? fread(text, 1, sizeof(text) - 1, info) : 0;
  text[n] = 0;
  CHECK(strstr(text, "\nvpoll-events: 5\n"));
  if (info) fclose(info);
  report("a file passed by SCM_RIGHTS is the same file, and fdinfo shows its events");
  close(pair[0]);
  close(pair[1]);
  close(one);
  free_table(&t);

  int fd = open_device();
  again = dup(fd);
  child = fork();
  if (child == 0) _exit(ioctl(again, VPOLL_IO_ADDEVENTS, EPOLLIN) != EPOLLIN);
  waitpid(child, &status, 0);
  SAME(status, 0);
  close(again);
  SAME(polled(fd, POLLIN, 0), POLLIN);
  int other = open_device();
  SAME(polled(other, POLLIN, 0), 0);
  report("dup and fork share the pending set, another open has its own");
  close(fd);
  close(other);

  fd = open(VPOLL_DEVICE, O_RDONLY);
  CHECK(ioctl(fd, VPOLL_IOC_TABLE, 1) == 0);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  void* map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  FAILS(mprotect(map, 4096, PROT_READ | PROT_WRITE), EACCES);
  close(fd);
  report("a table that is open for reading is mapped for reading");
}

/* What a 32-bit program's ioctl gives: the result, or -errno. Pointers lie below 4 GiB. */
static int ioctl32(int fd, unsigned long command, unsigned long argument) {
  int result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(54), "b"(fd), "c"(command), "d"(argument)
                   : "memory", "r8", "r9", "r10", "r11");
  return result;
}

static void no_such_call(int signal) {
  (void)signal;
  _exit(77);
}

/* In a child, which ends with 77 where the kernel knows no 32-bit programs. */
static int call_as_32_bit(void* page) {
  struct sigaction action = {.sa_handler = no_such_call};
  sigaction(SIGSEGV, &action, NULL);
  int fd = open_device();
  if (ioctl32(fd, VPOLL_IO_ADDEVENTS, EPOLLIN | EPOLLPRI) == -ENOSYS) return 77;
  SAME(ioctl32(fd, VPOLL_IO_DELEVENTS, EPOLLPRI), EPOLLIN);
  SAME(ioctl32(fd, VPOLL_IO_SETEVENTS, VPOLL_EVENT_MASK), VPOLL_EVENT_MASK);
  SAME(ioctl32(fd, VPOLL_IO_SETEVENTS, UINT32_MAX), -EINVAL);
  SAME(ioctl32(fd, _IO('^', 99), 0), -ENOTTY);
  close(fd);

  fd = open_device();
  SAME(ioctl32(fd, VPOLL_IOC_TABLE, 8), 0);
  struct vpoll_file* file = page;
  *file = (struct vpoll_file){.events = EPOLLOUT, .flags = VPOLL_FILE_CLOEXEC};
  int one = ioctl32(fd, VPOLL_IOC_FILE, (uintptr_t)file);
  CHECK(one >= 0);
  SAME(file->fd, one);
  uint32_t index = file->index;
  struct vpoll_updates* all = page;
  struct vpoll_update* entry = (struct vpoll_update*)(all + 1);
  *entry = (struct vpoll_update){.index = index, .op = VPOLL_UPDATE_ADD, .events = EPOLLHUP};
  *all = (struct vpoll_updates){.entries = (uintptr_t)entry, .count = 1};
  SAME(ioctl32(fd, VPOLL_IOC_UPDATE, (uintptr_t)all), 1);
  SAME(ioctl32(one, VPOLL_IO_ADDEVENTS, EPOLLIN), EPOLLIN | EPOLLOUT | EPOLLHUP);
  SAME(polled(one, POLLIN | POLLOUT, 0), POLLIN | POLLOUT | POLLHUP);
  SAME(ioctl32(fd, VPOLL_IOC_FILE, 4), -EFAULT);
  if (check_why[0]) printf("# as 32 bit: %s\n", check_why);
  fflush(stdout);
  return check_why[0] != 0;
}

static void calls_of_32_bit(void) {
  int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;
  void* page = mmap(NULL, 4096, protection, flags, -1, 0);
  CHECK(page != MAP_FAILED);
  pid_t child = fork();
  if (child == 0) _exit(call_as_32_bit(page));
  int status = -1;
  waitpid(child, &status, 0);
  munmap(page, 4096);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    printf("# this kernel runs no 32-bit programs\n");
    status = 0;
  }
  SAME(status, 0);
  report("a 32-bit program's calls are understood");
}

static bool stays_loaded(void) {
  return syscall(SYS_delete_module, "vpoll", O_NONBLOCK) == -1 && errno == EAGAIN;
}

static void unloading(void) {
  struct table t = make_table(1);
  int one = make_file(&t, EPOLLIN, NULL);
  CHECK(stays_loaded());
  close(t.fd);
  CHECK(stays_loaded());
  munmap(t.map, t.bytes);
  CHECK(stays_loaded());
  SAME(polled(one, POLLIN, 0), POLLIN);
  close(one);
  report("the module stays while a file of a table is all that is left of it");
  t = make_table(1);
  close(t.fd);
  CHECK(stays_loaded());
  t.map[0].events = 1;
  munmap(t.map, t.bytes);
  report("the module stays while a mapping is all that is left of a table");
}

int main(void) {
  published_ioctls();
  bad_input();
  table_events();
  life();
  calls_of_32_bit();
  unloading();
  return check_failures ? 1 : 0;
}
