// SPDX-License-Identifier: MIT
#include "host/gateway/bsd_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "host/sockets/bsd_address.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kMostPieces = 64;

void set_up(const BsdCalls& calls, int fd) {
  // Refused by a Unix socket, and by a plug-in that does not know them: no matter.
  const int on = 1;
  (void)calls.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)calls.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // An urgent byte is one of the stream (RFC 6093 2.1); without this it would be left out.
  (void)calls.setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

}  // namespace

Result<std::unique_ptr<BsdStream>> BsdStream::connect(std::shared_ptr<const BsdCalls> calls,
                                                      const FlowTarget& to, Pump& pump,
                                                      EndOwner& owner) {
  const bool local = !to.path.empty();
  if (local && !calls->is_kernel()) {
    calls = std::shared_ptr<const BsdCalls>(&BsdCalls::kernel(), [](const BsdCalls*) {});
  }
  const int domain = local ? AF_UNIX : to.endpoint.address.is_v4() ? AF_INET : AF_INET6;
  sockaddr_un un{};
  if (local && to.path.size() >= sizeof un.sun_path) return Errno(ENAMETOOLONG);
  const auto fd = calls->socket(domain, SOCK_STREAM, 0);
  if (!fd) return fd.error();
  std::unique_ptr<BsdStream> made(new BsdStream(calls, *fd, pump, owner, true));
  if (!local) set_up(*calls, *fd);
  Errno error = Errno::ok;
  if (local) {
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, to.path.data(), to.path.size());
    error = calls->connect(*fd, reinterpret_cast<const sockaddr*>(&un), sizeof un);
  } else {
    const BsdAddress address = to_bsd_address(to.endpoint, domain);
    error = calls->connect(*fd, address.get(), address.length);
  }
  if (error == Errno::ok) {
    made->connecting_ = false;
  } else if (error != Errno::in_progress) {
    return error;
  }
  // Only now: a socket that is not connecting yet shows EPOLLHUP.
  error = made->descriptor_.watch(*made, WatchedDescriptor::kEdges);
  if (error != Errno::ok) return error;
  return made;
}

Result<std::unique_ptr<BsdStream>> BsdStream::accepted(std::shared_ptr<const BsdCalls> calls,
                                                       int fd, Pump& pump, EndOwner& owner) {
  std::unique_ptr<BsdStream> made(new BsdStream(std::move(calls), fd, pump, owner, false));
  set_up(made->descriptor_.calls(), fd);
  const Errno error = made->descriptor_.watch(*made, WatchedDescriptor::kEdges);
  if (error != Errno::ok) return error;
  return made;
}

void BsdStream::on_ready(std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) ended_ = true;
  if ((events & EPOLLERR) != 0) broken_ = true;
  if ((events & EPOLLPRI) != 0) urgent_ = true;
  owner_.on_end_ready();
}

Errno BsdStream::take_error() {
  int error = 0;
  socklen_t length = sizeof error;
  const Errno failed =
      descriptor_.calls().getsockopt(descriptor_.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
  return failed != Errno::ok ? failed : static_cast<Errno>(error);
}

Errno BsdStream::progress(Nanos) {
  if (!connecting_) return Errno::ok;
  if (!writable_) return Errno::in_progress;
  const Errno error = take_error();
  if (error != Errno::ok) return error;
  connecting_ = false;
  broken_ = false;
  return Errno::ok;
}

Errno BsdStream::failure(Nanos) {
  if (!broken_) return Errno::ok;
  broken_ = false;
  return take_error();
}

Result<std::size_t> BsdStream::read(std::size_t limit) {
  std::array<iovec, kBlocks> pieces;
  std::array<Slice, kBlocks> blocks;
  const BsdCalls& calls = descriptor_.calls();
  const bool scatters = calls.is_kernel();  // plug-ins are asked for one piece at a time
  std::size_t count = 0;
  std::size_t asked = 0;
  while (count < (scatters ? wanted_blocks_ : 1) && asked < limit) {
    blocks[count] = descriptor_.pump().pool().allocate(BlockPool::kLargeCapacity);
    pieces[count] = {blocks[count].block()->data(), std::min(kBlockBytes, limit - asked)};
    asked += pieces[count].iov_len;
    count++;
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const Result<std::size_t> got =
      scatters ? calls.recvmsg(descriptor_.fd(), &message, MSG_DONTWAIT)
               : calls.recv(descriptor_.fd(),
                            {static_cast<std::uint8_t*>(pieces[0].iov_base), asked}, 0);
  if (!got) {
    if (got.error() == Errno::again || got.error() == Errno(EINTR)) {
      readable_ = got.error() != Errno::again;
      if (!readable_) urgent_ = false;
      return Errno::again;
    }
    return got.error();
  }
  // epoll(7): less than was asked for means that there is no more, unless the end has come too, or
  // the urgent mark, at which a read stops (tcp(7)). Of a plug-in EAGAIN alone says so.
  if (scatters && *got > 0 && *got < asked && !ended_ && !urgent_) readable_ = false;
  wanted_blocks_ = *got == asked ? std::min(2 * wanted_blocks_, kBlocks)
                                 : std::max<std::size_t>(*got / kBlockBytes + 1, 1);
  std::size_t left = *got;
  for (std::size_t i = 0; left > 0; i++) {
    const auto here = static_cast<std::uint32_t>(std::min(left, pieces[i].iov_len));
    blocks[i].block()->filled = here;
    blocks[i].extend(here);
    held_.push_back(std::move(blocks[i]));
    left -= here;
  }
  return *got;
}

Result<std::size_t> BsdStream::peek(std::size_t limit, std::vector<Slice>& out, Nanos) {
  if (held_.empty()) {
    if (!readable_) return Errno::again;
    const auto got = read(limit);
    if (!got || *got == 0) return got;
  }
  std::size_t bytes = 0;
  for (const Slice& slice : held_) {
    if (bytes >= limit) break;
    out.push_back(slice.part(
        0, static_cast<std::uint32_t>(std::min<std::size_t>(limit - bytes, slice.size()))));
    bytes += out.back().size();
  }
  return bytes;
}

void BsdStream::consume(std::size_t count, Nanos) {
  std::size_t spent = 0;
  while (count > 0) {
    Slice& front = held_[spent];
    const auto step = static_cast<std::uint32_t>(std::min<std::size_t>(count, front.size()));
    front.trim_front(step);
    count -= step;
    if (front.empty()) spent++;
  }
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(spent));
}

Result<std::size_t> BsdStream::write(std::vector<Slice>& slices, Nanos) {
  std::array<iovec, kMostPieces> pieces;
  const std::size_t count = std::min(slices.size(), kMostPieces);
  std::size_t asked = 0;
  for (std::size_t i = 0; i < count; i++) {
    const auto bytes = slices[i].bytes();
    // iovec serves both directions.
    pieces[i] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    asked += bytes.size();
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const BsdCalls& calls = descriptor_.calls();
  const Result<std::size_t> taken =
      calls.is_kernel() ? calls.sendmsg(descriptor_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                        : calls.send(descriptor_.fd(), slices[0].bytes(), MSG_NOSIGNAL);
  slices.clear();
  if (!taken) {
    if (taken.error() == Errno::again) writable_ = false;
    return taken.error() == Errno(EINTR) ? Errno::again : taken.error();
  }
  if (calls.is_kernel() && *taken < asked) writable_ = false;
  return *taken;
}

void BsdStream::finish(Nanos) { (void)descriptor_.calls().shutdown(descriptor_.fd(), SHUT_WR); }

void BsdStream::reset(Nanos) {
  // socket(7): closing it, as the destructor does, sends RST then. A Unix socket has no such thing.
  const linger now{1, 0};
  (void)descriptor_.calls().setsockopt(descriptor_.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace vpollnet::host
