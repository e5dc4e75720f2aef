// SPDX-License-Identifier: MIT
// What a user of the core holds: one socket of one stack, with the calls that BSD gave sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "socket/readiness.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::socket {

enum class Type : std::uint8_t {
  tcp,   ///< a byte stream (RFC 9293)
  udp,   ///< datagrams (RFC 768)
  ping,  ///< ICMP and ICMPv6 echo: send a payload, receive the replies to it
};

enum class Shutdown : std::uint8_t { read, write, both };

/// Settable and readable numbers of a socket. Booleans are 0 and 1. After each: who has it.
enum class Option : std::uint8_t {
  reuse_address,        ///< SO_REUSEADDR; all
  broadcast,            ///< SO_BROADCAST; udp. Without it, sending to a broadcast address is EACCES
  keep_alive,           ///< SO_KEEPALIVE; tcp
  keep_idle,            ///< TCP_KEEPIDLE, seconds, default 7200 (RFC 9293 MUST-28); tcp
  keep_interval,        ///< TCP_KEEPINTVL, seconds, default 75; tcp
  keep_count,           ///< TCP_KEEPCNT, default 9; tcp
  linger,               ///< SO_LINGER: seconds, or -1 for off; tcp. 0: close sends RST
  no_delay,             ///< TCP_NODELAY; tcp
  quick_ack,            ///< TCP_QUICKACK, stays set until cleared; tcp
  cork,                 ///< TCP_CORK; tcp
  max_segment,          ///< TCP_MAXSEG, bytes, 88..65495; settable before connect; tcp
  user_timeout,         ///< TCP_USER_TIMEOUT, milliseconds, 0 is the default of RFC 9293 3.8.3; tcp
  oob_inline,           ///< SO_OOBINLINE; tcp
  send_buffer,          ///< SO_SNDBUF, bytes of data; all
  receive_buffer,       ///< SO_RCVBUF, bytes of data; all
  hop_limit,            ///< IP_TTL and IPV6_UNICAST_HOPS, 1..255; all
  multicast_hop_limit,  ///< IP_MULTICAST_TTL, 0..255; udp, ping
  traffic_class,        ///< IP_TOS and IPV6_TCLASS, 0..255; all
  ipv6_only,            ///< IPV6_V6ONLY; all, before bind
  dont_fragment,        ///< IP_MTU_DISCOVER as on or off; udp, ping. tcp always has it on
  bind_interface,       ///< SO_BINDTODEVICE by InterfaceId, 0 is none; all
  error,                ///< SO_ERROR, read only: the pending errno, cleared by reading; all
  type,                 ///< SO_TYPE, read only: the Type; all
  listening,            ///< SO_ACCEPTCONN, read only; tcp
  unsent,               ///< SIOCOUTQ, read only: bytes not yet acknowledged; tcp
  unread,               ///< FIONREAD, read only: bytes that receive would return; all
};

/// Flags of the receive calls.
enum ReceiveFlag : std::uint32_t {
  kPeek = 1,       ///< MSG_PEEK
  kOutOfBand = 2,  ///< MSG_OOB: the urgent byte (RFC 6093)
};

/// Flags of the send calls.
enum SendFlag : std::uint32_t {
  kSendOutOfBand = 1,  ///< MSG_OOB: the last byte is urgent
  kMore = 2,           ///< MSG_MORE: more comes at once, do not send a short segment yet
};

/// What receive_from gives back.
struct Received {
  std::size_t copied = 0;  ///< bytes put in the caller's buffer
  std::size_t size = 0;    ///< bytes of the whole datagram, more than `copied` if it was cut
  Endpoint from;           ///< datagrams: the sender. tcp: the peer
};

/// A socket. All calls are non-blocking, return Errno::again where BSD's would wait, and are made
/// with the pump's lock held; `now` is the caller's time. Owned by its SocketTable: the pointer is
/// good until close(), or until the table (the stack) is destroyed.
///
/// Family: a socket has none until it is bound or connected. Bound to "::" a socket takes IPv4 too,
/// unless Option::ipv6_only is set; bound to Family::none it takes both; peers are shown with their
/// true family.
class Socket {
 public:
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  Type type() const { return type_; }

  /// bind(2). Port 0 picks a free one. ping: the port is the echo identifier.
  /// EADDRINUSE, EADDRNOTAVAIL (not an address of this stack, or still tentative), EINVAL (bound).
  virtual Errno bind(const Endpoint& local, Nanos now) = 0;
  /// connect(2). tcp: EINPROGRESS, then readiness tells. udp, ping: sets the peer; Family::none
  /// dissolves it. ENETUNREACH, EADDRNOTAVAIL, EISCONN, EALREADY, EAFNOSUPPORT.
  virtual Errno connect(const Endpoint& peer, Nanos now) = 0;
  /// listen(2). Calls on a listening socket change the backlog. EOPNOTSUPP unless tcp.
  virtual Errno listen(int backlog, Nanos now) = 0;
  /// accept(2): a new socket of the same table, already connected.
  virtual Result<Socket*> accept(Nanos now) = 0;

  /// send(2): how many bytes were taken; at least 1, or EAGAIN. EPIPE after shutdown.
  virtual Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags,
                                   Nanos now) = 0;
  /// sendto(2) for udp and ping. EMSGSIZE, EDESTADDRREQ, EACCES, ENETUNREACH.
  virtual Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                                      std::uint32_t flags, Nanos now) = 0;
  /// recvfrom(2). `copied` 0 with tcp and a non-empty buffer is the end of the stream.
  virtual Result<Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags,
                                   Nanos now) = 0;

  /// shutdown(2). ENOTCONN.
  virtual Errno shutdown(Shutdown how, Nanos now) = 0;
  /// close(2): the socket object is gone afterwards; a TCP connection ends on its own.
  virtual void close(Nanos now) = 0;

  virtual Errno set_option(Option option, std::int64_t value, Nanos now) = 0;
  virtual Result<std::int64_t> option(Option option) = 0;

  /// getsockname(2): Family::none and port 0 when not bound.
  virtual Endpoint local() const = 0;
  /// getpeername(2). ENOTCONN.
  virtual Result<Endpoint> peer() const = 0;
  /// The RFC 9293 3.3.2 state in the field's spelling ("ESTABLISHED"); "OPEN" and "CLOSED"
  /// otherwise.
  virtual const char* state() const = 0;

  /// The mask of Ready bits that holds now.
  std::uint32_t readiness() const { return readiness_; }
  /// Who hears of changes; null for nobody. Must outlive the socket, or be taken back first.
  void set_sink(ReadinessSink* sink) { sink_ = sink; }

 protected:
  explicit Socket(Type type) : type_(type) {}
  virtual ~Socket() = default;

  /// Tells the sink if `mask` is another one than before.
  void publish(std::uint32_t mask) {
    if (mask == readiness_) return;
    readiness_ = mask;
    if (sink_ != nullptr) sink_->on_readiness(*this, mask);
  }

 private:
  Type type_;
  std::uint32_t readiness_ = 0;
  ReadinessSink* sink_ = nullptr;
};

}  // namespace vpollnet::socket
