// SPDX-License-Identifier: MIT
#include "host/gateway/bsd_datagrams.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "host/sockets/bsd_address.hpp"
#include "wire/bytes.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::host {
namespace {

/// Binds to `port`, which others of the same source may have too; 0 is a port that nobody has.
/// Errno::ok, or why not.
Errno bind_shared(const BsdCalls& calls, int fd, int domain, std::uint16_t port) {
  const int on = 1;
  const auto share = [&] { (void)calls.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); };
  const BsdAddress any = to_bsd_address(
      {IpAddress::any(domain == AF_INET ? Family::ipv4 : Family::ipv6), port, kAnyInterface},
      domain);
  // A kernel that chooses among ports takes one that others share for free: two sources with the
  // same port and the same peer would get each other's datagrams. So the first comes alone.
  if (port != 0) share();
  const Errno error = calls.bind(fd, any.get(), any.length);
  if (port == 0) share();
  return error;
}

std::uint16_t port_of(const BsdCalls& calls, int fd) {
  BsdAddress own;
  return calls.getsockname(fd, own.get(), &own.length) == Errno::ok ? to_endpoint(own).port : 0;
}

}  // namespace

Result<std::unique_ptr<BsdDatagrams>> BsdDatagrams::open_udp(std::shared_ptr<const BsdCalls> calls,
                                                             const Endpoint& to,
                                                             std::uint16_t& local_port, Pump& pump,
                                                             std::vector<std::uint8_t>& scratch,
                                                             EndOwner& owner) {
  const int domain = to.address.is_v4() ? AF_INET : AF_INET6;
  const auto fd = calls->socket(domain, SOCK_DGRAM, 0);
  if (!fd) return fd.error();
  std::unique_ptr<BsdDatagrams> made(new BsdDatagrams(calls, *fd, pump, to, false, scratch, owner));
  // RFC 4787 REQ-1: endpoint-independent mapping. All flows of a source leave from one port; each
  // has a socket that is connected to its own peer, so that the kernel tells them apart.
  if (bind_shared(*calls, *fd, domain, local_port) != Errno::ok && local_port != 0) {
    const int off = 0;
    (void)calls->setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof off);
    (void)bind_shared(*calls, *fd, domain, 0);
  }
  const Errno error = made->connect();
  if (error != Errno::ok) return error;
  local_port = port_of(*calls, *fd);
  return made;
}

Result<std::unique_ptr<BsdDatagrams>> BsdDatagrams::open_echo(std::shared_ptr<const BsdCalls> calls,
                                                              const IpAddress& to, Pump& pump,
                                                              std::vector<std::uint8_t>& scratch,
                                                              EndOwner& owner) {
  const bool v4 = to.is_v4();
  const auto fd = calls->socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM,
                                v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  if (!fd) return fd.error();
  std::unique_ptr<BsdDatagrams> made(
      new BsdDatagrams(std::move(calls), *fd, pump, {to, 0, kAnyInterface}, true, scratch, owner));
  const Errno error = made->connect();
  if (error != Errno::ok) return error;
  return made;
}

Errno BsdDatagrams::connect() {
  const BsdAddress to = to_bsd_address(peer_, peer_.address.is_v4() ? AF_INET : AF_INET6);
  const Errno error = descriptor_.calls().connect(descriptor_.fd(), to.get(), to.length);
  if (error != Errno::ok) return error;
  return descriptor_.watch(*this, EPOLLIN | EPOLLET);
}

void BsdDatagrams::on_ready(std::uint32_t) {
  readable_ = true;
  owner_.on_end_ready();
}

Errno BsdDatagrams::send(Packet&& datagram, Nanos) {
  const BsdCalls& calls = descriptor_.calls();
  if (echo_) {
    std::array<std::uint8_t, kEchoSequence> sequence{};
    datagram.copy_out(0, sequence);
    datagram.trim_front(kEchoSequence);
    const std::uint8_t type = peer_.address.is_v4() ? std::uint8_t{wire::kIcmpv4EchoRequest}
                                                    : std::uint8_t{wire::kIcmpv6EchoRequest};
    // icmp(7): the kernel fills in identifier and checksum.
    wire::emit_icmpv4(wire::IcmpHeader::echo(type, 0, wire::load16(sequence.data())),
                      datagram.prepend(wire::kIcmpHeader));
  }
  const auto bytes = datagram.linear(descriptor_.pump().pool());
  return calls.send(descriptor_.fd(), bytes, MSG_NOSIGNAL | MSG_DONTWAIT).error();
}

DatagramEnd::Sent BsdDatagrams::send_some(std::deque<Packet>& queue, std::size_t limit, Nanos now) {
  const std::size_t count = std::min({queue.size(), limit, kBatch});
  if (echo_ || count < 2 || !descriptor_.calls().is_kernel()) {
    return DatagramEnd::send_some(queue, limit, now);
  }
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> pieces;
  for (std::size_t i = 0; i < count; i++) {
    const auto bytes = queue[i].linear(descriptor_.pump().pool());
    // iovec serves both directions.
    pieces[i] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  Sent sent;
  const int done = ::sendmmsg(descriptor_.fd(), messages.data(), static_cast<unsigned>(count),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
  if (done < 0) {
    sent.error = Errno(errno);
    sent.lost_bytes = queue.front().size();
    queue.pop_front();
    return sent;
  }
  for (int i = 0; i < done; i++) {
    sent.datagrams++;
    sent.bytes += queue.front().size();
    queue.pop_front();
  }
  return sent;
}

Result<Packet> BsdDatagrams::receive(Nanos) {
  if (!readable_) return Errno::again;
  const BsdCalls& calls = descriptor_.calls();
  for (;;) {
    BsdAddress from;
    const auto got =
        calls.recvfrom(descriptor_.fd(), scratch_, MSG_DONTWAIT, from.get(), &from.length);
    if (!got) {
      if (got.error() == Errno(EINTR)) continue;
      if (got.error() == Errno::again) readable_ = false;
      return got.error();
    }
    // What came between bind() and connect() may be from anybody.
    const Endpoint sender = to_endpoint(from);
    if (sender.address != peer_.address || (!echo_ && sender.port != peer_.port)) continue;
    std::span<const std::uint8_t> bytes(scratch_.data(), *got);
    if (!echo_) return Packet(descriptor_.pump().pool().copy(bytes));
    const auto header = wire::parse_icmpv4(bytes);
    const std::uint8_t reply = peer_.address.is_v4() ? std::uint8_t{wire::kIcmpv4EchoReply}
                                                     : std::uint8_t{wire::kIcmpv6EchoReply};
    if (!header || header->type != reply) continue;
    Packet packet(descriptor_.pump().pool().copy(bytes.subspan(wire::kIcmpHeader)));
    wire::store16(packet.prepend(kEchoSequence).data(), header->sequence());
    return packet;
  }
}

}  // namespace vpollnet::host
