// SPDX-License-Identifier: MIT
// Frames as datagrams: what Ethernet in UDP, VXLAN and QEMU's `dgram` have in common. Many are
// sent, and many received, with one system call each.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "host/failure.hpp"
#include "host/links/descriptor.hpp"
#include "host/links/link.hpp"
#include "host/links/socket_address.hpp"
#include "util/packet.hpp"

namespace vpollnet::host {

class DatagramSocket {
 public:
  /// Datagrams that one flush() sends at most, and that are gathered for it.
  static constexpr std::size_t kBatchOut = 64;
  /// Datagrams that one receive() takes at most.
  static constexpr std::size_t kBatchIn = 16;
  /// The largest datagram: 65535 bytes, less the IP and UDP headers for those with a port.
  static constexpr std::size_t kMostBytes = 65535;
  /// What is asked for; the kernel gives what net.core.rmem_max and wmem_max allow.
  static constexpr int kBufferBytes = 4 << 20;

  /// Takes over a socket of SOCK_DGRAM that is bound as it has to be.
  explicit DatagramSocket(Descriptor socket);

  int fd() const { return socket_.get(); }
  /// What send() goes to without an address: a Unix socket, which may come and go. Connected to
  /// when there is something to send, so that poll(2) shows its room and not only ours.
  void set_peer(const SocketAddress& peer) { peer_ = peer; }

  /// False when kBatchOut datagrams are gathered: flush() comes first.
  bool has_room(std::size_t datagrams = 1) const { return gathered_ + datagrams <= kBatchOut; }
  /// Gathers a datagram, whose bytes are those of `packet`; there must be room.
  void send(Packet&& packet, const SocketAddress& to, BlockPool& pool);
  /// Sends what is gathered. Errno::again when the socket has no room; the rest is kept. A datagram
  /// that the kernel refuses is lost, told to `lose`, and in the way of no other.
  Errno flush(const std::function<void(LinkDrop)>& lose);

  struct Received {
    std::span<const std::uint8_t> bytes;  ///< lives until the next receive()
    const SocketAddress* from = nullptr;
  };
  /// Up to `limit` datagrams; fewer, if no more are there. Errors of recvmmsg(2), which are those
  /// of datagrams sent before, and over with this call; Errno::again for none.
  Result<std::span<const Received>> receive(std::size_t limit);
  /// Datagrams that found the socket's buffer full since the last call.
  std::uint32_t take_overflow();

 private:
  struct Outgoing {
    Packet packet;
    SocketAddress to;
  };
  /// Memory that is only touched as far as datagrams are large.
  struct Incoming {
    std::array<std::array<std::uint8_t, kMostBytes + 1>, kBatchIn> bytes;
  };

  bool meets_again(int error);

  Descriptor socket_;
  SocketAddress peer_;
  std::unique_ptr<std::array<Outgoing, kBatchOut>> outgoing_;
  std::size_t gathered_ = 0;
  std::unique_ptr<Incoming> incoming_;
  std::array<SocketAddress, kBatchIn> senders_;
  std::array<Received, kBatchIn> received_;
  std::uint32_t overflow_ = 0;        ///< the kernel's count, as it was last told
  std::uint32_t overflow_taken_ = 0;  ///< of it
};

}  // namespace vpollnet::host
