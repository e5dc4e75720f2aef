/* SPDX-License-Identifier: MIT */
/*
 * What a plug-in of the libioth kind and the program that loads it agree on. Written from the facts
 * of libioth's interface, so that plug-ins built against libioth's own header work here, and the
 * other way round. C and C++.
 *
 * A plug-in NAME is a shared object, ioth_NAME-r.so or ioth_NAME.so. The "-r" says that it is
 * reentrant: one copy of it serves any number of stacks and threads. The other kind is loaded once
 * more for each stack, into a link-map namespace of its own (dlmopen(3)), so that a library which
 * keeps one stack in global variables can be used for several.
 *
 * It exports:
 *
 *   const char *ioth_NAME_license          "SPDX-License-Identifier: MIT", or the expression alone
 *   void *ioth_NAME_newstack(const char *vnlv[], const char *options, struct ioth_functions *f)
 *                                          a new stack on the virtual networks that the locators
 * name (a list that NULL ends); NULL and errno if there is none int ioth_NAME_delstack(void
 * *stackdata)             0, or -1 and errno ioth_NAME_socket, ioth_NAME_close, ... the calls of
 * the table below
 *
 * Before newstack the table is filled with getstackdata and with what is found by name, NULL where
 * nothing is. newstack may fill in or replace entries: the plug-ins over the kernel's sockets set
 * f->close = close and so on, and export hardly anything by name. Every entry has the prototype of
 * the C library's function. Descriptors are the kernel's, so that poll(2) can wait for them.
 *
 * getstackdata() gives what newstack returned, for the stack whose call runs in this thread. It is
 * set before each call but close, and stays until the next.
 */
#ifndef VPOLLNET_IOTH_H
#define VPOLLNET_IOTH_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ioth_functions {
  void* (*getstackdata)(void);
  void* (*newstack)(const char* vnlv[], const char* options, struct ioth_functions* functions);
  int (*delstack)(void* stackdata);
  int (*socket)(int domain, int type, int protocol);
  int (*close)(int fd);
  int (*bind)(int fd, const struct sockaddr* address, socklen_t length);
  int (*connect)(int fd, const struct sockaddr* address, socklen_t length);
  int (*listen)(int fd, int backlog);
  int (*accept)(int fd, struct sockaddr* address, socklen_t* length);
  int (*getsockname)(int fd, struct sockaddr* address, socklen_t* length);
  int (*getpeername)(int fd, struct sockaddr* address, socklen_t* length);
  int (*setsockopt)(int fd, int level, int option, const void* value, socklen_t length);
  int (*getsockopt)(int fd, int level, int option, void* value, socklen_t* length);
  int (*shutdown)(int fd, int how);
  int (*ioctl)(int fd, unsigned long request, ...);
  int (*fcntl)(int fd, int command, ...);
  ssize_t (*read)(int fd, void* buffer, size_t length);
  ssize_t (*readv)(int fd, const struct iovec* pieces, int count);
  ssize_t (*recv)(int fd, void* buffer, size_t length, int flags);
  ssize_t (*recvfrom)(int fd, void* buffer, size_t length, int flags, struct sockaddr* from,
                      socklen_t* from_length);
  ssize_t (*recvmsg)(int fd, struct msghdr* message, int flags);
  ssize_t (*write)(int fd, const void* buffer, size_t length);
  ssize_t (*writev)(int fd, const struct iovec* pieces, int count);
  ssize_t (*send)(int fd, const void* buffer, size_t length, int flags);
  ssize_t (*sendto)(int fd, const void* buffer, size_t length, int flags, const struct sockaddr* to,
                    socklen_t to_length);
  ssize_t (*sendmsg)(int fd, const struct msghdr* message, int flags);
};

#ifdef __cplusplus
}
#endif

#endif
