/* SPDX-License-Identifier: MIT */
/*
 * What the scenarios know of an event loop, and what a loop's adapter gets from them. An adapter
 * is one C file that defines tested_loops; it knows nothing of vpoll.
 *
 * Events are EPOLL* bits, whatever a loop calls them itself.
 */
#ifndef LOOPS_LOOP_H
#define LOOPS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

enum {
  max_watches = 256,
  limit_ms = 10000, /* how long anything may take; reached only by a test that fails */
};

/* A loop that says "this descriptor is bad", in place of events. */
static const uint32_t error_status = 1U << 27;

enum mode { level, edge, one_shot };

struct watch {
  int fd;
  uint32_t events; /* asked for, all of them among the loop's `offers` */
  enum mode mode;
  bool active;                /* added to the loop, not removed since */
  uint32_t seen;              /* every event reported since the last forget() */
  int times;                  /* and how often something was */
  void (*act)(struct watch*); /* called at each report, from the loop's callback; may be NULL */
  void* own;                  /* the adapter's */
};

struct loop {
  const char* name;
  uint32_t offers; /* the events that it reports by name */
  enum mode usual; /* how its watches work unless told otherwise: level or edge */
  bool edge;       /* it can report changes alone */
  bool one_shot;   /* it can report once, until asked again */
  bool completes;  /* a report is made as the event is set: taking the event back is too late */
  bool forgets;    /* a closed file leaves it by itself */
  bool queues;     /* what one wait has found is reported over several turns */

  /* What it reports of a file that shows `shown`, when asked for `asked`. */
  uint32_t (*reports)(uint32_t shown, uint32_t asked);

  const char* (*open)(void); /* returns NULL, or why this loop cannot be had here */
  void (*close)(void);
  int (*add)(struct watch*);    /* each returns 0 or an errno */
  int (*change)(struct watch*); /* its events are new; or it was reported once and is asked again */
  int (*remove)(struct watch*);
  /* Waits until something is ready, or for so long, and calls report() for each that is. */
  void (*turn)(int milliseconds);
  /* Reports EPOLLIN for the watch once after so long; NULL: the scenario makes a timerfd. */
  void (*timer)(struct watch*, int milliseconds);
};

extern const struct loop tested_loops[];
extern const size_t tested_loop_count;

/* For adapters: the loop has found these events. */
void report(struct watch* watch, uint32_t events);

/* For adapters of system calls, which must keep the list themselves: every watch there is, active
   or not, in the order of their making. */
size_t watch_count(void);
struct watch* watch_at(size_t index);

#endif
