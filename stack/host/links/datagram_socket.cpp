// SPDX-License-Identifier: MIT
#include "host/links/datagram_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vpollnet::host {
namespace {

constexpr std::size_t kPiecesEach = 16;
constexpr std::size_t kOverflowControl = CMSG_SPACE(sizeof(std::uint32_t));

LinkDrop reason_for(int error) {
  return error == EMSGSIZE ? LinkDrop::too_long : LinkDrop::device_error;
}

}  // namespace

DatagramSocket::DatagramSocket(Descriptor socket)
    : socket_(std::move(socket)), outgoing_(std::make_unique<std::array<Outgoing, kBatchOut>>()),
      incoming_(new Incoming) {  // left as it is: megabytes of zeros would all be touched
  const int bytes = kBufferBytes;
  const int on = 1;
  setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  setsockopt(fd(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
}

void DatagramSocket::send(Packet&& packet, const SocketAddress& to, BlockPool& pool) {
  // A stream of tiny writes makes a packet of many slices.
  if (packet.body().size() + 1 > kPiecesEach) packet.linear(pool);
  Outgoing& slot = (*outgoing_)[gathered_++];
  slot.packet = std::move(packet);
  slot.to = to;
}

/// After an error of sendmmsg(2): connects to the peer, if that is what is missing.
bool DatagramSocket::meets_again(int error) {
  const bool apart = error == ENOTCONN || error == ECONNREFUSED || error == ECONNRESET;
  return apart && peer_.size() > 0 && ::connect(fd(), peer_.get(), peer_.size()) == 0;
}

Errno DatagramSocket::flush(const std::function<void(LinkDrop)>& lose) {
  if (gathered_ == 0) return Errno::ok;
  std::array<mmsghdr, kBatchOut> messages;
  std::array<iovec, kBatchOut * kPiecesEach> pieces;
  std::size_t used = 0;
  for (std::size_t i = 0; i < gathered_; i++) {
    Outgoing& out = (*outgoing_)[i];
    msghdr& header = messages[i].msg_hdr;
    header = {};
    header.msg_iov = &pieces[used];
    // sendmmsg(2) writes neither to the address nor to the bytes.
    const auto add = [&](const std::uint8_t* bytes, std::size_t size) {
      if (size == 0) return;
      pieces[used++] = {const_cast<std::uint8_t*>(bytes), size};
      header.msg_iovlen++;
    };
    add(out.packet.head().data(), out.packet.head().size());
    for (const Slice& slice : out.packet.body()) add(slice.bytes().data(), slice.size());
    if (out.to.size() > 0) {
      header.msg_name = const_cast<sockaddr*>(out.to.get());
      header.msg_namelen = out.to.size();
    }
  }
  std::size_t done = 0;
  bool full = false;
  bool met = false;  // once for each datagram, or a peer that refuses all would be asked for ever
  while (done < gathered_ && !full) {
    const int sent = sendmmsg(fd(), &messages[done], static_cast<unsigned>(gathered_ - done),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      done += static_cast<std::size_t>(sent);
      met = false;
    } else if (errno == EWOULDBLOCK) {
      full = true;
    } else if (errno != EINTR) {
      const LinkDrop reason = reason_for(errno);
      if (!met && (met = meets_again(errno))) continue;
      met = false;
      lose(reason);
      done++;
    }
  }
  for (std::size_t i = done; i < gathered_; i++)
    (*outgoing_)[i - done] = std::move((*outgoing_)[i]);
  for (std::size_t i = gathered_ - done; i < gathered_; i++) (*outgoing_)[i].packet = Packet();
  gathered_ -= done;
  return full ? Errno::again : Errno::ok;
}

Result<std::span<const DatagramSocket::Received>> DatagramSocket::receive(std::size_t limit) {
  std::array<mmsghdr, kBatchIn> messages;
  std::array<iovec, kBatchIn> pieces;
  alignas(cmsghdr) std::array<std::array<std::uint8_t, kOverflowControl>, kBatchIn> controls;
  limit = std::min(limit, kBatchIn);
  for (std::size_t i = 0; i < limit; i++) {
    pieces[i] = {incoming_->bytes[i].data(), incoming_->bytes[i].size()};
    messages[i].msg_hdr = {.msg_name = senders_[i].fill(),
                           .msg_namelen = SocketAddress::kCapacity,
                           .msg_iov = &pieces[i],
                           .msg_iovlen = 1,
                           .msg_control = controls[i].data(),
                           .msg_controllen = controls[i].size(),
                           .msg_flags = 0};
  }
  int count = 0;
  do {
    count = recvmmsg(fd(), messages.data(), static_cast<unsigned>(limit), MSG_DONTWAIT, nullptr);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return Errno(errno);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); i++) {
    msghdr& header = messages[i].msg_hdr;
    senders_[i].set_size(header.msg_namelen);
    received_[i] = {{incoming_->bytes[i].data(), messages[i].msg_len}, &senders_[i]};
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_RXQ_OVFL) {
        std::memcpy(&overflow_, CMSG_DATA(part), sizeof overflow_);
      }
    }
  }
  return std::span<const Received>(received_.data(), static_cast<std::size_t>(count));
}

std::uint32_t DatagramSocket::take_overflow() {
  // The kernel's count wraps; the difference does not mind.
  const std::uint32_t fresh = overflow_ - overflow_taken_;
  overflow_taken_ = overflow_;
  return fresh;
}

}  // namespace vpollnet::host
