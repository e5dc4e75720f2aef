// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/vpoll: files whose poll events a program sets, alone or in a table that it maps. What the
 * numbers mean is in uapi/vpoll.h.
 *
 * Who has to be woken
 *
 * A program that gains a bit in its mapping makes a system call only where `armed` has that bit. So
 * the bit must be there while somebody may sleep for it, and should not be there otherwise. A waiter
 * is added to a wait queue, then arms, then reads `events`; the program sets `events`, then reads
 * `armed`: one of the two sees the other (each side has a full barrier between its two steps).
 *
 * A wake-up takes the bits that it wakes for out of `armed`, *before* it walks the wait queues: a
 * waiter that armed before is in a queue already and is woken; one that arms later stays armed. It may
 * do so only because all that are woken poll again before they sleep again, which arms again. That is
 * true of waiters of two kinds:
 *
 *   poll and select   a woken one polls all of its files again before it sleeps again;
 *   epoll             a woken one is put on the ready list, and epoll_wait polls all of that list
 *                     before it reports or drops anything of it. Edge-triggered ones too, and what a
 *                     call leaves on the list for lack of room is polled by the next.
 *
 * Those whose filter does not match the wake-up sleep on, but their bits were not taken out either.
 *
 * It is not true of EPOLLEXCLUSIVE (one of many is woken, the others sleep on, for the same bits), of
 * io_uring's multishot poll (reports the bits of the wake-up without polling), or of what else there
 * may be. These wait in a queue of their own (VPOLL_STAY), and while somebody is in it nothing is
 * disarmed.
 *
 * So that a waiter is taken for one of the first kinds only if it is known to be one, they are told by
 * the function that they queue themselves with. poll's is handed out by poll_initwait(); epoll's is
 * not, so its name is looked at. Where names are missing, epoll's waiters stay armed: that costs
 * system calls, never a wake-up.
 */

#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "compat.h"
#include "vpoll.h"

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(struct vpoll_word))

/*
 * What a wake-up may carry. Two of the 28 bits mean something else there (POLLFREE tells waiters that
 * the wait queue is about to vanish), while users may set them. A wake-up for them carries nothing,
 * by which everybody is woken to look.
 */
#define WAKE_MASK (VPOLL_EVENT_MASK & ~(__force u32)(POLLFREE | POLL_BUSY_LOOP))

/* What is waited for unasked: by all, and RDHUP by io_uring. */
#define ALWAYS_WANTED (__force u32)(EPOLLERR | EPOLLHUP | EPOLLNVAL | EPOLLRDHUP)

/* What ends a poll as well as a select that asked for it. */
#define ENDS_A_POLL \
	(__force u32)(EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

enum { VPOLL_SLEEPERS, VPOLL_SETS, VPOLL_STAY, VPOLL_QUEUES };

struct vpoll_table {
	struct kref refs;
	u32 words;
	u32 pages_count;
	struct ida indices;
	/* One for each word; a flat array, since updates of many files look up little else. */
	struct vpoll_pending __rcu **files;
	/* Filled on demand, never emptied before the table dies. */
	struct page *pages[];
};

/* A pending set and those who wait for it. */
struct vpoll_pending {
	/* Of the table's mapping, or `own`. The user may write anything to the former at any time. */
	atomic_t *events;
	atomic_t *armed;
	wait_queue_head_t queues[VPOLL_QUEUES];
	struct vpoll_word own;
	/* NULL: of a file of its own. */
	struct vpoll_table *table;
	u32 index;
	struct rcu_head rcu;
};

/* An open file of /dev/vpoll. */
struct vpoll_device {
	struct vpoll_pending pending;
	atomic_t use;
	/* Set once, by whoever made `use` USE_TABLE. */
	struct vpoll_table *table;
};

/* What a file of /dev/vpoll was first used for, it is for good. */
enum { USE_NONE, USE_EVENTS, USE_TABLE };

static poll_queue_proc poll_proc;
static poll_queue_proc epoll_proc;

static bool is_epoll(poll_queue_proc proc)
{
	char name[64];

	if (READ_ONCE(epoll_proc))
		return proc == READ_ONCE(epoll_proc);
	/* Of a module's function the name would have the module's behind it. */
	snprintf(name, sizeof(name), "%ps", proc);
	if (strcmp(name, "ep_ptable_queue_proc"))
		return false;
	WRITE_ONCE(epoll_proc, proc);
	return true;
}

static int queue_of(const poll_table *wait)
{
	if (wait->_qproc == poll_proc)
		return VPOLL_SLEEPERS;
	if (!((__force u32)poll_requested_events(wait) & (__force u32)EPOLLEXCLUSIVE) &&
	    is_epoll(wait->_qproc))
		return VPOLL_SETS;
	return VPOLL_STAY;
}

static bool is_empty(struct vpoll_pending *p, int queue)
{
	return !waitqueue_active(&p->queues[queue]);
}

static u32 shown(struct vpoll_pending *p)
{
	return (u32)atomic_read(p->events) & VPOLL_EVENT_MASK;
}

static __poll_t pending_poll(struct vpoll_pending *p, struct file *file, poll_table *wait)
{
	u32 wanted = (__force u32)poll_requested_events(wait);
	int queue = VPOLL_STAY;
	u32 events;

	if (!poll_does_not_wait(wait)) {
		queue = queue_of(wait);
		poll_wait(file, &p->queues[queue], wait);
	} else if (is_empty(p, VPOLL_STAY) && is_empty(p, VPOLL_SETS)) {
		/* Nobody waits, or somebody in poll or select looks again. */
		queue = VPOLL_SLEEPERS;
	}
	/* Between the queue, if it was entered, and the events; wake() has the other. */
	smp_mb();
	events = shown(p);
	if (!p->table)
		return (__force __poll_t)events;

	/* Nobody sleeps after this. */
	if (queue == VPOLL_SLEEPERS && (events & wanted & ENDS_A_POLL))
		return (__force __poll_t)events;
	if (poll_does_not_wait(wait) && queue == VPOLL_SLEEPERS && is_empty(p, VPOLL_SLEEPERS))
		return (__force __poll_t)events;

	/* Fully ordered: between the queue and the events. */
	atomic_fetch_or((wanted | ALWAYS_WANTED) & VPOLL_EVENT_MASK, p->armed);
	return (__force __poll_t)shown(p);
}

/* A full barrier stands between what changed the events and this. */
static void wake(struct vpoll_pending *p, u32 key)
{
	u32 carried = key & ~WAKE_MASK ? 0 : key;
	int queue;

	if (!key)
		return;
	if (((u32)atomic_read(p->armed) & key) && is_empty(p, VPOLL_STAY)) {
		/*
		 * Who came to VPOLL_STAY meanwhile may have armed before this, and is not disarmed.
		 * A bit that is gained before it is armed again is part of `key`, so this wake-up,
		 * which is still to come, is the one for it.
		 */
		atomic_fetch_andnot(key, p->armed);
		if (!is_empty(p, VPOLL_STAY))
			atomic_fetch_or(key, p->armed);
	}
	for (queue = 0; queue < VPOLL_QUEUES; queue++) {
		if (!is_empty(p, queue))
			wake_up_poll(&p->queues[queue], (__force __poll_t)carried);
	}
}

/* Gives the pending set after it. `op` and `events` were checked. */
static u32 change(struct vpoll_pending *p, u16 op, u32 events)
{
	u32 before, after;

	switch (op) {
	case VPOLL_UPDATE_WAKE:
		/* The barrier orders what the user set before what was armed. */
		smp_mb();
		after = shown(p);
		wake(p, after & (events ? events : (u32)atomic_read(p->armed)));
		return after;
	case VPOLL_UPDATE_ADD:
		before = (u32)atomic_fetch_or(events, p->events);
		after = before | events;
		break;
	case VPOLL_UPDATE_DEL:
		before = (u32)atomic_fetch_andnot(events, p->events);
		after = before & ~events;
		break;
	default:
		before = (u32)atomic_xchg(p->events, events);
		after = events;
		break;
	}
	wake(p, after & ~before);
	return after & VPOLL_EVENT_MASK;
}

/* The published ioctls. */
static long change_ioctl(struct vpoll_pending *p, unsigned int command, unsigned long events)
{
	if (events & ~(unsigned long)VPOLL_EVENT_MASK)
		return -EINVAL;
	switch (command) {
	case VPOLL_IO_ADDEVENTS:
		return change(p, VPOLL_UPDATE_ADD, events);
	case VPOLL_IO_DELEVENTS:
		return change(p, VPOLL_UPDATE_DEL, events);
	default:
		return change(p, VPOLL_UPDATE_SET, events);
	}
}

static void pending_init(struct vpoll_pending *p, struct vpoll_word *word)
{
	int queue;

	p->events = (atomic_t *)&word->events;
	p->armed = (atomic_t *)&word->armed;
	for (queue = 0; queue < VPOLL_QUEUES; queue++)
		init_waitqueue_head(&p->queues[queue]);
}

/* The table */

static struct vpoll_table *table_new(unsigned long words)
{
	struct vpoll_table *table;
	u32 count;

	if (words < 1 || words > VPOLL_TABLE_MAX)
		return ERR_PTR(-EINVAL);
	count = DIV_ROUND_UP(words, WORDS_PER_PAGE);
	table = kvzalloc(struct_size(table, pages, count), GFP_KERNEL_ACCOUNT);
	if (!table)
		return ERR_PTR(-ENOMEM);
	table->files = kvcalloc(words, sizeof(*table->files), GFP_KERNEL_ACCOUNT);
	if (!table->files) {
		kvfree(table);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&table->refs);
	table->words = words;
	table->pages_count = count;
	ida_init(&table->indices);
	return table;
}

static void table_release(struct kref *refs)
{
	struct vpoll_table *table = container_of(refs, struct vpoll_table, refs);
	u32 i;

	ida_destroy(&table->indices);
	for (i = 0; i < table->pages_count; i++) {
		if (table->pages[i])
			put_page(table->pages[i]);
	}
	kvfree(table->files);
	kvfree(table);
}

static struct page *table_page(struct vpoll_table *table, unsigned long number)
{
	struct page *page = smp_load_acquire(&table->pages[number]);
	struct page *other;

	if (page)
		return page;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	other = cmpxchg(&table->pages[number], NULL, page);
	if (!other)
		return page;
	put_page(page);
	return other;
}

static vm_fault_t table_fault(struct vm_fault *vmf)
{
	struct vpoll_table *table = vmf->vma->vm_private_data;
	struct page *page;

	if (vmf->pgoff >= table->pages_count)
		return VM_FAULT_SIGBUS;
	page = table_page(table, vmf->pgoff);
	if (!page)
		return VM_FAULT_OOM;
	get_page(page);
	vmf->page = page;
	return 0;
}

/* The mapping holds the file, and the file the table. */
static const struct vm_operations_struct table_vm_ops = {
	.fault = table_fault,
};

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vpoll_device *device = file->private_data;
	struct vpoll_table *table = smp_load_acquire(&device->table);

	/* VM_SHARED is not set in a shared mapping of a file that is open for reading only. */
	if (!table || !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff >= table->pages_count ||
	    vma_pages(vma) > table->pages_count - vma->vm_pgoff)
		return -EINVAL;
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = table;
	vma->vm_ops = &table_vm_ops;
	return 0;
}

/* Files of a table */

static int table_file_release(struct inode *inode, struct file *file)
{
	struct vpoll_pending *p = file->private_data;
	struct vpoll_table *table = p->table;

	RCU_INIT_POINTER(table->files[p->index], NULL);
	ida_free(&table->indices, p->index);
	/* An update that found it before may be at it still: it touches the word, and the queues. */
	kfree_rcu(p, rcu);
	kref_put(&table->refs, table_release);
	return 0;
}

static __poll_t table_file_poll(struct file *file, poll_table *wait)
{
	return pending_poll(file->private_data, file, wait);
}

static long table_file_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	switch (command) {
	case VPOLL_IO_ADDEVENTS:
	case VPOLL_IO_DELEVENTS:
	case VPOLL_IO_SETEVENTS:
		return change_ioctl(file->private_data, command, argument);
	case VPOLL_IOC_TABLE:
	case VPOLL_IOC_FILE:
	case VPOLL_IOC_UPDATE:
		return -EINVAL;
	default:
		return -ENOTTY;
	}
}

#ifdef CONFIG_PROC_FS
static void table_file_fdinfo(struct seq_file *seq, struct file *file)
{
	struct vpoll_pending *p = file->private_data;

	seq_printf(seq, "vpoll-events: %x\nvpoll-index: %u\n", shown(p), p->index);
}
#endif

static const struct file_operations table_file_ops = {
	.owner = THIS_MODULE,
	.release = table_file_release,
	.poll = table_file_poll,
	.unlocked_ioctl = table_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = table_file_fdinfo,
#endif
};

/* Finds an unused word. The index is taken, but leads nowhere yet. */
static int pending_new(struct vpoll_table *table, u32 events, struct vpoll_pending **result)
{
	struct vpoll_pending *p;
	struct vpoll_word *words;
	struct page *page;
	int index;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	index = ida_alloc_max(&table->indices, table->words - 1, GFP_KERNEL);
	if (index < 0) {
		kfree(p);
		return index;
	}
	p->index = index;
	page = table_page(table, p->index / WORDS_PER_PAGE);
	if (!page) {
		ida_free(&table->indices, p->index);
		kfree(p);
		return -ENOMEM;
	}
	words = page_address(page);
	pending_init(p, &words[p->index % WORDS_PER_PAGE]);
	atomic_set(p->armed, 0);
	atomic_set(p->events, events);
	kref_get(&table->refs);
	p->table = table;
	*result = p;
	return 0;
}

static long file_ioctl(struct vpoll_table *table, struct vpoll_file __user *user)
{
	struct vpoll_file request;
	struct vpoll_pending *p;
	struct file *file;
	int flags, fd, error;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (request.flags & ~VPOLL_FILE_CLOEXEC || request.events & ~VPOLL_EVENT_MASK)
		return -EINVAL;
	flags = O_RDWR | (request.flags & VPOLL_FILE_CLOEXEC ? O_CLOEXEC : 0);

	fd = get_unused_fd_flags(flags);
	if (fd < 0)
		return fd;
	error = pending_new(table, request.events, &p);
	if (error)
		goto put_fd;
	file = anon_inode_getfile("[vpoll]", &table_file_ops, p, flags);
	if (IS_ERR(file)) {
		error = PTR_ERR(file);
		ida_free(&table->indices, p->index);
		kref_put(&table->refs, table_release);
		kfree(p);
		goto put_fd;
	}
	rcu_assign_pointer(table->files[p->index], p);

	request.index = p->index;
	request.fd = fd;
	if (copy_to_user(user, &request, sizeof(request))) {
		fput(file);
		error = -EFAULT;
		goto put_fd;
	}
	fd_install(fd, file);
	return fd;

put_fd:
	put_unused_fd(fd);
	return error;
}

static int update_one(struct vpoll_table *table, const struct vpoll_update *update)
{
	struct vpoll_pending *p;

	if (update->op > VPOLL_UPDATE_SET || update->reserved ||
	    update->events & ~VPOLL_EVENT_MASK || update->index >= table->words)
		return -EINVAL;
	p = rcu_dereference(table->files[update->index]);
	if (!p)
		return -ENOENT;
	change(p, update->op, update->events);
	return 0;
}

static long update_ioctl(struct vpoll_table *table, const struct vpoll_updates __user *user)
{
	struct vpoll_update chunk[32];
	struct vpoll_updates request;
	const char __user *from;
	u32 done = 0, count, i;
	int error = 0;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (request.count > VPOLL_UPDATE_MAX || request.reserved)
		return -EINVAL;
	from = u64_to_user_ptr(request.entries);
	while (done < request.count && !error) {
		if (fatal_signal_pending(current)) {
			error = -EINTR;
			break;
		}
		count = min_t(u32, request.count - done, ARRAY_SIZE(chunk));
		i = copy_from_user(chunk, from + (size_t)done * sizeof(chunk[0]),
				   count * sizeof(chunk[0]));
		if (i) {
			/* Those before the page that is missing are carried out. */
			error = -EFAULT;
			count -= DIV_ROUND_UP(i, sizeof(chunk[0]));
		}
		rcu_read_lock();
		for (i = 0; i < count; i++) {
			int failed = update_one(table, &chunk[i]);

			if (failed) {
				error = failed;
				break;
			}
			done++;
		}
		rcu_read_unlock();
		cond_resched();
	}
	return done ? done : error;
}

/* The device */

static int device_open(struct inode *inode, struct file *file)
{
	struct vpoll_device *device = kzalloc(sizeof(*device), GFP_KERNEL_ACCOUNT);

	if (!device)
		return -ENOMEM;
	pending_init(&device->pending, &device->pending.own);
	/* misc_open() put the miscdevice there. */
	file->private_data = device;
	return stream_open(inode, file);
}

static int device_release(struct inode *inode, struct file *file)
{
	struct vpoll_device *device = file->private_data;

	if (device->table)
		kref_put(&device->table->refs, table_release);
	kfree(device);
	return 0;
}

static __poll_t device_poll(struct file *file, poll_table *wait)
{
	struct vpoll_device *device = file->private_data;

	return pending_poll(&device->pending, file, wait);
}

static long table_ioctl(struct vpoll_device *device, unsigned long words)
{
	struct vpoll_table *table = table_new(words);

	if (IS_ERR(table))
		return PTR_ERR(table);
	if (atomic_cmpxchg(&device->use, USE_NONE, USE_TABLE) != USE_NONE) {
		kref_put(&table->refs, table_release);
		return -EBUSY;
	}
	smp_store_release(&device->table, table);
	return 0;
}

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vpoll_device *device = file->private_data;
	struct vpoll_table *table;

	switch (command) {
	case VPOLL_IO_ADDEVENTS:
	case VPOLL_IO_DELEVENTS:
	case VPOLL_IO_SETEVENTS:
		if (argument & ~(unsigned long)VPOLL_EVENT_MASK)
			return -EINVAL;
		if (atomic_read(&device->use) != USE_EVENTS &&
		    atomic_cmpxchg(&device->use, USE_NONE, USE_EVENTS) == USE_TABLE)
			return -EINVAL;
		return change_ioctl(&device->pending, command, argument);
	case VPOLL_IOC_TABLE:
		return table_ioctl(device, argument);
	case VPOLL_IOC_FILE:
	case VPOLL_IOC_UPDATE:
		table = smp_load_acquire(&device->table);
		if (!table)
			return -EINVAL;
		if (command == VPOLL_IOC_FILE)
			return file_ioctl(table, (void __user *)argument);
		return update_ioctl(table, (void __user *)argument);
	default:
		return -ENOTTY;
	}
}

#ifdef CONFIG_PROC_FS
static void device_fdinfo(struct seq_file *seq, struct file *file)
{
	struct vpoll_device *device = file->private_data;
	struct vpoll_table *table = smp_load_acquire(&device->table);

	seq_printf(seq, "vpoll-events: %x\n", shown(&device->pending));
	if (table)
		seq_printf(seq, "vpoll-words: %u\n", table->words);
}
#endif

static const struct file_operations device_ops = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.poll = device_poll,
	.mmap = device_mmap,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = device_fdinfo,
#endif
};

static struct miscdevice vpoll_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vpoll",
	.mode = 0666,
	.fops = &device_ops,
};

static int __init vpoll_init(void)
{
	struct poll_wqueues *queues = kmalloc(sizeof(*queues), GFP_KERNEL);

	BUILD_BUG_ON(sizeof(struct vpoll_word) != 2 * sizeof(atomic_t));
	if (!queues)
		return -ENOMEM;
	poll_initwait(queues);
	poll_proc = queues->pt._qproc;
	poll_freewait(queues);
	kfree(queues);
	return misc_register(&vpoll_misc);
}

static void __exit vpoll_exit(void)
{
	misc_deregister(&vpoll_misc);
}

module_init(vpoll_init);
module_exit(vpoll_exit);

MODULE_DESCRIPTION("Files whose poll events a program sets");
MODULE_AUTHOR("vpollnet");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
