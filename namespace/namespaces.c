/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "enter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number in a file of /proc/sys, or -1. Leaves errno, which its callers are about to tell. */
static long setting(const char* path) {
  const int error = errno;
  char text[32] = "";
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (read(fd, text, sizeof text - 1) < 0) text[0] = '\0';
    close(fd);
  }
  errno = error;
  return text[0] == '\0' ? -1 : atol(text);
}

static const char* why_no_namespace(int error) {
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0) {
    return "users may make no namespaces here; as root: sysctl -w "
           "kernel.unprivileged_userns_clone=1";
  }
  if (setting("/proc/sys/user/max_user_namespaces") == 0) {
    return "users may make no namespaces here; as root: sysctl -w user.max_user_namespaces=10000";
  }
  if (error == ENOSPC || error == EUSERS) {
    return "the limit of namespaces is reached, or they are nested too deeply: sysctl "
           "user.max_user_namespaces";
  }
  if (error == EINVAL) return "this kernel has no user namespaces (CONFIG_USER_NS)";
  return "something does not let this user make namespaces: a container's seccomp profile, or a "
         "chroot";
}

/* Where AppArmor restricts them (Ubuntu 23.10), a namespace is made, but nothing may be done in it.
 */
const char* why_no_rights(void) {
  if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1) {
    return "AppArmor lets unconfined programs do nothing in their namespaces; as root: sysctl -w "
           "kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with 'userns' "
           "for this "
           "program";
  }
  return "the namespace was made, but this user may do nothing in it: is there a security module?";
}

static void write_map(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0)
    fail(errno, "write", "%s: %s", path, why_no_rights());
  close(fd);
}

void make_namespaces(void) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  char map[64];
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) {
    fail(errno, "unshare", "%s", why_no_namespace(errno));
  }
  /* user_namespaces(7): with one id and without setgroups(2), nobody else's help is needed. */
  write_map("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1", given.map_root ? 0 : uid, uid);
  write_map("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "%u %u 1", given.map_root ? 0 : gid, gid);
  write_map("/proc/self/gid_map", map);
}

static bool is_same_file(const struct stat* one, const char* path) {
  struct stat other;
  return stat(path, &other) == 0 && one->st_dev == other.st_dev && one->st_ino == other.st_ino;
}

static int open_namespace(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    fail(errno, "open", "%s: %s", path,
         errno == EACCES     ? "the process belongs to another user, or has privileges"
         : given.pid != NULL ? "is there such a process?"
                             : "is there such a namespace?");
  }
  return fd;
}

static void join(int fd, int kind, const char* path) {
  if (setns(fd, kind) != 0) {
    fail(errno, "setns", "%s: %s", path,
         errno == EINVAL  ? "is no namespace of that kind"
         : errno == EPERM ? "it belongs to another user, or to a user namespace that is not given"
                          : "");
  }
  close(fd);
}

void join_namespaces(void) {
  char user[PATH_MAX] = "";
  char net[PATH_MAX];
  if (given.pid != NULL) {
    snprintf(user, sizeof user, "/proc/%s/ns/user", given.pid);
    snprintf(net, sizeof net, "/proc/%s/ns/net", given.pid);
  } else {
    snprintf(net, sizeof net, "%s", given.net);
    if (given.user != NULL) snprintf(user, sizeof user, "%s", given.user);
  }
  /* Both before either is joined: afterwards /proc may be another one's. */
  const int net_fd = open_namespace(net);
  if (*user != '\0') {
    struct stat target;
    const int user_fd = open_namespace(user);
    /* setns(2) refuses the user namespace that one is in. */
    if (fstat(user_fd, &target) == 0 && is_same_file(&target, "/proc/self/ns/user")) {
      close(user_fd);
    } else {
      join(user_fd, CLONE_NEWUSER, user);
    }
  }
  join(net_fd, CLONE_NEWNET, net);
}

static void copy(int from, const char* path) {
  char buffer[65536];
  const int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (to < 0) fail(errno, "open", "%s", path);
  off_t at = 0;
  for (ssize_t got = 0; (got = pread(from, buffer, sizeof buffer, at)) != 0; at += got) {
    if (got < 0) fail(errno, "read", "what is to be in %s", path);
    if (write(to, buffer, (size_t)got) != got) fail(errno, "write", "%s", path);
  }
  fchmod(to, 0644); /* whatever the umask */
  close(to);
  close(from);
}

/*
 * Binds files of a file system in memory over those of /etc. It is mounted somewhere for a moment
 * alone; what keeps it is that its files are bound. All of it is in this mount namespace, and goes
 * with it.
 */
void replace_files(void) {
  static const char scratch[] = "/tmp";
  int places[replaced_files] = {-1, -1};
  bool any = false;
  for (size_t i = 0; i < replaced_files; i++) {
    const struct replaced* file = &given.files[i];
    if (file->content < 0) continue;
    any = true;
    /* Where a symbolic link leads, which may be below the scratch folder. */
    places[i] = open(file->path, O_PATH | O_CLOEXEC);
    if (places[i] < 0) {
      fail(errno, "open", "%s: only a file that is there can be replaced; as root: touch %s",
           file->path, file->path);
    }
  }
  /* What is mounted here is not seen outside, but what the system mounts is seen here. */
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
    fail(errno, "mount", "%s", why_no_rights());
  if (!any) return;
  if (mount("tmpfs", scratch, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") != 0) {
    fail(errno, "mount", "a tmpfs on %s: %s", scratch, why_no_rights());
  }
  for (size_t i = 0; i < replaced_files; i++) {
    const struct replaced* file = &given.files[i];
    char source[64];
    char target[64];
    if (file->content < 0) continue;
    snprintf(source, sizeof source, "%s/%zu", scratch, i);
    snprintf(target, sizeof target, "/proc/self/fd/%d", places[i]);
    copy(file->content, source);
    if (mount(source, target, NULL, MS_BIND, NULL) != 0) {
      fail(errno, "mount", "%s: a bind mount over it", file->path);
    }
    close(places[i]);
  }
  if (umount2(scratch, MNT_DETACH) != 0) fail(errno, "umount", "%s", scratch);
}
