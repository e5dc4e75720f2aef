// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_options.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace vpollnet::host {
namespace {

using socket::Option;
using socket::Type;

/// Which sockets have an option, as socket::Option says.
enum Has : std::uint8_t { kTcp = 1, kUdp = 2, kPing = 4, kDatagrams = kUdp | kPing, kAll = 7 };

/// An int at one level, and where the two families differ, its twin at the other.
struct Row {
  Option option;
  std::uint8_t has;
  int level;
  int name;
  int level6 = 0;
  int name6 = 0;
};

constexpr std::size_t kAlgorithmName = 16;  // TCP_CA_NAME_MAX, with its null
constexpr std::string_view kOurReno = "newreno";
constexpr std::string_view kLinuxReno = "reno";

constexpr int kBindToIfindex = 62;  // SO_BINDTOIFINDEX of Linux 5.0, which older headers have not

constexpr Row kRows[] = {
    {Option::reuse_address, kAll, SOL_SOCKET, SO_REUSEADDR},
    {Option::broadcast, kUdp, SOL_SOCKET, SO_BROADCAST},
    {Option::keep_alive, kTcp, SOL_SOCKET, SO_KEEPALIVE},
    {Option::keep_idle, kTcp, IPPROTO_TCP, TCP_KEEPIDLE},
    {Option::keep_interval, kTcp, IPPROTO_TCP, TCP_KEEPINTVL},
    {Option::keep_count, kTcp, IPPROTO_TCP, TCP_KEEPCNT},
    {Option::no_delay, kTcp, IPPROTO_TCP, TCP_NODELAY},
    {Option::quick_ack, kTcp, IPPROTO_TCP, TCP_QUICKACK},
    {Option::cork, kTcp, IPPROTO_TCP, TCP_CORK},
    {Option::max_segment, kTcp, IPPROTO_TCP, TCP_MAXSEG},
    {Option::user_timeout, kTcp, IPPROTO_TCP, TCP_USER_TIMEOUT},
    {Option::oob_inline, kTcp, SOL_SOCKET, SO_OOBINLINE},
    {Option::send_buffer, kAll, SOL_SOCKET, SO_SNDBUF},
    {Option::receive_buffer, kAll, SOL_SOCKET, SO_RCVBUF},
    {Option::hop_limit, kAll, IPPROTO_IP, IP_TTL, IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    {Option::multicast_hop_limit, kDatagrams, IPPROTO_IP, IP_MULTICAST_TTL, IPPROTO_IPV6,
     IPV6_MULTICAST_HOPS},
    {Option::traffic_class, kAll, IPPROTO_IP, IP_TOS, IPPROTO_IPV6, IPV6_TCLASS},
    {Option::dont_fragment, kDatagrams, IPPROTO_IP, IP_MTU_DISCOVER, IPPROTO_IPV6,
     IPV6_MTU_DISCOVER},
    {Option::bind_interface, kAll, SOL_SOCKET, kBindToIfindex},
    {Option::multicast_loop, kDatagrams, IPPROTO_IP, IP_MULTICAST_LOOP, IPPROTO_IPV6,
     IPV6_MULTICAST_LOOP},
};

/// What is no int, or not in all ways.
constexpr struct {
  Option option;
  std::uint8_t has;
} kOthers[] = {
    {Option::linger, kTcp},    {Option::ipv6_only, kAll},
    {Option::error, kAll},     {Option::type, kAll},
    {Option::listening, kTcp}, {Option::unsent, kTcp},
    {Option::unread, kAll},    {Option::multicast_interface, kDatagrams},
};

std::uint8_t bit(Type type) { return type == Type::tcp ? kTcp : type == Type::udp ? kUdp : kPing; }

const Row* find_row(Option option) {
  for (const Row& row : kRows) {
    if (row.option == option) return &row;
  }
  return nullptr;
}

bool has(Type type, Option option) {
  if (const Row* row = find_row(option)) return (row->has & bit(type)) != 0;
  for (const auto& other : kOthers) {
    if (other.option == option) return (other.has & bit(type)) != 0;
  }
  return false;
}

Errno set_int(const BsdDescriptor& socket, int level, int name, int value) {
  return socket.calls->setsockopt(socket.fd, level, name, &value, sizeof value);
}

Result<std::int64_t> get_int(const BsdDescriptor& socket, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  const Errno error = socket.calls->getsockopt(socket.fd, level, name, &value, &length);
  return error == Errno::ok ? Result<std::int64_t>(std::int64_t{value}) : error;
}

Result<std::int64_t> ask(const BsdDescriptor& socket, unsigned long request) {
  int value = 0;
  const Errno error = socket.calls->ioctl(socket.fd, request, &value);
  if (error == Errno::invalid) return std::int64_t{0};  // tcp(7): the socket is listening
  if (error == Errno(ENOTTY)) return Errno::no_protocol_option;
  return error == Errno::ok ? Result<std::int64_t>(std::int64_t{value}) : error;
}

Errno set_row(const BsdDescriptor& socket, const Row& row, int value) {
  if (row.level6 == 0) return set_int(socket, row.level, row.name, value);
  const Errno error = set_int(socket, row.level, row.name, value);
  // Of a socket of AF_INET6, the IPv6 side counts: an implementation may have that alone.
  return socket.domain == AF_INET6 ? set_int(socket, row.level6, row.name6, value) : error;
}

}  // namespace

Errno set_bsd_option(const BsdDescriptor& socket, Option option, std::int64_t value) {
  if (!has(socket.type, option)) return Errno::no_protocol_option;
  if (value < INT32_MIN || value > INT32_MAX) return Errno::invalid;
  const int number = static_cast<int>(value);
  switch (option) {
  case Option::error:
  case Option::type:
  case Option::listening:
  case Option::unsent:
  case Option::unread: return Errno::no_protocol_option;
  case Option::ipv6_only:
    if (socket.domain != AF_INET6) return Errno::no_protocol_option;
    return set_int(socket, IPPROTO_IPV6, IPV6_V6ONLY, number);
  case Option::linger: {
    linger on{};
    on.l_onoff = number >= 0;
    on.l_linger = number >= 0 ? number : 0;
    return socket.calls->setsockopt(socket.fd, SOL_SOCKET, SO_LINGER, &on, sizeof on);
  }
  case Option::multicast_interface: {
    ip_mreqn interface {};
    interface.imr_ifindex = number;
    const Errno error = socket.calls->setsockopt(socket.fd, IPPROTO_IP, IP_MULTICAST_IF, &interface,
                                                 sizeof interface);
    return socket.domain == AF_INET6 ? set_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, number)
                                     : error;
  }
  case Option::dont_fragment:
    // ip(7): DO never fragments here; WANT, the default, does where the path is known to need it.
    return set_row(socket, *find_row(option), number != 0 ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT);
  default: return set_row(socket, *find_row(option), number);
  }
}

Errno set_bsd_text_option(const BsdDescriptor& socket, Option option, std::string_view value) {
  if (option != Option::congestion || socket.type != Type::tcp) return Errno::no_protocol_option;
  // Linux cuts what is too long, and takes the rest for the name.
  if (value.size() >= kAlgorithmName) return Errno::no_entry;
  const std::string name(value == kOurReno ? kLinuxReno : value);
  return socket.calls->setsockopt(socket.fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                                  static_cast<socklen_t>(name.size()));
}

Result<std::string> bsd_text_option(const BsdDescriptor& socket, Option option) {
  if (option != Option::congestion || socket.type != Type::tcp) return Errno::no_protocol_option;
  char name[kAlgorithmName] = {};
  socklen_t length = sizeof name;
  const Errno error =
      socket.calls->getsockopt(socket.fd, IPPROTO_TCP, TCP_CONGESTION, name, &length);
  if (error != Errno::ok) return error;
  const std::string_view known(name, strnlen(name, std::min<std::size_t>(length, sizeof name)));
  return std::string(known == kLinuxReno ? kOurReno : known);
}

Result<std::int64_t> bsd_option(const BsdDescriptor& socket, Option option) {
  if (!has(socket.type, option)) return Errno::no_protocol_option;
  switch (option) {
  case Option::error: return get_int(socket, SOL_SOCKET, SO_ERROR);
  case Option::type: return static_cast<std::int64_t>(socket.type);
  case Option::listening: return get_int(socket, SOL_SOCKET, SO_ACCEPTCONN);
  case Option::unsent: return ask(socket, SIOCOUTQ);
  case Option::unread: return ask(socket, FIONREAD);
  case Option::linger: {
    linger on{};
    socklen_t length = sizeof on;
    const Errno error = socket.calls->getsockopt(socket.fd, SOL_SOCKET, SO_LINGER, &on, &length);
    if (error != Errno::ok) return error;
    return std::int64_t{on.l_onoff != 0 ? on.l_linger : -1};
  }
  case Option::ipv6_only: return Errno::no_protocol_option;
  case Option::multicast_interface:
    // ip(7): of an IPv4 socket an address comes back, of whatever interface that is.
    if (socket.domain != AF_INET6) return Errno::no_protocol_option;
    return get_int(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF);
  default: break;
  }
  const Row& row = *find_row(option);
  const bool ipv6 = row.level6 != 0 && socket.domain == AF_INET6;
  const auto value = get_int(socket, ipv6 ? row.level6 : row.level, ipv6 ? row.name6 : row.name);
  if (!value) return value;
  if (option == Option::dont_fragment) return std::int64_t{*value == IP_PMTUDISC_DO};
  const bool buffer = option == Option::send_buffer || option == Option::receive_buffer;
  return buffer && socket.calls->is_kernel() ? *value / 2 : *value;
}

}  // namespace vpollnet::host
