// SPDX-License-Identifier: MIT
#include "host/links/qemu_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "host/links/headroom.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kPiecesEach = 16;

Errno connect_within(const Descriptor& socket, const SocketAddress& peer, int milliseconds) {
  if (::connect(socket.get(), peer.get(), peer.size()) == 0) return Errno::ok;
  if (errno != EINPROGRESS) return Errno(errno);
  pollfd wait{socket.get(), POLLOUT, 0};
  const int ready = ::poll(&wait, 1, milliseconds);
  if (ready < 0) return Errno(errno);
  if (ready == 0) return Errno::timed_out;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return Errno(error);
}

/// Frames are whole messages: none waits for the next one.
void set_no_delay(const Descriptor& socket) {
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

std::unique_ptr<QemuStream> QemuStream::connect(const SocketAddress& peer, Failure& failure) {
  std::unique_ptr<QemuStream> stream(new QemuStream);
  stream->connection_ = open_socket(peer.family(), SOCK_STREAM, failure);
  if (failure) return nullptr;
  if (peer.family() != AF_UNIX) set_no_delay(stream->connection_);
  const Errno error = connect_within(stream->connection_, peer, kConnectMs);
  if (error == Errno::ok) return stream;
  failure = {error, "connect",
             "no QEMU listens at " + peer.to_string() +
                 ": start it with -netdev stream,server=on, or let it connect (?listen)"};
  return nullptr;
}

std::unique_ptr<QemuStream> QemuStream::listen(const SocketAddress& local, Failure& failure) {
  std::unique_ptr<QemuStream> stream(new QemuStream);
  stream->listener_ = open_socket(local.family(), SOCK_STREAM, failure);
  if (failure) return nullptr;
  if (local.family() == AF_UNIX) {
    failure = UnixPath::bind(stream->listener_, local, stream->path_);
    if (failure) return nullptr;
  } else {
    const int on = 1;
    setsockopt(stream->listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(stream->listener_.get(), local.get(), local.size()) != 0) {
      failure = {Errno(errno), "bind", local.to_string()};
      return nullptr;
    }
  }
  if (::listen(stream->listener_.get(), 1) != 0) {
    failure = {Errno(errno), "listen", local.to_string()};
    return nullptr;
  }
  stream->absence_ = Errno::not_connected;
  return stream;
}

Errno QemuStream::accept() {
  const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    connection_ = Descriptor(fd);
    set_no_delay(connection_);
    absence_ = Errno::ok;
    return Errno::ok;
  }
  switch (errno) {
  case EAGAIN: return Errno::again;
  case EINTR:
  case ECONNABORTED:
  case EPROTO: return Errno::ok;
  // Without a descriptor for it, the connection would be reported again and again.
  default: return gone_ = Errno(errno);
  }
}

Errno QemuStream::end(Errno reason) {
  if (gathered_ > 0) drop(LinkDrop::down, gathered_);
  for (Packet& frame : std::span(outgoing_).first(gathered_)) frame = Packet();
  gathered_ = 0;
  parser_.clear();
  absence_ = reason;
  if (!listener_) return gone_ = reason;
  connection_.close();
  return Errno::ok;
}

Errno QemuStream::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  if (!connection_) return accept();
  for (;;) {
    while (limit > 0) {
      const auto frame = parser_.next();
      if (!frame) return end(frame.error());
      if (!*frame) break;
      limit--;
      if ((*frame)->size() < wire::kEthernetHeader) {
        drop(LinkDrop::malformed);
      } else {
        frames.emplace_back(pool.copy(**frame));
      }
    }
    if (limit == 0) return Errno::ok;
    const auto room = parser_.room();
    const ssize_t got = ::recv(connection_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (got > 0) {
      parser_.filled(static_cast<std::size_t>(got));
    } else if (got == 0) {
      return end(listener_ ? Errno::not_connected : Errno::reset);
    } else if (errno == EWOULDBLOCK) {
      return Errno::again;
    } else if (errno != EINTR) {
      return end(Errno(errno));
    }
  }
}

Errno QemuStream::write(Packet& frame, BlockPool& pool) {
  if (frame.size() > FrameParser::kMostFrame) return Errno::message_size;
  if (gathered_ == kBatch) {
    const Errno error = flush(pool);
    if (gathered_ == kBatch) return error;
    if (!connection_) return Errno::not_connected;
  }
  make_headroom(frame, kFramePrefix, pool);
  if (frame.body().size() + 1 > kPiecesEach) frame.linear(pool);
  const auto length = static_cast<std::uint32_t>(frame.size());
  wire::store32(frame.prepend(kFramePrefix).data(), length);
  outgoing_[gathered_++] = std::move(frame);
  return Errno::ok;
}

Errno QemuStream::flush(BlockPool&) {
  std::size_t first = 0;
  Errno result = Errno::ok;
  while (first < gathered_) {
    std::array<iovec, kBatch * kPiecesEach> pieces;
    std::size_t used = 0;
    const auto add = [&](std::span<const std::uint8_t> bytes) {
      // sendmsg(2) does not write to the bytes.
      if (!bytes.empty()) pieces[used++] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    };
    for (std::size_t i = first; i < gathered_; i++) {
      add(outgoing_[i].head());
      for (const Slice& slice : outgoing_[i].body()) add(slice.bytes());
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = used;
    const ssize_t sent = ::sendmsg(connection_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      result = Errno(errno);
      break;
    }
    // What is left of a frame that went in part goes first the next time.
    auto rest = static_cast<std::size_t>(sent);
    while (first < gathered_ && rest >= outgoing_[first].size()) {
      rest -= outgoing_[first].size();
      outgoing_[first++] = Packet();
    }
    if (rest > 0) outgoing_[first].trim_front(rest);
  }
  std::move(outgoing_.begin() + static_cast<std::ptrdiff_t>(first),
            outgoing_.begin() + static_cast<std::ptrdiff_t>(gathered_), outgoing_.begin());
  gathered_ -= first;
  return result == Errno::ok || result == Errno::again ? result : end(result);
}

}  // namespace vpollnet::host
