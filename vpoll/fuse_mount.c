/* SPDX-License-Identifier: MIT */
/*
 * The ways to a FUSE mount that shows in no mount tree:
 *
 *   direct       with CAP_SYS_ADMIN: fsopen and fsmount make a mount that is attached nowhere
 *   userns       without: the same, in a user namespace of our own
 *   fusermount3  where user namespaces are refused: the set-user-ID helper of the fuse package
 *                mounts on a new folder in /tmp, from which the mount is detached at once
 *
 * Before Linux 5.2, which has no fsopen, the first two go over a folder in /tmp as well. All of
 * this runs in the server's process (see fuse_server.c for what that forbids). The program reaches
 * the mount through the fd of its root.
 */
#define _GNU_SOURCE 1
#include "fuse__internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of <linux/mount.h>, which older C libraries do not let in beside <sys/mount.h>. */
enum {
  fsopen_cloexec = 1,                   /* FSOPEN_CLOEXEC */
  fsmount_cloexec = 1,                  /* FSMOUNT_CLOEXEC */
  set_flag = 0,                         /* FSCONFIG_SET_FLAG */
  set_string = 1,                       /* FSCONFIG_SET_STRING */
  cmd_create = 6,                       /* FSCONFIG_CMD_CREATE */
  attr_nosuid_nodev_noexec = 2 | 4 | 8, /* MOUNT_ATTR_* */
};

static void failed(struct vpoll__fuse_report* report, const char* what, int error) {
  report->error = error;
  (void)snprintf(report->text, sizeof report->text, "%s", what);
}

int vpoll__fuse_fork(unsigned long clone_flags) {
#if defined __s390__ || defined __s390x__
  return (int)syscall(SYS_clone, 0, clone_flags, 0, 0, 0);
#else
  return (int)syscall(SYS_clone, clone_flags, 0, 0, 0, 0);
#endif
}

/* ---- fds across processes ---- */

union control {
  struct cmsghdr head;
  char bytes[CMSG_SPACE(sizeof(int))];
};

int vpoll__fuse_send_fd(int socket, int fd) {
  char byte = 0;
  union control control = {.bytes = {0}};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control.bytes};
  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
  return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

int vpoll__fuse_receive_fd(int socket) {
  char byte;
  union control control = {.bytes = {0}};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control.bytes};
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  if (message.msg_controllen < CMSG_LEN(sizeof(int)) || control.head.cmsg_type != SCM_RIGHTS) {
    /* An fd that came but found no number leaves a truncated message. */
    errno = (message.msg_flags & MSG_CTRUNC) != 0 ? EMFILE : ECONNRESET;
    return -1;
  }
  int fd;
  memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
  return fd;
}

/* ---- direct ---- */

/* Gives up the tree's hold on a mount; the fd of its root keeps it. */
static int detach(const char* folder) {
  int error = umount2(folder, MNT_DETACH) != 0 ? errno : 0;
  rmdir(folder);
  return error;
}

static void mount_on_folder(const char* options, struct vpoll__fuse_report* report) {
  char folder[] = "/tmp/vpoll-XXXXXX";
  if (mkdtemp(folder) == NULL) {
    failed(report, folder, errno);
    return;
  }
  if (mount("vpoll", folder, "fuse", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) != 0) {
    failed(report, "mount", errno);
    rmdir(folder);
    return;
  }
  report->root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (report->root < 0) failed(report, "open the mount", errno);
  int error = detach(folder);
  if (error != 0) failed(report, "umount", error);
}

static void mount_direct(bool for_all, uid_t user, gid_t group, struct vpoll__fuse_report* report) {
  report->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (report->device < 0) {
    failed(report, "/dev/fuse", errno);
    return;
  }
  char device[16];
  char user_id[16];
  char group_id[16];
  (void)snprintf(device, sizeof device, "%d", report->device);
  (void)snprintf(user_id, sizeof user_id, "%u", user);
  (void)snprintf(group_id, sizeof group_id, "%u", group);

  int context = (int)syscall(SYS_fsopen, "fuse", fsopen_cloexec);
  if (context < 0 && errno == ENOSYS) {
    char options[96];
    (void)snprintf(options, sizeof options, "fd=%s,rootmode=40000,user_id=%s,group_id=%s%s", device,
                   user_id, group_id, for_all ? ",allow_other" : "");
    mount_on_folder(options, report);
    return;
  }
  if (context < 0) {
    failed(report, "fsopen", errno);
    return;
  }
  const char* settings[][2] = {{"source", "vpoll"},
                               {"fd", device},
                               {"rootmode", "40000"},
                               {"user_id", user_id},
                               {"group_id", group_id}};
  bool set = true;
  for (size_t i = 0; set && i < sizeof settings / sizeof settings[0]; i++)
    set = syscall(SYS_fsconfig, context, set_string, settings[i][0], settings[i][1], 0) == 0;
  if (set && for_all) set = syscall(SYS_fsconfig, context, set_flag, "allow_other", NULL, 0) == 0;
  if (set) set = syscall(SYS_fsconfig, context, cmd_create, NULL, NULL, 0) == 0;
  if (set)
    report->root = (int)syscall(SYS_fsmount, context, fsmount_cloexec, attr_nosuid_nodev_noexec);
  if (!set)
    failed(report, "fsconfig", errno);
  else if (report->root < 0)
    failed(report, "fsmount", errno);
  close(context);
}

/* ---- userns ---- */

static int write_file(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
  close(fd);
  return error;
}

/* Each id is itself inside, and no other is there: all that an unprivileged process may map. */
static int map_ids(uid_t user, gid_t group) {
  char map[32];
  (void)snprintf(map, sizeof map, "%u %u 1", user, user);
  int error = write_file("/proc/self/uid_map", map);
  /* Older than Linux 3.19, there is no such file, and no need for it. */
  if (error == 0) error = write_file("/proc/self/setgroups", "deny");
  if (error == 0 || error == ENOENT) {
    (void)snprintf(map, sizeof map, "%u %u 1", group, group);
    error = write_file("/proc/self/gid_map", map);
  }
  return error;
}

/* The namespaces end with a child that shares our table of fds: the mount outlives them, and no
   copy of the program's mount tree is kept, which would keep its file systems busy. */
static void mount_in_userns(struct vpoll__fuse_report* report) {
  uid_t user = geteuid();
  gid_t group = getegid();
  int child = vpoll__fuse_fork(CLONE_FILES | CLONE_NEWUSER | CLONE_NEWNS);
  if (child < 0) {
    failed(report, "clone", errno);
    return;
  }
  if (child == 0) {
    int error = map_ids(user, group);
    if (error != 0)
      failed(report, "uid_map", error);
    else
      mount_direct(false, user, group, report);
    _exit(0);
  }
  waitpid(child, NULL, __WALL);
}

/* ---- fusermount3 ---- */

/* In a child: becomes fusermount3, with `errors` as its stderr. PATH is trusted only where it is
   the user's own. */
static void become_fusermount(char* const arguments[], int comm, int errors) {
  char variable[32];
  (void)snprintf(variable, sizeof variable, "_FUSE_COMMFD=%d", comm);
  char* environment[] = {variable, NULL};
  dup2(errors, STDERR_FILENO);
  if (secure_getenv("PATH") == NULL)
    execve("/usr/bin/fusermount3", arguments, environment);
  else
    execvpe("fusermount3", arguments, environment);
  _exit(127);
}

/* Runs it; gives the fd that it sends over, or -1. What it says goes to `text`. */
static int run_fusermount(char* const arguments[], int* status, char* text, size_t bytes) {
  int comm[2];
  int errors[2];
  int fd = -1;
  *status = -1;
  *text = '\0';
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, comm) != 0) return -1;
  if (pipe2(errors, O_CLOEXEC) == 0) {
    int child = vpoll__fuse_fork(0);
    if (child == 0) {
      fcntl(comm[1], F_SETFD, 0);
      become_fusermount(arguments, comm[1], errors[1]);
    }
    close(comm[1]);
    close(errors[1]);
    comm[1] = -1;
    if (child > 0) {
      fd = vpoll__fuse_receive_fd(comm[0]);
      size_t used = 0;
      ssize_t got;
      while (used + 1 < bytes && (got = read(errors[0], text + used, bytes - 1 - used)) > 0)
        used += (size_t)got;
      text[used] = '\0';
      text[strcspn(text, "\n")] = '\0';
      waitpid(child, status, __WALL);
    }
    close(errors[0]);
  }
  close(comm[0]);
  if (comm[1] >= 0) close(comm[1]);
  return fd;
}

static void mount_by_fusermount(struct vpoll__fuse_report* report) {
  char folder[] = "/tmp/vpoll-XXXXXX";
  if (mkdtemp(folder) == NULL) {
    failed(report, folder, errno);
    return;
  }
  char program[] = "fusermount3";
  char options[] = "nosuid,nodev,noexec,fsname=vpoll";
  char o[] = "-o";
  char end[] = "--";
  char u[] = "-uz";
  int status;
  char said[sizeof report->text];
  char* mounting[] = {program, o, options, end, folder, NULL};
  report->device = run_fusermount(mounting, &status, said, sizeof said);
  if (report->device < 0) {
    bool missing = WIFEXITED(status) && WEXITSTATUS(status) == 127;
    failed(report, missing ? "not found" : said, EOPNOTSUPP);
    report->complete = missing || *said != '\0';
    rmdir(folder);
    return;
  }
  report->root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (report->root < 0) failed(report, "open the mount", errno);
  char* detaching[] = {program, u, end, folder, NULL};
  run_fusermount(detaching, &status, said, sizeof said);
  if (rmdir(folder) != 0) failed(report, "fusermount3 -uz", errno);
}

/* ---- */

/* Closes all but one: the other end of a pipe that the program holds must see the program's end. */
static void close_all_but(int keep) {
  if ((keep == 0 || syscall(SYS_close_range, 0, keep - 1, 0) == 0) &&
      syscall(SYS_close_range, keep + 1, ~0U, 0) == 0)
    return;
  long limit = sysconf(_SC_OPEN_MAX); /* before Linux 5.9 */
  for (long fd = 0; fd < limit; fd++)
    if (fd != keep) close((int)fd);
}

void vpoll__fuse_mount(enum vpoll__fuse_way way, int keep, struct vpoll__fuse_report* report) {
  close_all_but(keep);
  /* 0 to 2 are for fusermount3: nothing else may get these numbers. */
  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if (fd != keep && open("/dev/null", O_RDWR) < 0) dup2(keep, fd);
  switch (way) {
  case VPOLL__FUSE_DIRECT: mount_direct(true, geteuid(), getegid(), report); break;
  case VPOLL__FUSE_USERNS: mount_in_userns(report); break;
  case VPOLL__FUSE_FUSERMOUNT: mount_by_fusermount(report); break;
  case VPOLL__FUSE_WAYS: failed(report, "no way", EINVAL);
  }
}
