/* SPDX-License-Identifier: MIT */
/* One event at a time: what the back end shows, and what the loop makes of it. */
#include "scenarios.h"
#include "vpoll/vpoll.h"

#include <errno.h>
#include <string.h>

const uint32_t single_events[6] = {EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR};

/* The table of vpoll/README.md for a socket pair; a back end that is exact shows what is set. */
static uint32_t shown_for(int fd, uint32_t event) {
  if (((uint32_t)vpoll_exact(fd) & event) != 0) return event;
  switch (event) {
  case EPOLLPRI: return EPOLLPRI | EPOLLIN;
  case EPOLLRDHUP: return EPOLLRDHUP | EPOLLIN;
  case EPOLLHUP: return EPOLLHUP | EPOLLRDHUP | EPOLLIN;
  case EPOLLERR: return EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLIN | EPOLLOUT;
  default: return event;
  }
}

enum verdict one_event(uint32_t event, uint32_t asked, uint32_t* seen) {
  int fd = vpoll_fd(0);
  uint32_t offered = asked & the_loop->offers;
  uint32_t expected = the_loop->reports(shown_for(fd, event), offered);
  *seen = 0;
  if (vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, event) != 0) {
    if (errno != EOPNOTSUPP) return fail("vpoll_ctl: %s", strerror(errno));
    return skip("%s cannot show %s here", vpoll_backend(fd), names_of(event));
  }
  struct watch* watched = watch(fd, asked);
  if (expected == 0)
    turns();
  else if (!until(watched, 1))
    return fail("nothing was reported, expected %s", names_of(expected));
  *seen = watched->seen;
  if (*seen != expected) return fail("%s, expected %s", names_of(*seen), names_of(expected));
  return passed;
}
