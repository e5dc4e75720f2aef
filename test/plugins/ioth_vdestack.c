/* SPDX-License-Identifier: MIT */
/*
 * Debian's libvdestack as a plug-in of the libioth kind: the kernel's stack, in a namespace of its
 * own, on a VDE network. One locator. The options are commands for vde_stackcmd(3), such as
 * "/bin/ip link set vde0 up;/bin/ip addr add 10.0.0.1/24 dev vde0".
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vdestack.h>

#include "ioth.h"

const char* ioth_vdestack_license = "SPDX-License-Identifier: MIT AND LGPL-2.1-or-later";

static void* (*getstackdata)(void);
/* vde_msocket asks the stack's process and reads its answer: one at a time. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

int ioth_vdestack_socket(int domain, int type, int protocol) {
  pthread_mutex_lock(&asking);
  const int fd = vde_msocket(getstackdata(), domain, type, protocol);
  pthread_mutex_unlock(&asking);
  return fd;
}

void* ioth_vdestack_newstack(const char* vnlv[], const char* options, struct ioth_functions* f) {
  if (vnlv[0] == NULL || vnlv[1] != NULL) return errno = EINVAL, NULL;
  struct vdestack* stack = vde_addstack((char*)vnlv[0], NULL);
  if (stack == NULL) return NULL;
  if (options[0] != '\0' && vde_stackcmd(stack, (char*)options) != 0) {
    vde_delstack(stack);
    return errno = EIO, NULL;
  }
  getstackdata = f->getstackdata;
  /* Its sockets are the kernel's: but for how they are made, the C library serves. */
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
  f->ioctl = ioctl;
  f->fcntl = fcntl;
  f->read = read;
  f->readv = readv;
  f->recv = recv;
  f->recvfrom = recvfrom;
  f->recvmsg = recvmsg;
  f->write = write;
  f->writev = writev;
  f->send = send;
  f->sendto = sendto;
  f->sendmsg = sendmsg;
  return stack;
}

int ioth_vdestack_delstack(void* stack) {
  vde_delstack(stack);
  return 0;
}
