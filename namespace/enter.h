/* SPDX-License-Identifier: MIT */
/* What the parts of vpollnet-enter share; enter.c says what it is for. */
#ifndef VPOLLNET_ENTER_H
#define VPOLLNET_ENTER_H

#include <stdbool.h>
#include <stddef.h>

enum {
  exit_failure = 125,
  exit_not_runnable = 126,
  exit_not_found = 127,
  most_addresses = 64,
  least_mtu = 68,        /* RFC 791 3.2 */
  most_mtu = 65521,      /* what the kernel's TAP takes: 65535 less the Ethernet header */
  least_ipv6_mtu = 1280, /* RFC 8200 5 */
};

struct address {
  int family;
  unsigned char bytes[16];
  unsigned prefix;
  const char* text;
};

/* A file that the command is to see with another content. */
struct replaced {
  const char* path;
  int content; /* a descriptor, or -1 */
};

enum { replaced_files = 2 };

/* The command line, checked. */
struct arguments {
  int socket; /* -1: none yet, errors go to stderr */
  const char* pid;
  const char* net;
  const char* user;
  bool map_root;
  const char* name;
  const char* mac_text; /* NULL: the kernel chooses it */
  unsigned char mac[6];
  unsigned mtu;
  struct address addresses[most_addresses];
  size_t address_count;
  struct address gateways[most_addresses];
  size_t gateway_count;
  bool no_ipv6;
  struct replaced files[replaced_files];
  const char* cwd;
  char** command; /* its first element is NULL where a namespace is joined */
};

extern struct arguments given;

void read_arguments(int argc, char** argv);

/* Tells the parent what failed, by which call, and what to do, and ends the process. */
__attribute__((noreturn, format(printf, 4, 5))) void
fail_with(int code, int error, const char* call, const char* format, ...);
#define fail(error, call, ...) fail_with(exit_failure, error, call, __VA_ARGS__)

/* namespaces.c */
void make_namespaces(void);
void join_namespaces(void);
void replace_files(void);
/* Why a call in a namespace that was made is refused. */
const char* why_no_rights(void);

/* interface.c */
int make_tap(void);
/* The loopback of a namespace that was made, the TAP, its addresses and routes. */
void set_up_network(int tap);

#endif
