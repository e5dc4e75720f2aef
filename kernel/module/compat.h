/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module is written for the newest kernel interfaces; what older ones lack is here. Oldest: 6.1.
 */
#ifndef VPOLL_COMPAT_H
#define VPOLL_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vpoll needs Linux 6.1 or newer"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

#endif /* VPOLL_COMPAT_H */
