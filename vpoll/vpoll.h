/* SPDX-License-Identifier: MIT */
/*
 * vpoll: file descriptors whose poll events are made by the program.
 *
 * A vpoll fd can be given to poll, select, epoll, io_uring or any event loop, and shows the events
 * that the program says it shows: a network stack in a library gives its sockets real, pollable
 * descriptors. The interface is source- and link-compatible with VirtualSquare's libvpoll.
 *
 *     int fd = vpoll_create(EPOLLOUT, FD_CLOEXEC);           // writable from the start
 *     vpoll_ctl(fd, VPOLL_CTL_ADDEVENTS, EPOLLIN);           // whoever polls fd wakes up
 *     vpoll_ctl(fd, VPOLL_CTL_DELEVENTS, EPOLLIN);           // no longer readable
 *     vpoll_close(fd);
 *
 * Events are EPOLL* bits of <sys/epoll.h>: EPOLLIN, EPOLLRDNORM, EPOLLOUT, EPOLLWRNORM,
 * EPOLLWRBAND, EPOLLPRI, EPOLLRDBAND, EPOLLMSG, EPOLLRDHUP, EPOLLHUP, EPOLLERR. They are levels: an
 * event shows until it is taken back. What each back end can show exactly is a table in README.md.
 *
 * All functions may be called from any thread at any time, and after a fork by parent and child
 * alike: both then change the same set of events. None of them blocks. None is safe in a signal
 * handler. vpoll_create and vpoll_close are no cancellation points (pthread_cancel); the others may
 * be, and then leave nothing behind.
 */
#ifndef VPOLL_H
#define VPOLL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Operations of vpoll_ctl (libvpoll's numbers). */
#define VPOLL_CTL_ADDEVENTS 1 /* pending |= events */
#define VPOLL_CTL_DELEVENTS 2 /* pending &= ~events */
#define VPOLL_CTL_SETEVENTS 3 /* pending = events */

/* A flag of vpoll_create: every event exact, or no fd. Not in libvpoll. */
#define VPOLL_EXACT 0x10000

/*
 * Makes a vpoll fd that shows init_events.
 *
 * flags: 0, or any of FD_CLOEXEC (of <fcntl.h>), which closes the fd on exec, and VPOLL_EXACT.
 *
 * The back end is the first that works here of table, eventfd, dev and socketpair; with
 * VPOLL_EXACT, or where the environment has VPOLL_EXACT=1, of table, eventfd, dev and fuse; or it
 * is the one that the environment variable VPOLL_BACKEND names. (Both are ignored in a set-user-ID
 * program.)
 *
 * The fd belongs to the caller and must be closed with vpoll_close. It is not for reading or
 * writing.
 *
 * Returns the fd, or -1 with errno, and vpoll_error() says more:
 *   EINVAL      an unknown flag, a bit that is no event, an unknown name in VPOLL_BACKEND, or
 *               VPOLL_EXACT in the environment is neither 0 nor 1
 *   EOPNOTSUPP  an event that the back end cannot show; no back end is exact here, and that is
 *               asked for; or VPOLL_BACKEND names a back end that cannot be had here
 *   EACCES      VPOLL_BACKEND is table or dev, and /dev/vpoll may not be opened
 *   EMFILE, ENFILE, ENOMEM   no room; nothing is left behind
 */
int vpoll_create(uint32_t init_events, int flags);

/*
 * Changes the events that fd shows; op is one of VPOLL_CTL_*. Calls that change no bit make no
 * system call.
 *
 * Returns 0, or -1 with errno and no event changed:
 *   EBADF       fd is not a vpoll fd of this library, or was closed by vpoll_close
 *   EINVAL      an unknown op, or a bit that is no event
 *   EOPNOTSUPP  an event that the back end of fd cannot show
 *   ENOMEM, ENOBUFS   no room in the kernel
 *   ENOTCONN    the server process of the back end fuse was killed
 */
int vpoll_ctl(int fd, int op, uint32_t events);

/*
 * Closes fd and what the library keeps for it. A waiter that polls fd at this moment is woken or
 * not as by close(2).
 *
 * Returns 0, or -1 with errno:
 *   EBADF       fd is not a vpoll fd; or it was one, but was closed with close(2): then what the
 *               library kept is released, and the file that now has the number stays untouched
 */
int vpoll_close(int fd);

/* The functions from here on are not in libvpoll. */

/* A change for vpoll_ctl_many; fd, op and events are vpoll_ctl's arguments. */
struct vpoll_change {
  int fd;
  int op;
  uint32_t events;
  int error; /* written by vpoll_ctl_many: 0, or the errno that vpoll_ctl would have given */
};

/*
 * vpoll_ctl for each of `count` changes, in their order. The table back end wakes all that wait for
 * any of them by a single system call (or none, if nobody waits); the others make those of
 * vpoll_ctl. A change that fails does not keep the others back.
 *
 * Returns 0, or -1 with the errno of the first that failed; `error` of each says which did:
 *   those of vpoll_ctl
 *   EINVAL      count is not 0 and changes is NULL; nothing is changed
 */
int vpoll_ctl_many(struct vpoll_change* changes, size_t count);

/*
 * The events that fd shows exactly: each shows if and only if it is set, can be taken back, and
 * shows no other beside it but its synonyms (EPOLLRDNORM is EPOLLIN's, EPOLLWRNORM and EPOLLWRBAND
 * are EPOLLOUT's, to a socket pair). All events, except for a socket pair: IN and OUT, and these no
 * longer while or once an event is set that shows them too (README.md has the table).
 *
 * Returns the mask, or -1 with errno EBADF where fd is not a vpoll fd.
 */
int vpoll_exact(int fd);

/*
 * The back end behind fd: "table", "eventfd", "dev", "socketpair" or "fuse" (constant strings, not
 * to be freed), or NULL with errno EBADF where fd is not a vpoll fd.
 */
const char* vpoll_backend(int fd);

/*
 * Why the last vpoll_create of this thread failed, in words: which way was tried and what it ended
 * with. "" if none has failed. The string is the library's, and good until this thread's next
 * vpoll_create.
 */
const char* vpoll_error(void);

#ifdef __cplusplus
}
#endif

#endif /* VPOLL_H */
