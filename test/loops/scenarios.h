/* SPDX-License-Identifier: MIT */
/* Programs that use a vpoll fd in an event loop, and what the loop must tell them. */
#ifndef LOOPS_SCENARIOS_H
#define LOOPS_SCENARIOS_H

#include "harness.h"

struct scenario {
  const char* sentence;
  enum verdict (*run)(void);
  bool (*applies)(const struct loop*); /* NULL: to every loop */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* The events that the table has a column for. */
extern const uint32_t single_events[6];

/* `event` alone is set, and `asked` is asked for: is it seen as the back end and the loop say? */
enum verdict one_event(uint32_t event, uint32_t asked, uint32_t* seen);

#endif
