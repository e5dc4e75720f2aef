/* SPDX-License-Identifier: MIT */
/*
 * A plug-in of the libioth kind over the kernel's own sockets, for the tests. What is compiled in:
 *
 *   -DNAME=kern              the plug-in's name
 *   -DLICENSE='"MIT"'        what it says of its licence; nothing if left out
 *   -DLICENSE_ARRAY          says it as an array, not as a pointer
 *   -DHAS_socket -DHAS_...   the calls that it exports by name
 *   -DFILLS_IN               newstack puts close() and all the rest in the table
 *   -DNO_NEWSTACK
 *
 * Options of a stack, separated by commas: log=PATH gets a line for each call, "CALL STACK" with
 * the number of the stack that getstackdata() gives, 0 for none; number=N names the stack;
 * fail=ERRNO and delfail=ERRNO make newstack and delstack fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ioth.h"

#define JOIN3(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define EXPORT(call) JOIN(ioth_, NAME, call)

#ifdef LICENSE
#ifdef LICENSE_ARRAY
const char EXPORT(license)[] = LICENSE;
#else
const char* EXPORT(license) = LICENSE;
#endif
#endif

struct stack {
  int number;
  int delfail;
};

static void* (*getstackdata)(void);
static int log_fd = -1;

static void note_number(const char* call, int number) {
  char line[64];
  const int length = snprintf(line, sizeof line, "%s %d\n", call, number);
  if (log_fd >= 0 && write(log_fd, line, (size_t)length) < 0) abort();
}

static void note(const char* call) {
  const struct stack* stack = getstackdata == NULL ? NULL : getstackdata();
  note_number(call, stack == NULL ? 0 : stack->number);
}

#ifdef HAS_socket
int EXPORT(socket)(int domain, int type, int protocol) {
  note("socket");
#ifdef NO_SOCK_NONBLOCK
  if (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)) return errno = EINVAL, -1;
#endif
  return socket(domain, type, protocol);
}
#endif
#ifdef HAS_close
int EXPORT(close)(int fd) {
  note("close");
  return close(fd);
}
#endif
#ifdef HAS_bind
int EXPORT(bind)(int fd, const struct sockaddr* address, socklen_t length) {
  note("bind");
  return bind(fd, address, length);
}
#endif
#ifdef HAS_connect
int EXPORT(connect)(int fd, const struct sockaddr* address, socklen_t length) {
  note("connect");
  return connect(fd, address, length);
}
#endif
#ifdef HAS_listen
int EXPORT(listen)(int fd, int backlog) {
  note("listen");
  return listen(fd, backlog);
}
#endif
#ifdef HAS_accept
int EXPORT(accept)(int fd, struct sockaddr* address, socklen_t* length) {
  note("accept");
  return accept(fd, address, length);
}
#endif
#ifdef HAS_getsockname
int EXPORT(getsockname)(int fd, struct sockaddr* address, socklen_t* length) {
  note("getsockname");
  return getsockname(fd, address, length);
}
#endif
#ifdef HAS_getpeername
int EXPORT(getpeername)(int fd, struct sockaddr* address, socklen_t* length) {
  note("getpeername");
  return getpeername(fd, address, length);
}
#endif
#ifdef HAS_setsockopt
int EXPORT(setsockopt)(int fd, int level, int option, const void* value, socklen_t length) {
  note("setsockopt");
  return setsockopt(fd, level, option, value, length);
}
#endif
#ifdef HAS_getsockopt
int EXPORT(getsockopt)(int fd, int level, int option, void* value, socklen_t* length) {
  note("getsockopt");
  return getsockopt(fd, level, option, value, length);
}
#endif
#ifdef HAS_shutdown
int EXPORT(shutdown)(int fd, int how) {
  note("shutdown");
  return shutdown(fd, how);
}
#endif
#ifdef HAS_ioctl
int EXPORT(ioctl)(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  note("ioctl");
  return ioctl(fd, request, argument);
}
#endif
#ifdef HAS_fcntl
int EXPORT(fcntl)(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const long argument = va_arg(list, long);
  va_end(list);
  note("fcntl");
  return fcntl(fd, command, argument);
}
#endif
#ifdef HAS_read
ssize_t EXPORT(read)(int fd, void* buffer, size_t length) {
  note("read");
  return read(fd, buffer, length);
}
#endif
#ifdef HAS_readv
ssize_t EXPORT(readv)(int fd, const struct iovec* pieces, int count) {
  note("readv");
  return readv(fd, pieces, count);
}
#endif
#ifdef HAS_recv
ssize_t EXPORT(recv)(int fd, void* buffer, size_t length, int flags) {
  note("recv");
  return recv(fd, buffer, length, flags);
}
#endif
#ifdef HAS_recvfrom
ssize_t EXPORT(recvfrom)(int fd, void* buffer, size_t length, int flags, struct sockaddr* from,
                         socklen_t* from_length) {
  note("recvfrom");
  return recvfrom(fd, buffer, length, flags, from, from_length);
}
#endif
#ifdef HAS_recvmsg
ssize_t EXPORT(recvmsg)(int fd, struct msghdr* message, int flags) {
  note("recvmsg");
  return recvmsg(fd, message, flags);
}
#endif
#ifdef HAS_write
ssize_t EXPORT(write)(int fd, const void* buffer, size_t length) {
  note("write");
  return write(fd, buffer, length);
}
#endif
#ifdef HAS_writev
ssize_t EXPORT(writev)(int fd, const struct iovec* pieces, int count) {
  note("writev");
  return writev(fd, pieces, count);
}
#endif
#ifdef HAS_send
ssize_t EXPORT(send)(int fd, const void* buffer, size_t length, int flags) {
  note("send");
  return send(fd, buffer, length, flags);
}
#endif
#ifdef HAS_sendto
ssize_t EXPORT(sendto)(int fd, const void* buffer, size_t length, int flags,
                       const struct sockaddr* to, socklen_t to_length) {
  note("sendto");
  return sendto(fd, buffer, length, flags, to, to_length);
}
#endif
#ifdef HAS_sendmsg
ssize_t EXPORT(sendmsg)(int fd, const struct msghdr* message, int flags) {
  note("sendmsg");
  return sendmsg(fd, message, flags);
}
#endif

#ifndef NO_NEWSTACK
/* Of the library, so that a second copy of it is seen. */
static int stacks_of_this_copy;

static int number_in(const char* options, const char* key, int otherwise) {
  const char* found = strstr(options, key);
  return found == NULL ? otherwise : atoi(found + strlen(key));
}

void* EXPORT(newstack)(const char* vnlv[], const char* options, struct ioth_functions* f) {
  const char* path = strstr(options, "log=");
  if (path != NULL && log_fd < 0) {
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(path + 4, ","), path + 4);
    log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  getstackdata = f->getstackdata;
  const int fail = number_in(options, "fail=", -1);
  if (strstr(options, "delfail=") == NULL && fail >= 0) return errno = fail, NULL;
  struct stack* stack = calloc(1, sizeof *stack);
  if (stack == NULL) return NULL;
  stack->number = number_in(options, "number=", 1);
  stack->delfail = number_in(options, "delfail=", 0);
  note_number("newstack", ++stacks_of_this_copy);
  for (int i = 0; vnlv[i] != NULL; i++) note_number(vnlv[i], i);
#ifdef FILLS_IN
  /* As the plug-ins of libioth over the kernel's sockets do. */
  f->close = close;
  f->bind = bind;
  f->connect = connect;
  f->listen = listen;
  f->accept = accept;
  f->getsockname = getsockname;
  f->getpeername = getpeername;
  f->setsockopt = setsockopt;
  f->getsockopt = getsockopt;
  f->shutdown = shutdown;
  f->fcntl = fcntl;
  f->recvmsg = recvmsg;
  f->sendmsg = sendmsg;
#endif
  return stack;
}
#endif

int EXPORT(delstack)(void* data) {
  struct stack* stack = data;
  const int error = stack->delfail;
  note_number("delstack", stack->number);
  free(stack);
  return error == 0 ? 0 : (errno = error, -1);
}
