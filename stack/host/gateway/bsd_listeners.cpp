// SPDX-License-Identifier: MIT
#include "host/gateway/bsd_listeners.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host/gateway/bsd_stream.hpp"
#include "host/sockets/bsd_address.hpp"

namespace vpollnet::host {
namespace {

constexpr int kBacklog = 128;

/// Room for one address of ours beside a datagram (ip(7) IP_PKTINFO, RFC 3542 6).
struct LocalControl {
  alignas(cmsghdr) std::uint8_t bytes[CMSG_SPACE(sizeof(in6_pktinfo))]{};
};

IpAddress address_in(const in6_pktinfo& info) { return to_address(info.ipi6_addr); }
IpAddress address_in(const in_pktinfo& info) {
  return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&info.ipi_addr), 4});
}

template <class Info>
IpAddress local_of(const cmsghdr* from) {
  Info info;
  std::memcpy(&info, CMSG_DATA(from), sizeof info);
  return address_in(info);
}

/// The length of what was put in.
template <class Info>
std::size_t put_local(LocalControl& control, int level, int type, const Info& info) {
  auto* header = reinterpret_cast<cmsghdr*>(control.bytes);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
  return CMSG_SPACE(sizeof info);
}

/// True if `path` is a socket at which nobody listens.
bool is_stale(const sockaddr_un& at) {
  struct stat status {};
  if (::lstat(at.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 &&
                       errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

}  // namespace

Result<std::unique_ptr<BsdListener>> BsdListener::open(std::shared_ptr<const BsdCalls> calls,
                                                       FlowKind kind, const FlowTarget& at,
                                                       std::uint16_t index, Pump& pump,
                                                       std::vector<std::uint8_t>& scratch,
                                                       EndOwner& owner, Failure& failure) {
  const bool local = !at.path.empty();
  if (local && !calls->is_kernel()) {
    calls = std::shared_ptr<const BsdCalls>(&BsdCalls::kernel(), [](const BsdCalls*) {});
  }
  const bool datagrams = kind == FlowKind::udp;
  const std::string place = local ? at.path : at.endpoint.to_string();
  const auto fail = [&](Errno error, const char* syscall) {
    failure = {error, syscall, place};
    return error;
  };
  // Without an address: both families, where the host has both.
  const Family family = at.endpoint.address.family();
  int domain = local ? AF_UNIX : family == Family::ipv4 ? AF_INET : AF_INET6;
  const int type = datagrams ? SOCK_DGRAM : SOCK_STREAM;
  auto fd = calls->socket(domain, type, 0);
  if (!fd && domain == AF_INET6 && family == Family::none) {
    domain = AF_INET;
    fd = calls->socket(domain, type, 0);
  }
  if (!fd) return fail(fd.error(), "socket");
  std::unique_ptr<BsdListener> made(
      new BsdListener(calls, *fd, pump, kind, domain, index, scratch, owner));
  Errno error = Errno::ok;
  if (local) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    if (at.path.size() >= sizeof un.sun_path) return fail(Errno(ENAMETOOLONG), "bind");
    std::memcpy(un.sun_path, at.path.data(), at.path.size());
    const auto bind = [&] {
      return calls->bind(*fd, reinterpret_cast<const sockaddr*>(&un), sizeof un);
    };
    error = bind();
    if (error == Errno::address_in_use && is_stale(un) && ::unlink(un.sun_path) == 0) {
      error = bind();
    }
    if (error == Errno::ok) made->path_ = at.path;
  } else {
    const int on = 1;
    if (!datagrams) (void)calls->setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (domain == AF_INET6) {
      const int only = family == Family::ipv6 ? 1 : 0;
      (void)calls->setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    const IpAddress& bound = at.endpoint.address;
    if (datagrams && calls->is_kernel() && (family == Family::none || bound.is_unspecified())) {
      made->tells_local_ =
          (domain == AF_INET6
               ? calls->setsockopt(*fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)
               : calls->setsockopt(*fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on)) == Errno::ok;
    }
    const BsdAddress address = to_bsd_address(at.endpoint, domain);
    error = calls->bind(*fd, address.get(), address.length);
  }
  if (error != Errno::ok) return fail(error, "bind");
  if (!datagrams) {
    error = calls->listen(*fd, kBacklog);
    if (error != Errno::ok) return fail(error, "listen");
  }
  if (!local) {
    BsdAddress own;
    error = calls->getsockname(*fd, own.get(), &own.length);
    made->port_ = to_endpoint(own).port;
  }
  error = made->descriptor_.watch(*made, EPOLLIN | EPOLLET);
  if (error != Errno::ok) return fail(error, "epoll_ctl");
  return made;
}

BsdListener::~BsdListener() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void BsdListener::on_ready(std::uint32_t) {
  readable_ = true;
  owner_.on_end_ready();
}

bool BsdListener::run(ForwardTaker& taker, Nanos now, int& budget) {
  if (resume_at_ != kNever) {
    if (now < resume_at_) return false;
    resume_at_ = kNever;
    readable_ = true;
  }
  if (!readable_) return false;
  return kind_ == FlowKind::udp ? receive_all(taker, now, budget) : accept_all(taker, now, budget);
}

bool BsdListener::accept_all(ForwardTaker& taker, Nanos now, int& budget) {
  while (budget > 0) {
    const auto fd = calls_->accept(descriptor_.fd());
    if (!fd) {
      if (fd.error() == Errno(ECONNABORTED) || fd.error() == Errno(EINTR)) continue;
      readable_ = false;
      // accept(2): out of descriptors or memory. It waits in the backlog for a better time.
      if (fd.error() != Errno::again) {
        resume_at_ = now + kPause;
        taker.on_shortage();
      }
      return false;
    }
    budget--;
    Endpoint peer;
    Endpoint local;
    if (path_.empty()) {
      BsdAddress at;
      if (calls_->getpeername(*fd, at.get(), &at.length) == Errno::ok) peer = to_endpoint(at);
      at = {};
      if (calls_->getsockname(*fd, at.get(), &at.length) == Errno::ok) local = to_endpoint(at);
    }
    bool adopted = false;
    taker.on_connection(
        index_, peer, local,
        [&](EndOwner& owner) -> Result<std::unique_ptr<StreamEnd>> {
          adopted = true;
          auto made = BsdStream::accepted(calls_, *fd, descriptor_.pump(), owner);
          if (!made) return made.error();
          return std::unique_ptr<StreamEnd>(std::move(*made));
        },
        now);
    if (adopted) continue;
    const linger none{1, 0};
    (void)calls_->setsockopt(*fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    calls_->close(*fd);
  }
  return true;
}

Result<std::size_t> BsdListener::receive(Endpoint& peer, IpAddress& local) {
  BsdAddress from;
  if (!tells_local_) {
    const auto got =
        calls_->recvfrom(descriptor_.fd(), scratch_, MSG_DONTWAIT, from.get(), &from.length);
    peer = to_endpoint(from);
    return got;
  }
  iovec piece{scratch_.data(), scratch_.size()};
  LocalControl control;
  msghdr message{};
  message.msg_name = from.get();
  message.msg_namelen = from.length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const auto got = calls_->recvmsg(descriptor_.fd(), &message, MSG_DONTWAIT);
  if (!got) return got;
  from.length = message.msg_namelen;
  peer = to_endpoint(from);
  for (const cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr;
       at = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(at))) {
    const bool v6 = at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO;
    const bool v4 = at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO;
    if (v6) local = local_of<in6_pktinfo>(at);
    if (v4) local = local_of<in_pktinfo>(at);
  }
  return got;
}

bool BsdListener::receive_all(ForwardTaker& taker, Nanos now, int& budget) {
  while (budget > 0) {
    Endpoint peer;
    IpAddress local;
    const auto got = receive(peer, local);
    if (!got && got.error() == Errno::again) {
      readable_ = false;
      return false;
    }
    budget--;
    if (!got) continue;  // an error about what was sent to some peer
    taker.on_forward_datagram(
        index_, peer, local,
        Packet(descriptor_.pump().pool().copy(std::span(scratch_.data(), *got))), now);
  }
  return true;
}

Errno BsdListener::send_to(const Endpoint& peer, const IpAddress& local, Packet&& datagram, Nanos) {
  BsdAddress to = to_bsd_address(peer, domain_);
  const auto bytes = datagram.linear(descriptor_.pump().pool());
  if (local.family() == Family::none) {
    return calls_->sendto(descriptor_.fd(), bytes, MSG_NOSIGNAL | MSG_DONTWAIT, to.get(), to.length)
        .error();
  }
  // RFC 1122 4.1.3.5: the answer comes from the address that was asked.
  iovec piece{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  LocalControl control;
  msghdr message{};
  message.msg_name = to.get();
  message.msg_namelen = to.length;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  if (domain_ == AF_INET6) {
    const BsdAddress from = to_bsd_address({local, 0, kAnyInterface}, domain_);
    in6_pktinfo info{};
    info.ipi6_addr = reinterpret_cast<const sockaddr_in6*>(from.get())->sin6_addr;
    message.msg_controllen = put_local(control, IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, local.bytes().data(), sizeof info.ipi_spec_dst);
    message.msg_controllen = put_local(control, IPPROTO_IP, IP_PKTINFO, info);
  }
  return calls_->sendmsg(descriptor_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT).error();
}

}  // namespace vpollnet::host
