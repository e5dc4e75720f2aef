/* SPDX-License-Identifier: MIT */
/* The TAP, and what is set up on it by rtnetlink(7). */
#define _GNU_SOURCE 1
#include "enter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int make_tap(void) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    fail(errno, "open", "/dev/net/tun: %s",
         errno == EACCES || errno == EPERM
             ? "this user may not open it; as root: chmod 0666 /dev/net/tun (in a container: "
               "--device "
               "/dev/net/tun)"
             : "it is not there; as root: modprobe tun (in a container: --device /dev/net/tun)");
  }
  /* Whoever reads the frames says by TUNSETOFFLOAD what he takes: it works in any namespace. */
  struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
  memcpy(request.ifr_name, given.name, strlen(given.name) + 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    fail(errno, "ioctl(TUNSETIFF)", "'%s': %s", given.name,
         errno == EBUSY || errno == EINVAL || errno == EEXIST
             ? "the namespace has an interface of that name"
         : errno == EPERM ? "this user may make no device in that namespace"
                          : "");
  }
  return fd;
}

struct request {
  struct nlmsghdr header;
  char body[512]; /* a message of ours has a handful of attributes */
};

static struct rtattr* add_attribute(struct request* request, unsigned short type, const void* data,
                                    size_t size) {
  struct rtattr* attribute = (void*)((char*)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(size);
  if (size > 0) memcpy(RTA_DATA(attribute), data, size);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + (unsigned)RTA_SPACE(size);
  return attribute;
}

static void end_nest(const struct request* request, struct rtattr* nest) {
  nest->rta_len = (unsigned short)((const char*)request + request->header.nlmsg_len - (char*)nest);
}

/* The request's first part, after its header. */
static void* begin(struct request* request, unsigned short type, unsigned short flags,
                   size_t size) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_len = (unsigned)NLMSG_LENGTH(size);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  return NLMSG_DATA(&request->header);
}

/* 0, or what the kernel answers, positive. */
static int ask(int netlink, struct request* request) {
  union {
    struct nlmsghdr header;
    char bytes[4096];
  } answer;
  if (send(netlink, request, request->header.nlmsg_len, 0) < 0) return errno;
  const ssize_t got = recv(netlink, &answer, sizeof answer, 0);
  if (got < 0) return errno;
  if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
      answer.header.nlmsg_type != NLMSG_ERROR) {
    return EPROTO;
  }
  return -((const struct nlmsgerr*)NLMSG_DATA(&answer.header))->error;
}

/* `address` NULL: no other than the kernel gave it. `up` false: as it is. */
static int set_link(int netlink, unsigned index, const unsigned char* address, unsigned mtu,
                    bool up) {
  struct request request;
  struct ifinfomsg* info = begin(&request, RTM_NEWLINK, 0, sizeof *info);
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = (int)index;
  if (up) info->ifi_flags = info->ifi_change = IFF_UP;
  if (address != NULL) add_attribute(&request, IFLA_ADDRESS, address, sizeof given.mac);
  if (mtu != 0) add_attribute(&request, IFLA_MTU, &mtu, sizeof mtu);
  return ask(netlink, &request);
}

/* The kernel makes no link-local address by itself: it would look for duplicates for a second
 * first. */
static int make_no_link_local_address(int netlink, unsigned index) {
  const unsigned char none = IN6_ADDR_GEN_MODE_NONE;
  struct request request;
  struct ifinfomsg* info = begin(&request, RTM_NEWLINK, 0, sizeof *info);
  info->ifi_family = AF_UNSPEC;
  info->ifi_index = (int)index;
  struct rtattr* families = add_attribute(&request, IFLA_AF_SPEC, NULL, 0);
  struct rtattr* ipv6 = add_attribute(&request, AF_INET6, NULL, 0);
  add_attribute(&request, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
  end_nest(&request, ipv6);
  end_nest(&request, families);
  return ask(netlink, &request);
}

static int set_address(int netlink, unsigned index, const struct address* address) {
  const size_t size = address->family == AF_INET ? 4 : 16;
  const unsigned flags = IFA_F_NODAD;
  struct request request;
  struct ifaddrmsg* message =
      begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->ifa_family = (unsigned char)address->family;
  message->ifa_prefixlen = (unsigned char)address->prefix;
  message->ifa_index = index;
  add_attribute(&request, IFA_LOCAL, address->bytes, size);
  add_attribute(&request, IFA_ADDRESS, address->bytes, size);
  if (address->family == AF_INET6) add_attribute(&request, IFA_FLAGS, &flags, sizeof flags);
  if (address->family == AF_INET && address->prefix < 31) { /* RFC 3021: no broadcast below */
    unsigned char broadcast[4];
    uint32_t host = 0;
    memcpy(&host, address->bytes, sizeof host);
    host |= htonl(UINT32_MAX >> address->prefix);
    memcpy(broadcast, &host, sizeof broadcast);
    add_attribute(&request, IFA_BROADCAST, broadcast, sizeof broadcast);
  }
  return ask(netlink, &request);
}

static int set_default_route(int netlink, unsigned index, const struct address* gateway) {
  struct request request;
  struct rtmsg* message = begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->rtm_family = (unsigned char)gateway->family;
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_protocol = RTPROT_STATIC;
  message->rtm_scope = RT_SCOPE_UNIVERSE;
  message->rtm_type = RTN_UNICAST;
  add_attribute(&request, RTA_GATEWAY, gateway->bytes, gateway->family == AF_INET ? 4 : 16);
  add_attribute(&request, RTA_OIF, &index, sizeof index);
  return ask(netlink, &request);
}

/* RFC 4291 2.5.6 and appendix A: fe80::/64 and the MAC address, as the kernel would make it. */
static struct address link_local_address(int tap) {
  struct address result = {.family = AF_INET6, .bytes = {0xfe, 0x80}, .prefix = 64};
  struct ifreq request = {0};
  if (ioctl(tap, SIOCGIFHWADDR, &request) != 0)
    fail(errno, "ioctl(SIOCGIFHWADDR)", "%s", given.name);
  const unsigned char* mac = (const unsigned char*)request.ifr_hwaddr.sa_data;
  const unsigned char identifier[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff,
                                       0xfe,       mac[3], mac[4], mac[5]};
  memcpy(result.bytes + 8, identifier, sizeof identifier);
  result.text = "fe80::/64";
  return result;
}

static bool wants_ipv6(void) {
  for (size_t i = 0; i < given.address_count; i++) {
    if (given.addresses[i].family == AF_INET6) return true;
  }
  return false;
}

/* The addresses and routes, on a TAP that is up. */
static void set_up_addresses(int netlink, unsigned index, int tap) {
  const bool ipv6 = !given.no_ipv6 && given.mtu >= least_ipv6_mtu;
  if (ipv6) {
    const struct address own = link_local_address(tap);
    const int error = set_address(netlink, index, &own);
    /* A kernel without IPv6, or with it turned off, does for who asks for no address of it. */
    if (error != 0 && error != EEXIST && wants_ipv6()) {
      fail(error, "rtnetlink", "the address %s on '%s': is IPv6 turned off here?", own.text,
           given.name);
    }
  }
  for (size_t i = 0; i < given.address_count; i++) {
    const struct address* address = &given.addresses[i];
    const int error = set_address(netlink, index, address);
    if (error == 0) continue;
    fail(error, "rtnetlink", "the address %s on '%s'%s", address->text, given.name,
         error == EEXIST ? ": it is given twice"
         : address->family == AF_INET6 && given.mtu < least_ipv6_mtu
             ? ": IPv6 needs an MTU of 1280 at least"
             : "");
  }
  for (size_t i = 0; i < given.gateway_count; i++) {
    const struct address* gateway = &given.gateways[i];
    const int error = set_default_route(netlink, index, gateway);
    if (error == 0) continue;
    fail(error, "rtnetlink", "the gateway %s%s", gateway->text,
         error == ENETUNREACH || error == EHOSTUNREACH || error == EINVAL
             ? ": it is in no network of the addresses that are given"
         : error == EEXIST ? ": there is a default route already"
                           : "");
  }
}

void set_up_network(int tap) {
  const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) fail(errno, "socket", "netlink");
  const unsigned index = if_nametoindex(given.name);
  if (index == 0) fail(errno, "if_nametoindex", "%s", given.name);
  int error = 0;
  if (*given.command != NULL) { /* others have set up their own loopback */
    error = set_link(netlink, if_nametoindex("lo"), NULL, 0, true);
    if (error != 0) fail(error, "rtnetlink", "lo cannot be taken up: %s", why_no_rights());
  }
  (void)make_no_link_local_address(netlink, index); /* without IPv6 there is nothing to turn off */
  error = set_link(netlink, index, given.mac_text == NULL ? NULL : given.mac, given.mtu, false);
  if (error != 0) {
    fail(error, "rtnetlink", "'%s': MTU %u%s%s", given.name, given.mtu,
         given.mac_text == NULL ? "" : ", MAC address ",
         given.mac_text == NULL ? "" : given.mac_text);
  }
  error = set_link(netlink, index, NULL, 0, true);
  if (error != 0) fail(error, "rtnetlink", "'%s' cannot be taken up", given.name);
  set_up_addresses(netlink, index, tap);
  close(netlink);
}
