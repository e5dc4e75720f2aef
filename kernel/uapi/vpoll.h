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
#include <linux/types.h>

/* The bits that can be pending on a vpoll file. */
#define VPOLL_EVENT_MASK 0x0fffffffU

/*
 * /dev/vpoll: each open file has a pending set of its own, empty at first. The ioctl's argument is
 * a mask by value, its result the pending set after the operation. EINVAL: a bit that is no event;
 * the file is a table.
 *
 * Two bits, 0x4000 and 0x8000, mean something else inside the kernel. A change of these wakes whoever
 * waits, for whatever event. None of the named events is among them.
 */
#define VPOLL_DEVICE "/dev/vpoll"
#define VPOLL_IOC_MAGIC '^'
#define VPOLL_IO_ADDEVENTS _IO(VPOLL_IOC_MAGIC, 1)
#define VPOLL_IO_DELEVENTS _IO(VPOLL_IOC_MAGIC, 2)
#define VPOLL_IO_SETEVENTS _IO(VPOLL_IOC_MAGIC, 3)

/*
 * A table of event words: one mapping for any number of files, so that a change costs no system
 * call while nobody waits.
 *
 * VPOLL_IOC_TABLE makes a file of /dev/vpoll that was opened for it a table of `argument` words
 * (1 ... VPOLL_TABLE_MAX). It can be mapped, shared only, at any page offset up to its size:
 * struct vpoll_word[]. It has no pending set of its own: it never polls ready.
 * EINVAL: a size out of range. EBUSY: it is a table already, or took one of the ioctls above.
 *
 * VPOLL_IOC_FILE makes a new file whose pending set is a word of the table, not yet used by
 * another file. The word serves the file until its last reference is closed. The file
 * lives on when the table's descriptor is closed, and takes the ADD, DEL and SETEVENTS ioctls.
 * EINVAL: an unknown flag or event bit. ENOSPC: all words are in use. EMFILE, ENFILE, ENOMEM.
 *
 * Whoever changes `events` of a word in the mapping does it with an atomic read-modify-write that
 * is sequentially consistent, then reads `armed`: where it has a bit that `events` gained, somebody
 * may be asleep who waits for it, and VPOLL_IOC_UPDATE with VPOLL_UPDATE_WAKE has to follow. Bits
 * taken away wake nobody. The kernel arms a word when a waiter polls its file, and disarms the
 * bits that it wakes for; a program that writes to `armed` fails to wake its own waiters.
 *
 * VPOLL_IOC_UPDATE changes or wakes any number of files of one table. Result: how many entries were
 * carried out, from the first on. If that is none, the errno of the first (EINVAL: an unknown op
 * or event bit, an index outside of the table; ENOENT: a word that serves no file; EFAULT); EINVAL,
 * with nothing done, where count is over VPOLL_UPDATE_MAX or reserved is not 0.
 */
struct vpoll_word {
	__u32 events; /* the pending set */
	__u32 armed;  /* the events that somebody may be asleep for; written by the kernel */
};

struct vpoll_file {
	__u32 events; /* in: pending at first */
	__u32 flags;  /* in: 0 or VPOLL_FILE_CLOEXEC */
	__u32 index;  /* out: its word in the table */
	__s32 fd;     /* out: its descriptor, also the ioctl's result */
};

struct vpoll_update {
	__u32 index;
	__u16 op;       /* VPOLL_UPDATE_* */
	__u16 reserved; /* 0 */
	__u32 events;   /* of ADD, DEL, SET; with WAKE the bits that were gained, or 0 for all armed */
};

struct vpoll_updates {
	__u64 entries; /* pointer to struct vpoll_update[count] */
	__u32 count;
	__u32 reserved; /* 0 */
};

#define VPOLL_TABLE_MAX (1U << 20)
#define VPOLL_UPDATE_MAX (1U << 20)
#define VPOLL_FILE_CLOEXEC 1U
#define VPOLL_UPDATE_WAKE 0 /* for what the word shows now */
#define VPOLL_UPDATE_ADD 1
#define VPOLL_UPDATE_DEL 2
#define VPOLL_UPDATE_SET 3

#define VPOLL_IOC_TABLE _IO(VPOLL_IOC_MAGIC, 16)
#define VPOLL_IOC_FILE _IOWR(VPOLL_IOC_MAGIC, 17, struct vpoll_file)
#define VPOLL_IOC_UPDATE _IOW(VPOLL_IOC_MAGIC, 18, struct vpoll_updates)

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
