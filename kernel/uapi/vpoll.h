/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The numbers that a kernel with vpoll support and its users share. This is the only copy: the
 * module, the eventfd patch and the library include this file.
 *
 * Events are the EPOLL* bits of <linux/eventpoll.h>. The kernel keeps the lowest 28 of them; those
 * above (EPOLLEXCLUSIVE ... EPOLLET) are ways to wait, not events.
 */
#ifndef _UAPI_VPOLL_H
#define _UAPI_VPOLL_H

#include <linux/ioctl.h>

/* The bits that can be pending on a vpoll file. */
#define VPOLL_EVENT_MASK 0x0fffffffU

/*
 * /dev/vpoll: each open file has a pending set of its own, empty at first. The ioctl's argument is
 * a mask by value, its result the pending set after the operation.
 */
#define VPOLL_DEVICE "/dev/vpoll"
#define VPOLL_IOC_MAGIC '^'
#define VPOLL_IO_ADDEVENTS _IO(VPOLL_IOC_MAGIC, 1)
#define VPOLL_IO_DELEVENTS _IO(VPOLL_IOC_MAGIC, 2)
#define VPOLL_IO_SETEVENTS _IO(VPOLL_IOC_MAGIC, 3)

/*
 * eventfd2(pending, EFD_VPOLL): a write of a 64-bit word changes the pending set: the operation in
 * the upper half, a mask in the lower. A read gives the pending set and leaves it as it is.
 * A kernel without the patch refuses the flag with EINVAL.
 */
#ifndef EFD_VPOLL
#define EFD_VPOLL (1 << 1)
#endif
#define EFD_VPOLL_ADDEVENTS (1ULL << 32)
#define EFD_VPOLL_DELEVENTS (2ULL << 32)
#define EFD_VPOLL_MODEVENTS (3ULL << 32)

#endif /* _UAPI_VPOLL_H */
