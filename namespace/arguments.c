/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "enter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct arguments given = {
    .socket = -1,
    .name = "tap0",
    .mtu = 1500,
    .files = {{"/etc/resolv.conf", -1}, {"/etc/hosts", -1}},
};

void fail_with(int code, int error, const char* call, const char* format, ...) {
  char text[1024];
  char message[1280];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const int size = snprintf(message, sizeof message, "error %d %s %s", error, call, text);
  if (given.socket < 0 || send(given.socket, message, (size_t)size, MSG_NOSIGNAL) < 0) {
    fprintf(stderr, "vpollnet-enter: %s: %s%s%s\n", call, strerror(error), *text ? " - " : "",
            text);
  }
  exit(code);
}

static unsigned number(const char* text, unsigned least, unsigned most, const char* what) {
  char* end = NULL;
  errno = 0;
  const unsigned long value = strtoul(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
    fail(EINVAL, "arguments", "%s is a number from %u to %u, not '%s'", what, least, most, text);
  }
  return (unsigned)value;
}

/* "10.0.0.2/24"; without a prefix if `has_prefix` is false. */
static struct address address_of(const char* text, bool has_prefix) {
  struct address result = {.text = text};
  char host[INET6_ADDRSTRLEN] = "";
  const char* slash = strchr(text, '/');
  const size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
  if (length < sizeof host) memcpy(host, text, length);
  result.family = strchr(host, ':') == NULL ? AF_INET : AF_INET6;
  if ((slash != NULL) != has_prefix || inet_pton(result.family, host, result.bytes) != 1) {
    fail(EINVAL, "arguments", "'%s' is no address%s", text,
         has_prefix ? " with a prefix, such as 10.0.0.2/24" : ", such as 10.0.0.1");
  }
  if (has_prefix) {
    result.prefix = number(slash + 1, 0, result.family == AF_INET ? 32 : 128, "a prefix");
  }
  return result;
}

static void add_address(struct address* list, size_t* count, const char* text, bool has_prefix) {
  if (*count == most_addresses) fail(E2BIG, "arguments", "at most %d addresses", most_addresses);
  list[(*count)++] = address_of(text, has_prefix);
}

static void read_mac(const char* text) {
  int used = 0;
  const int count =
      sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &given.mac[0], &given.mac[1],
             &given.mac[2], &given.mac[3], &given.mac[4], &given.mac[5], &used);
  if (count != 6 || text[used] != '\0' || (given.mac[0] & 1) != 0) {
    fail(EINVAL, "arguments", "'%s' is no unicast MAC address like 02:00:00:aa:bb:cc", text);
  }
  given.mac_text = text;
}

void read_arguments(int argc, char** argv) {
  enum {
    socket_,
    pid,
    net,
    user,
    map_root,
    name,
    mac,
    mtu,
    address,
    gateway,
    no_ipv6,
    resolv,
    hosts,
    cwd
  };
  static const struct option options[] = {
      {"socket", required_argument, NULL, socket_},
      {"pid", required_argument, NULL, pid},
      {"net", required_argument, NULL, net},
      {"user", required_argument, NULL, user},
      {"map-root", no_argument, NULL, map_root},
      {"name", required_argument, NULL, name},
      {"mac", required_argument, NULL, mac},
      {"mtu", required_argument, NULL, mtu},
      {"address", required_argument, NULL, address},
      {"gateway", required_argument, NULL, gateway},
      {"no-ipv6", no_argument, NULL, no_ipv6},
      {"resolv-conf", required_argument, NULL, resolv},
      {"hosts", required_argument, NULL, hosts},
      {"cwd", required_argument, NULL, cwd},
      {NULL, 0, NULL, 0},
  };
  opterr = 0;
  for (int option = 0; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
    switch (option) {
    case socket_:
      given.socket = (int)number(optarg, 0, INT_MAX, "--socket");
      /* The command is not to have it, and its end tells the parent that the command runs. */
      if (fcntl(given.socket, F_SETFD, FD_CLOEXEC) != 0) {
        const int error = errno;
        given.socket = -1;
        fail(error, "fcntl", "--socket %s is not open", optarg);
      }
      break;
    case pid:
      given.pid = optarg;
      number(optarg, 1, INT_MAX, "--pid");
      break;
    case net: given.net = optarg; break;
    case user: given.user = optarg; break;
    case map_root: given.map_root = true; break;
    case name: given.name = optarg; break;
    case mac: read_mac(optarg); break;
    case mtu: given.mtu = number(optarg, least_mtu, most_mtu, "an MTU"); break;
    case address: add_address(given.addresses, &given.address_count, optarg, true); break;
    case gateway: add_address(given.gateways, &given.gateway_count, optarg, false); break;
    case no_ipv6: given.no_ipv6 = true; break;
    case resolv: given.files[0].content = (int)number(optarg, 0, INT_MAX, "--resolv-conf"); break;
    case hosts: given.files[1].content = (int)number(optarg, 0, INT_MAX, "--hosts"); break;
    case cwd: given.cwd = optarg; break;
    default: fail(EINVAL, "arguments", "'%s' is not known, or lacks its value", argv[optind - 1]);
    }
  }
  given.command = argv + optind;
  const bool joins = given.pid != NULL || given.net != NULL;
  if (given.pid != NULL && (given.net != NULL || given.user != NULL)) {
    fail(EINVAL, "arguments", "--pid names both namespaces already");
  }
  if (given.user != NULL && given.net == NULL) fail(EINVAL, "arguments", "--user needs --net");
  if (joins == (*given.command != NULL)) {
    fail(EINVAL, "arguments", "%s",
         joins ? "a namespace of others takes no command" : "no command");
  }
  const size_t length = strlen(given.name);
  if (length == 0 || length >= IFNAMSIZ || strpbrk(given.name, "/:% \t\n\v\f\r") != NULL ||
      strcmp(given.name, ".") == 0 || strcmp(given.name, "..") == 0) {
    fail(EINVAL, "arguments",
         "'%s' is no device name: 1 to 15 characters, without space, '/', ':' and '%%'",
         given.name);
  }
}
