/* SPDX-License-Identifier: MIT */
/*
 * vpollnet-enter: a command in a network of its own, whose only way out is a TAP that the parent
 * holds.
 *
 *   vpollnet-enter --socket FD [OPTION...] -- COMMAND [ARGUMENT...]
 *   vpollnet-enter --socket FD --pid PID | --net PATH [--user PATH] [OPTION...]
 *
 * The first form makes a user, network and mount namespace, needs no privilege, and runs the
 * command there in its own process. The second makes the TAP in the namespace of others, and ends.
 *
 *   --socket FD          a Unix socket of SOCK_SEQPACKET to the parent; without it, errors go to
 * stderr
 *   --pid PID            the user and network namespace of that process
 *   --net PATH           a network namespace, such as /run/netns/NAME ...
 *   --user PATH          ... and the user namespace that it belongs to, where that is not ours
 *   --map-root           the command is root in there, not the user that it is outside
 *   --name NAME          of the TAP: tap0
 *   --mac MAC            random if left out
 *   --mtu N              1500
 *   --address A/PREFIX   of the TAP; may be repeated. IPv6 addresses are used at once, without a
 * look for duplicates: nobody else is on this wire
 *   --gateway A          a default route; may be repeated
 *   --no-ipv6            no link-local address either
 *   --resolv-conf FD     what is to be read in /etc/resolv.conf; --hosts FD for /etc/hosts
 *   --cwd PATH           where the command starts
 *
 * Without --address the TAP is up and has a link-local address: the command asks for the rest by
 * DHCP.
 *
 * Messages to the parent: "tap NAME MTU" with the TAP's descriptor, when all is set up. Then, in
 * the first form, the parent says "go"; the end of the socket without another message says that the
 * command runs. What fails is told as "error ERRNO CALL TEXT", the text being what to do, and
 * nothing is left of it. If the parent ends, so does the command (SIGKILL).
 *
 * Exit codes: the command's; 127 if it was not found, 126 if it cannot be run; 125 for all else.
 */
#define _GNU_SOURCE 1
#include "enter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void hand_over(int tap) {
  char text[64];
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec piece = {text,
                        (size_t)snprintf(text, sizeof text, "tap %s %u", given.name, given.mtu)};
  struct msghdr message = {.msg_iov = &piece,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  memset(&control, 0, sizeof control);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof tap);
  memcpy(CMSG_DATA(header), &tap, sizeof tap);
  if (sendmsg(given.socket, &message, MSG_NOSIGNAL) < 0)
    fail(errno, "sendmsg", "the TAP's descriptor");
  close(tap);
}

/* Ends the process if the parent has gone. */
static void wait_for_go(void) {
  char text[8];
  ssize_t got = 0;
  do {
    got = recv(given.socket, text, sizeof text, 0);
  } while (got < 0 && errno == EINTR);
  if (got != 2 || memcmp(text, "go", 2) != 0) exit(exit_failure);
}

static void run_command(void) {
  execvp(given.command[0], given.command);
  const int error = errno;
  const bool missing = error == ENOENT;
  fail_with(missing ? exit_not_found : exit_not_runnable, error, "exec", "%s", given.command[0]);
}

int main(int argc, char** argv) {
  read_arguments(argc, argv);
  if (given.socket < 0) fail(EINVAL, "arguments", "--socket is needed");
  const bool joins = *given.command == NULL;
  if (joins) {
    join_namespaces();
  } else {
    make_namespaces();
    /*
     * After the change of credentials, which resets it; that the parent is gone already is seen by
     * the end of its socket.
     */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail(errno, "prctl", "PR_SET_PDEATHSIG");
    replace_files();
    if (given.cwd != NULL && chdir(given.cwd) != 0) fail(errno, "chdir", "%s", given.cwd);
  }
  const int tap = make_tap();
  set_up_network(tap);
  hand_over(tap);
  if (joins) return 0;
  wait_for_go();
  run_command();
}
