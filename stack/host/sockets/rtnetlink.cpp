// SPDX-License-Identifier: MIT
#include "host/sockets/rtnetlink.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vpollnet::host {
namespace {

constexpr int kPatience = 2000;         // ms for one answer; those that are there answer at once
constexpr std::size_t kAnswer = 65536;  // bytes of one read; the kernel sends at most 32 KiB
constexpr std::size_t kInterfaces = 4096;

constexpr std::size_t aligned(std::size_t length) { return (length + 3) & ~std::size_t{3}; }

template <class Struct>
void append(std::vector<std::uint8_t>& bytes, const Struct& value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

void append_attribute(std::vector<std::uint8_t>& bytes, std::uint16_t type,
                      std::span<const std::uint8_t> value) {
  rtattr header{};
  header.rta_len = static_cast<std::uint16_t>(sizeof header + value.size());
  header.rta_type = type;
  append(bytes, header);
  bytes.insert(bytes.end(), value.begin(), value.end());
  bytes.resize(aligned(bytes.size()));
}

std::uint8_t family_of(const IpAddress& address) {
  return address.is_v4() ? std::uint8_t{AF_INET} : std::uint8_t{AF_INET6};
}

/// Calls `take(type, value)` for each attribute.
template <class Take>
void each_attribute(std::span<const std::uint8_t> attributes, Take take) {
  rtattr header{};
  while (attributes.size() >= sizeof header) {
    std::memcpy(&header, attributes.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > attributes.size()) return;
    take(header.rta_type, attributes.subspan(sizeof header, header.rta_len - sizeof header));
    attributes = attributes.subspan(std::min(aligned(header.rta_len), attributes.size()));
  }
}

/// The IFLA_IFNAME of an RTM_NEWLINK after its ifinfomsg; empty if there is none.
std::string name_in(std::span<const std::uint8_t> attributes) {
  std::string name;
  each_attribute(attributes, [&](std::uint16_t type, std::span<const std::uint8_t> value) {
    if (type != IFLA_IFNAME) return;
    const auto* text = reinterpret_cast<const char*>(value.data());
    name.assign(text, strnlen(text, value.size()));
  });
  return name;
}

Rtnetlink::Route::Kind kind_of(const rtmsg& info, std::span<const std::uint8_t> attributes) {
  using Kind = Rtnetlink::Route::Kind;
  if (info.rtm_type == RTN_LOCAL) return Kind::local;
  if (info.rtm_type != RTN_UNICAST) return Kind::special;
  Kind kind = Kind::on_link;
  each_attribute(attributes, [&](std::uint16_t type, auto) {
    if (type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH) kind = Kind::by_gateway;
  });
  return kind;
}

}  // namespace

Rtnetlink::~Rtnetlink() {
  if (fd_ >= 0) calls_.close(fd_);
}

Errno Rtnetlink::open() {
  const auto fd = calls_.socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (fd) fd_ = *fd;
  return fd.error();
}

Errno Rtnetlink::wait() const {
  pollfd file{fd_, POLLIN, 0};
  const int found = ::poll(&file, 1, kPatience);
  if (found > 0) return Errno::ok;
  return found == 0 ? Errno::timed_out : Errno(errno);
}

/// Sends a request and gives each answer to `take`, up to the end of the answers or an error.
/// `message` has room for the header.
Errno Rtnetlink::ask(Bytes message, std::uint16_t type, std::uint16_t flags, const Take& take) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(message.size());
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const auto sent = calls_.sendto(fd_, message, MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  if (!sent) return sent.error();

  Bytes buffer(kAnswer);
  for (;;) {
    const auto got = calls_.recv(fd_, buffer, MSG_DONTWAIT);
    if (!got && got.error() != Errno::again) return got.error();
    if (!got) {
      const Errno error = wait();
      if (error != Errno::ok) return error;
      continue;
    }
    auto rest = std::span<const std::uint8_t>(buffer).first(std::min(*got, buffer.size()));
    if (rest.empty()) return Errno(EBADMSG);
    while (!rest.empty()) {
      if (rest.size() < sizeof header) return Errno(EBADMSG);
      std::memcpy(&header, rest.data(), sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest.size()) return Errno(EBADMSG);
      const auto payload = rest.subspan(sizeof header, header.nlmsg_len - sizeof header);
      rest = rest.subspan(std::min(aligned(header.nlmsg_len), rest.size()));
      if (header.nlmsg_seq != sequence_) continue;  // of a request that was given up
      if (header.nlmsg_type == NLMSG_DONE) return Errno::ok;
      if (header.nlmsg_type == NLMSG_ERROR) {
        int error = 0;
        if (payload.size() < sizeof error) return Errno(EBADMSG);
        std::memcpy(&error, payload.data(), sizeof error);
        return Errno(-error);  // 0 is an acknowledgement
      }
      take(header.nlmsg_type, payload);
    }
  }
}

Result<std::vector<Rtnetlink::Interface>> Rtnetlink::interfaces() {
  Bytes message(sizeof(nlmsghdr));
  ifinfomsg wanted{};
  wanted.ifi_family = AF_UNSPEC;
  append(message, wanted);
  std::vector<Interface> found;
  const Errno error =
      ask(std::move(message), RTM_GETLINK, NLM_F_DUMP,
          [&found](std::uint16_t type, std::span<const std::uint8_t> payload) {
            ifinfomsg info{};
            if (type != RTM_NEWLINK || payload.size() < sizeof info) return;
            if (found.size() >= kInterfaces) return;
            std::memcpy(&info, payload.data(), sizeof info);
            const auto index = static_cast<InterfaceId>(info.ifi_index);
            const bool loopback = (info.ifi_flags & IFF_LOOPBACK) != 0;
            found.push_back({index, name_in(payload.subspan(sizeof info)), loopback});
          });
  if (error != Errno::ok) return error;
  std::sort(found.begin(), found.end(),
            [](const Interface& a, const Interface& b) { return a.index < b.index; });
  return found;
}

Errno Rtnetlink::set_up(InterfaceId index) {
  Bytes message(sizeof(nlmsghdr));
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = static_cast<int>(index);
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  append(message, info);
  return ask(std::move(message), RTM_NEWLINK, 0, [](auto, auto) {});
}

Errno Rtnetlink::add_address(InterfaceId index, const Cidr& address) {
  Bytes message(sizeof(nlmsghdr));
  ifaddrmsg info{};
  info.ifa_family = family_of(address.address);
  info.ifa_prefixlen = address.prefix;
  info.ifa_flags = address.address.is_v6() ? IFA_F_NODAD : 0;
  info.ifa_index = index;
  append(message, info);
  append_attribute(message, IFA_LOCAL, address.address.bytes());
  append_attribute(message, IFA_ADDRESS, address.address.bytes());
  return ask(std::move(message), RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, [](auto, auto) {});
}

Result<Rtnetlink::Route> Rtnetlink::route_to(const IpAddress& address) {
  Bytes message(sizeof(nlmsghdr));
  rtmsg wanted{};
  wanted.rtm_family = family_of(address);
  wanted.rtm_dst_len = static_cast<std::uint8_t>(8 * address.bytes().size());
  wanted.rtm_flags = RTM_F_FIB_MATCH;  // the route of the table, not what is made of it
  append(message, wanted);
  append_attribute(message, RTA_DST, address.bytes());
  Result<Route> found = Errno(EBADMSG);
  const Errno error =
      ask(std::move(message), RTM_GETROUTE, 0,
          [&found](std::uint16_t type, std::span<const std::uint8_t> payload) {
            rtmsg info{};
            if (type != RTM_NEWROUTE || payload.size() < sizeof info) return;
            std::memcpy(&info, payload.data(), sizeof info);
            found = Route{kind_of(info, payload.subspan(sizeof info)), info.rtm_dst_len};
          });
  if (error != Errno::ok) return error;
  return found;
}

Errno Rtnetlink::add_gateway(InterfaceId index, const IpAddress& gateway) {
  Bytes message(sizeof(nlmsghdr));
  rtmsg info{};
  info.rtm_family = family_of(gateway);
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_scope = RT_SCOPE_UNIVERSE;
  info.rtm_type = RTN_UNICAST;
  append(message, info);
  append_attribute(message, RTA_GATEWAY, gateway.bytes());
  std::uint8_t out[sizeof index];
  std::memcpy(out, &index, sizeof index);
  append_attribute(message, RTA_OIF, out);
  return ask(std::move(message), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, [](auto, auto) {});
}

}  // namespace vpollnet::host
