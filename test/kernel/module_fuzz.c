/* SPDX-License-Identifier: MIT */
/*
 * module_fuzz [SEED]: random calls on /dev/vpoll, from several threads and processes. That each
 * returns, and that the module works as ever afterwards, is all that is asked; the kernel's log is
 * for whoever runs this.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { SLOTS = 32, MAPS = 16, SLOT_BYTES = 65536, THREADS = 3, SECONDS = 12, CALLS = 60000 };

static atomic_int fds[SLOTS];
static char* region;
/* A page for each thread with nothing behind it, made before any part of the region is unmapped. */
static char* own_pages[THREADS];
static atomic_uint made, refused, started;
static int64_t deadline;

static uint64_t next(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static void count(long result) { atomic_fetch_add(result < 0 ? &refused : &made, 1); }

/* Puts it in place of another, which is closed. */
static void keep(uint64_t r, int fd) {
  if (fd < 0) return;
  int old = atomic_exchange(&fds[r % SLOTS], fd);
  if (old >= 0) close(old);
}

static uint32_t some_number(uint64_t r) {
  static const uint32_t edges[] = {
      0, 1, 511, 512, 513, VPOLL_TABLE_MAX, (1U << 20) + 1, VPOLL_EVENT_MASK, 1U << 28, UINT32_MAX};
  if (r % 3 == 0) return edges[r / 3 % 10];
  return (uint32_t)(r >> 32) % (r % 3 == 1 ? 1024 : UINT32_MAX);
}

/* A pointer: good, near the end of what is mapped, into a table, or nowhere. */
static void* some_pointer(uint64_t r, char* pages) {
  char* map = region + r / 8 % MAPS * SLOT_BYTES;
  switch (r % 8) {
  case 0: return NULL;
  case 1: return pages + 4096 - r / 8 % 64;
  case 2: return (void*)(uintptr_t)(r | 1ULL << 63);
  case 3: return map;
  case 4: return pages + 1 + r / 8 % 7;
  default: return pages;
  }
}

static void some_ioctl(uint64_t* seed, int fd, char* pages) {
  static const unsigned long commands[] = {
      VPOLL_IO_ADDEVENTS, VPOLL_IO_DELEVENTS, VPOLL_IO_SETEVENTS, VPOLL_IOC_TABLE,
      VPOLL_IOC_FILE,     VPOLL_IOC_FILE,     VPOLL_IOC_UPDATE,   VPOLL_IOC_UPDATE};
  uint64_t r = next(seed);
  unsigned long command = commands[r % 8];
  if (r >> 8 & 1) command ^= (r >> 16 & 0xffff) * ((r >> 9 & 3) == 0);
  for (int i = 0; i < 96; i += 4) {
    uint32_t word = some_number(next(seed));
    memcpy(pages + i, &word, 4);
  }
  if (command == VPOLL_IOC_FILE) {
    struct vpoll_file* file = some_pointer(next(seed), pages);
    if ((char*)file >= pages && (char*)file < pages + 16) {
      struct vpoll_file good = {.events = some_number(next(seed)) & VPOLL_EVENT_MASK};
      memcpy(file, &good, sizeof(good));
    }
    int made_fd = ioctl(fd, VPOLL_IOC_FILE, file);
    count(made_fd);
    keep(next(seed), made_fd);
    return;
  }
  if (command == VPOLL_IOC_UPDATE) {
    for (int i = 0; i < 40; ++i) {
      struct vpoll_update entry = {.index = (uint32_t)(next(seed) % 8), .op = next(seed) % 5 % 4};
      entry.events = some_number(next(seed)) & (next(seed) % 16 ? VPOLL_EVENT_MASK : UINT32_MAX);
      memcpy(pages + 64 + i * sizeof(entry), &entry, sizeof(entry));
    }
    struct vpoll_updates all = {.entries = (uintptr_t)some_pointer(next(seed), pages)};
    all.entries += next(seed) % 2 * 64;
    all.count = next(seed) % 4 ? (uint32_t)(next(seed) % 64) : some_number(next(seed));
    all.reserved = next(seed) % 16 == 0;
    count(ioctl(fd, command, next(seed) % 8 ? (void*)&all : some_pointer(next(seed), pages)));
    return;
  }
  unsigned long argument = some_number(next(seed));
  if (next(seed) % 16 == 0) argument |= next(seed) << 32;
  count(ioctl(fd, command, argument));
}

/*
 * All that is mapped lies in a slot of a region that was set aside, so that random sizes unmap
 * nothing else. A size for which there is no room in a slot is tried elsewhere, and given back.
 */
static void some_mapping(uint64_t* seed, int fd) {
  uint64_t r = next(seed);
  char* map = region + r % MAPS * SLOT_BYTES;
  size_t size = (r >> 8 & 7) == 0 ? (size_t)next(seed) : ((r >> 11 & 3) + 1) * 4096;
  char* at;
  switch (r >> 16 & 7) {
  case 0:
  case 1:
  case 2: {
    off_t offset = next(seed) % 8 ? (off_t)(next(seed) % 3 * 4096) : (off_t)next(seed);
    int flags = next(seed) % 4 ? MAP_SHARED : (int)(next(seed) & (MAP_PRIVATE | MAP_SHARED));
    bool fits = size <= SLOT_BYTES / 2;
    at = mmap(fits ? map : NULL, size, (int)(next(seed) % 4), flags | (fits ? MAP_FIXED : 0), fd,
              offset);
    count(at == MAP_FAILED ? -1 : 0);
    if (at != MAP_FAILED && !fits) munmap(at, size);
    break;
  }
  case 3: count(mprotect(map, 4096, (int)(next(seed) % 4))); break;
  case 4: count(munmap(map + next(seed) % 4 * 4096, 4096)); break;
  case 5:
    at = mremap(map, (next(seed) % 3) * 4096, size % (SLOT_BYTES / 2),
                MREMAP_MAYMOVE | MREMAP_FIXED, map + SLOT_BYTES / 2);
    count(at == MAP_FAILED ? -1 : 0);
    break;
  case 6: count(madvise(map, 4096, (int)(next(seed) % 26))); break;
  default: {
    /* By way of the kernel, since what is mapped there may be gone at any time. */
    int pipes[2];
    uint64_t garbage[8];
    for (int i = 0; i < 8; ++i) garbage[i] = next(seed);
    if (pipe2(pipes, O_NONBLOCK)) break;
    if (write(pipes[1], garbage, sizeof(garbage)) > 0) count(read(pipes[0], map, sizeof(garbage)));
    close(pipes[0]);
    close(pipes[1]);
  }
  }
}

static void in_flight(int fd) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair)) return;
  count(send_fd(pair[0], fd));
  close(pair[0]);
  close(pair[1]);
}

static void some_wait(uint64_t* seed, int set, int fd) {
  struct epoll_event event = {.events = (uint32_t)next(seed)};
  if (next(seed) % 2) event.events &= ~(uint32_t)EPOLLEXCLUSIVE;
  /* Takes a long time, as it makes a device. */
  if (next(seed) % 256) event.events &= ~(uint32_t)EPOLLWAKEUP;
  count(epoll_ctl(set, (int)(next(seed) % 3) + 1, fd, &event));
  count(epoll_wait(set, &event, 1, 0));
  count(polled(fd, (short)next(seed), (int)(next(seed) % 2)));
}

static void some_child(uint64_t* seed, int fd, char* pages) {
  pid_t child = fork();
  if (child == 0) {
    alarm(5);
    some_ioctl(seed, fd, pages);
    some_mapping(seed, fd);
    _exit(0);
  }
  if (child > 0) waitpid(child, NULL, 0);
}

static void* fuzz(void* argument) {
  uint64_t seed = *(uint64_t*)argument;
  char* pages = own_pages[atomic_fetch_add(&started, 1)];
  int set = epoll_create1(0);
  for (int n = 0; n < CALLS && now_ns() < deadline; ++n) {
    uint64_t r = next(&seed);
    int fd = atomic_load(&fds[r >> 8 & (SLOTS - 1)]);
    switch (r % 32) {
    case 0:
    case 1: keep(next(&seed), open(VPOLL_DEVICE, O_CLOEXEC | (int)(next(&seed) % 3))); break;
    case 2:
      count(ioctl(fd, VPOLL_IOC_TABLE, next(&seed) % 4 ? 8 : some_number(next(&seed))));
      break;
    case 3: keep(next(&seed), dup(fd)); break;
    case 4: in_flight(fd); break;
    case 5:
      if (r >> 16 & 1) some_child(&seed, fd, pages);
      break;
    case 6: {
      char buffer[64];
      count(read(fd, buffer, sizeof(buffer)));
      count(write(fd, buffer, sizeof(buffer)));
      count(lseek(fd, 1, SEEK_CUR));
      break;
    }
    case 7: {
      int old = atomic_exchange(&fds[next(&seed) % SLOTS], -1);
      if (old >= 0) count(close(old));
      break;
    }
    default:
      if (r % 32 < 14) {
        some_mapping(&seed, fd);
      } else if (r % 32 < 18) {
        some_wait(&seed, set, fd);
      } else {
        some_ioctl(&seed, fd, pages);
      }
    }
  }
  close(set);
  return NULL;
}

int main(int count_arguments, char** arguments) {
  uint64_t seed = count_arguments > 1 ? strtoull(arguments[1], NULL, 0) : (uint64_t)now_ns();
  printf("# seed %#llx\n", (unsigned long long)seed);
  fflush(stdout);
  region = mmap(NULL, MAPS * SLOT_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  deadline = now_ns() + SECONDS * 1000000000LL;
  for (int i = 0; i < SLOTS; ++i) fds[i] = open_device();
  /* In a process of its own: what it has mapped is in a state that nobody knows. */
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < THREADS; ++i) {
      own_pages[i] = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      mprotect(own_pages[i] + 4096, 4096, PROT_NONE);
    }
    uint64_t seeds[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; ++i) {
      seeds[i] = next(&seed);
      pthread_create(&threads[i], NULL, fuzz, &seeds[i]);
    }
    for (int i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
    printf("# %u calls did something, %u were refused\n", made, refused);
    fflush(stdout);
    _exit(made > 100 && refused > 100 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  SAME(status, 0);
  report("random calls end, and some of each kind succeed and fail");
  struct table t = make_table(2);
  uint32_t index = 0;
  int fd = make_file(&t, 0, &index);
  add_word(&t, index, EPOLLIN);
  SAME(polled(fd, POLLIN, 0), POLLIN);
  report("the module works as before");
  return check_failures ? 1 : 0;
}
