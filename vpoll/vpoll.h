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
 * handler.
 */
#ifndef VPOLL_H
#define VPOLL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Operations of vpoll_ctl (libvpoll's numbers). */
#define VPOLL_CTL_ADDEVENTS 1 /* pending |= events */
#define VPOLL_CTL_DELEVENTS 2 /* pending &= ~events */
#define VPOLL_CTL_SETEVENTS 3 /* pending = events */

/*
 * Makes a vpoll fd that shows init_events.
 *
 * flags: 0 or FD_CLOEXEC (of <fcntl.h>), which closes the fd on exec.
 *
 * The back end is the first of eventfd, dev and socketpair that works here, or the one that the
 * environment variable VPOLL_BACKEND names (ignored in a set-user-ID program).
 *
 * The fd belongs to the caller and must be closed with vpoll_close. It is not for reading or
 * writing.
 *
 * Returns the fd, or -1 with errno:
 *   EINVAL      an unknown flag, a bit that is no event, or an unknown name in VPOLL_BACKEND
 *   EOPNOTSUPP  an event that the back end cannot show, or VPOLL_BACKEND names a back end that this
 *               kernel does not have
 *   EACCES      VPOLL_BACKEND is dev, and /dev/vpoll may not be opened
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

/*
 * The back end behind fd: "eventfd", "dev" or "socketpair" (constant strings, not to be freed), or
 * NULL with errno EBADF where fd is not a vpoll fd. Not in libvpoll.
 */
const char* vpoll_backend(int fd);

#ifdef __cplusplus
}
#endif

#endif /* VPOLL_H */
