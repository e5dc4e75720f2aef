/* SPDX-License-Identifier: MIT */
/*
 * An AF_UNIX stream pair: any Linux, no privilege. The user polls one end; events are what the
 * kernel says about that end:
 *
 *   IN     a byte from the peer waits; taken back by receiving it
 *   PRI    a byte sent with MSG_OOB waits (shows IN too); taken back by receiving it
 *   OUT    the kernel calls a unix socket writable while what it has sent, and the peer has not
 *          read, is at most a quarter of SO_SNDBUF. One small message is left lying unread for
 * good, and SO_SNDBUF set under or over four times its cost: one system call each way, also after
 *          a hangup, when sending is no longer possible
 *   RDHUP  shutdown(SHUT_WR) of the peer; for good, shows IN too
 *   HUP    shutdown(SHUT_RDWR) of the peer; for good, shows IN and RDHUP too
 *   ERR    close of the peer while it has unread data (the message above); shows all but PRI.
 *          Reading SO_ERROR takes ERR itself back, once
 *
 * An event that cannot be shown or taken back any more is still kept in the mask, so that later
 * calls mean what they say. README.md has the table for users.
 */
#define _GNU_SOURCE 1
#include "vpoll__internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bits of `done`. */
enum {
  byte_waits = 1 << 0, /* an ordinary byte is in the user's queue */
  oob_waits = 1 << 1,  /* an urgent byte is */
  residue = 1 << 2,    /* the queue may hold more than byte_waits says: empty it to the bottom */
  filled = 1 << 3,     /* the messages that make OUT controllable lie in the peer's queue */
  narrow = 1 << 4,     /* SO_SNDBUF is small: not writable */
  end_sent = 1 << 5,   /* RDHUP */
  hung_up = 1 << 6,    /* HUP */
  peer_gone = 1 << 7,  /* ERR */
  error_read = 1 << 8, /* ERR taken back */
};

static const uint32_t readable = EPOLLIN | EPOLLRDNORM;
static const uint32_t writable = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;

enum {
  fill_bytes = 256,    /* costs 1280 bytes of kernel memory (struct sk_buff and what it carries) */
  narrow_sndbuf = 1,   /* raised by the kernel to its minimum, 4608 */
  wide_sndbuf = 65536, /* of which sysctl wmem_max may leave less, but at least twice 4608 */
  max_fills = 64,
};

/* Written by probe, under the table's lock, before anybody can open. */
static int fills = 1; /* messages needed until the narrow buffer counts as full */
static bool has_oob;  /* Linux 5.15 with CONFIG_AF_UNIX_OOB */

static uint32_t socketpair_supported(void) {
  uint32_t events = readable | writable | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  return has_oob ? events | EPOLLPRI : events;
}

/* An end shows IN for good, and so does an urgent byte while it waits; a closed peer shows OUT. */
static uint32_t socketpair_exact(uint32_t done) {
  uint32_t exact = 0;
  if ((done & (oob_waits | end_sent | hung_up | peer_gone)) == 0) exact |= EPOLLIN;
  if ((done & peer_gone) == 0) exact |= EPOLLOUT;
  return exact;
}

static int send_byte(int end, int flags) {
  return send(end, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL | flags) == 1 ? 0 : errno;
}

static int set_sndbuf(int end, int bytes) {
  return setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0 ? 0 : errno;
}

static int send_fill(int end) {
  static const char message[fill_bytes];
  return send(end, message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ? 0 : errno;
}

static int fill(const struct vpoll__ends* ends, uint32_t* done) {
  if ((*done & filled) != 0) return 0;
  for (int i = 0; i < fills; i++) {
    int error = send_fill(ends->mine);
    /* EAGAIN: there is more than enough already (an earlier call failed between two messages). */
    if (error == EAGAIN) break;
    if (error != 0) return error;
  }
  *done |= filled;
  return 0;
}

static int shown_by(int end, short* events) {
  struct pollfd shown = {.fd = end, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP};
  if (poll(&shown, 1, 0) < 0) return errno;
  *events = shown.revents;
  return 0;
}

/* Empties the user's queue; MSG_OOB bytes and the marks that they leave go with it. Linux 6.1 ends
   a receive at each mark, with EAGAIN though there is more: so the end is where IN does not show.
 */
static void drain(const struct vpoll__ends* ends, uint32_t* done) {
  char bytes[16];
  ssize_t got = recv(ends->mine, bytes, sizeof bytes, MSG_DONTWAIT);
  if ((*done & residue) != 0 || got > 1) {
    short shown = POLLIN;
    /* There are as many marks as bytes at most: two of each. */
    for (int i = 0; i < 16 && shown_by(ends->mine, &shown) == 0 && (shown & POLLIN) != 0; i++)
      (void)recv(ends->mine, bytes, sizeof bytes, MSG_DONTWAIT);
  }
  *done &= ~(uint32_t)(byte_waits | residue);
}

static int apply_out(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  bool want_narrow = (events & writable) == 0;
  if ((*done & peer_gone) != 0) return 0; /* the messages went with the peer: writable for good */
  if (want_narrow == ((*done & narrow) != 0)) return 0;
  int error = want_narrow ? fill(ends, done) : 0;
  if (error == 0) error = set_sndbuf(ends->mine, want_narrow ? narrow_sndbuf : wide_sndbuf);
  if (error == 0) *done ^= narrow;
  return error;
}

/* IN and PRI. What is to come comes before what is to go, so that a change from PRI to IN leaves
   no moment without either. */
static int apply_in(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  bool can_send = (*done & (end_sent | hung_up)) == 0;
  bool want_in = (events & readable) != 0;
  bool want_pri = (events & EPOLLPRI) != 0;

  if (want_in && can_send && (*done & byte_waits) == 0) {
    int error = send_byte(ends->peer, 0);
    if (error != 0) return error;
    *done |= byte_waits;
  }
  if (want_pri && can_send && (*done & oob_waits) == 0) {
    int error = send_byte(ends->peer, MSG_OOB);
    if (error != 0) return error;
    *done |= oob_waits;
  }
  if (!want_pri && (*done & oob_waits) != 0) {
    char byte;
    /* The kernel leaves an empty mark in the queue, which shows IN until the next receive. */
    (void)recv(ends->mine, &byte, 1, MSG_OOB | MSG_DONTWAIT);
    *done = (*done & ~(uint32_t)oob_waits) | residue;
  }
  /* While IN shows for another reason the byte may as well stay: taking it would change nothing. */
  if (!want_in && can_send && (*done & oob_waits) == 0 && (*done & (byte_waits | residue)) != 0)
    drain(ends, done);
  return 0;
}

/* RDHUP, HUP, ERR: one way. */
static int apply_end(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  if ((events & EPOLLRDHUP) != 0 && (*done & (end_sent | hung_up)) == 0) {
    if (shutdown(ends->peer, SHUT_WR) != 0) return errno;
    *done |= end_sent;
  }
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (*done & hung_up) == 0) {
    int error = fill(ends, done); /* the last chance: OUT needs it, and so does ERR */
    if (error != 0) return error;
    /* For ERR the close does it, and both at once: a waiter must not wake to a bare hang-up. */
    if ((events & EPOLLERR) == 0 && shutdown(ends->peer, SHUT_RDWR) != 0) return errno;
    *done |= hung_up;
  }
  if ((events & EPOLLERR) != 0 && (*done & peer_gone) == 0) *done |= peer_gone;
  return 0;
}

static int socketpair_apply(struct vpoll__ends* ends, uint32_t* done, uint32_t events) {
  int error = apply_out(ends, done, events);
  if (error == 0) error = apply_in(ends, done, events);
  if (error == 0) error = apply_end(ends, done, events);
  if (error != 0 || (*done & peer_gone) == 0) return error;

  /* Also where another process set ERR: the error comes with the last copy of the peer. */
  if (ends->peer >= 0) {
    close(ends->peer);
    ends->peer = -1;
    if (shutdown(ends->mine, SHUT_RDWR) != 0) return errno; /* until then, at least the hang-up */
  }
  if ((events & EPOLLERR) == 0 && (*done & error_read) == 0) {
    int pending;
    socklen_t size = sizeof pending;
    if (getsockopt(ends->mine, SOL_SOCKET, SO_ERROR, &pending, &size) != 0) return errno;
    *done |= error_read;
  }
  return 0;
}

static int socketpair_open(uint32_t events, int* fd, struct vpoll__ends* ends, uint32_t* done) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return errno;
  *fd = pair[0];
  ends->peer = pair[1];
  ends->mine = vpoll__dup_high(pair[0]);
  int error = ends->mine < 0 ? errno : 0;
  if (error == 0) {
    int high = vpoll__dup_high(pair[1]);
    if (high >= 0) {
      close(pair[1]);
      ends->peer = high;
    } /* else it stays where it is: no fd left is no failure here */
    error = socketpair_apply(ends, done, events);
  }
  if (error != 0) {
    vpoll__ends_close(ends);
    close(pair[0]);
  }
  return error;
}

static int socketpair_probe(char why[VPOLL__WHY]) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    int failed = vpoll__because(why, "socketpair(AF_UNIX)", errno);
    return failed == EMFILE || failed == ENFILE || failed == ENOMEM ? failed : EOPNOTSUPP;
  }
  short shown = 0;
  int sent = 0;
  int error = set_sndbuf(pair[0], narrow_sndbuf);
  do {
    if (error == 0) error = send_fill(pair[0]);
    if (error == 0) error = shown_by(pair[0], &shown);
  } while (error == 0 && ++sent < max_fills && (shown & POLLOUT) != 0);
  if (error == 0) error = set_sndbuf(pair[0], wide_sndbuf);
  short wide = 0;
  if (error == 0) error = shown_by(pair[0], &wide);
  if (error == 0 && ((shown & POLLOUT) != 0 || (wide & POLLOUT) == 0)) error = EOPNOTSUPP;
  if (error != 0) vpoll__because(why, "SO_SNDBUF of a socket pair does not steer POLLOUT", error);
  if (error == 0) {
    fills = sent;
    has_oob = send_byte(pair[1], MSG_OOB) == 0 && shown_by(pair[0], &shown) == 0 &&
              (shown & POLLPRI) != 0;
  }
  close(pair[0]);
  close(pair[1]);
  return error;
}

static int socketpair_sync(struct vpoll__ends* ends, uint32_t* done, uint32_t* events) {
  short shown = 0;
  int unsent = 0;
  int error = shown_by(ends->mine, &shown);
  if (error == 0 && ioctl(ends->mine, SIOCOUTQ, &unsent) != 0) error = errno;
  if (error != 0) return error;

  uint32_t seen = 0;
  *events = (uint32_t)shown & (EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP);
  if ((shown & POLLHUP) == 0) *events |= (uint32_t)shown & POLLRDHUP;
  if ((shown & (POLLPRI | POLLRDHUP)) == 0) *events |= (uint32_t)shown & POLLIN;
  if ((shown & POLLPRI) != 0) seen |= oob_waits;
  if ((*events & EPOLLIN) != 0) seen |= byte_waits;
  if ((shown & POLLIN) != 0) seen |= residue;
  if (unsent > 0) seen |= filled;
  if ((shown & POLLOUT) == 0) seen |= narrow;
  if ((shown & POLLRDHUP) != 0) seen |= end_sent;
  if ((shown & POLLHUP) != 0) seen |= hung_up;
  if (ends->peer < 0 || (shown & POLLERR) != 0) seen |= peer_gone;
  *done = seen;
  return 0;
}

const struct vpoll__backend vpoll__backend_socketpair = {
    .name = "socketpair",
    .probe = socketpair_probe,
    .supported = socketpair_supported,
    .exact = socketpair_exact,
    .open = socketpair_open,
    .apply = socketpair_apply,
    .sync = socketpair_sync,
};
