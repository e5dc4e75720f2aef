// SPDX-License-Identifier: MIT
// What a user of the core holds: one socket of one stack, with the calls that BSD gave sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "socket/readiness.hpp"
#include "util/block.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::socket {

struct TcpInfo;

enum class Type : std::uint8_t {
  tcp,   ///< a byte stream (RFC 9293)
  udp,   ///< datagrams (RFC 768)
  ping,  ///< ICMP and ICMPv6 echo: send a payload, receive the replies to it
};

enum class Shutdown : std::uint8_t { read, write, both };

/// What can be set and read of a socket: numbers, but for one. Booleans are 0 and 1. After each:
/// who has it.
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
  echo_sequence,        ///< the first two bytes of each payload are the sequence number; ping
  bind_interface,       ///< SO_BINDTODEVICE by InterfaceId, 0 is none; all
  error,                ///< SO_ERROR, read only: the pending errno, cleared by reading; all
  type,                 ///< SO_TYPE, read only: the Type; all
  listening,            ///< SO_ACCEPTCONN, read only; tcp
  unsent,               ///< SIOCOUTQ, read only: bytes not yet acknowledged; tcp
  unread,               ///< FIONREAD, read only: bytes that receive would return; all
  congestion,           ///< TCP_CONGESTION, a text: the congestion control's name; tcp
  multicast_loop,       ///< IP_MULTICAST_LOOP, default on: what is sent to a group comes to members
                        ///< of this stack too; udp, ping
  multicast_interface,  ///< IP_MULTICAST_IF by InterfaceId, 0 is by the routes; udp, ping
};

inline constexpr Option kLastOption = Option::multicast_interface;

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

  /// tcp, with Option::oob_inline: what receive() would give, at most about `limit` bytes, as
  /// slices that share the queue's memory and are put behind `out`. It stays in the queue until
  /// consume(). The number of bytes; 0 is the end of the stream. Errors as receive().
  virtual Result<std::size_t> peek_slices(std::size_t limit, std::vector<Slice>& out);
  /// tcp: takes `count` bytes, which peek_slices() has shown, off the queue.
  virtual void consume(std::size_t count, Nanos now);
  /// tcp: bytes that send_slices() would take.
  virtual std::size_t send_room() const;
  /// tcp: send() without a copy. Takes all of `slices`, which have at most send_room() bytes and
  /// whose bytes nobody changes any more. Errors as send().
  virtual Errno send_slices(std::vector<Slice>&& slices, Nanos now);

  /// shutdown(2). ENOTCONN.
  virtual Errno shutdown(Shutdown how, Nanos now) = 0;
  /// close(2): the socket object is gone afterwards; a TCP connection ends on its own.
  virtual void close(Nanos now) = 0;

  /// set_membership(group, interface, member, now) is IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP and
  /// their kin for IPv6: whether packets to the multicast group that come over `interface` are for
  /// this socket. kAnyInterface: the one by which packets to the group would leave; to drop, any.
  /// EADDRINUSE for a member, EADDRNOTAVAIL for none, EINVAL for what is no group, ENODEV, ENOBUFS
  /// at a limit, EOPNOTSUPP unless udp.
  virtual Errno set_membership(const IpAddress&, InterfaceId, bool, Nanos) {
    return Errno::not_supported;
  }
  /// set_source_membership(group, source, interface, member, now) is MCAST_JOIN_SOURCE_GROUP and
  /// MCAST_LEAVE_SOURCE_GROUP: the same for what `source` alone sends to the group, beside other
  /// sources that were named. Of a member of the group as a whole, the first source ends that;
  /// without the last one it is no member any more, as after set_membership().
  /// EADDRNOTAVAIL for a source that is in already, or is not; EINVAL to drop where it is no
  /// member, for what is no group, and for a source of the other family; ENODEV, ENOBUFS at a
  /// limit, EOPNOTSUPP unless udp.
  virtual Errno set_source_membership(const IpAddress&, const IpAddress&, InterfaceId, bool,
                                      Nanos) {
    return Errno::not_supported;
  }

  virtual Errno set_option(Option option, std::int64_t value, Nanos now) = 0;
  virtual Result<std::int64_t> option(Option option) = 0;
  /// The same for options that are a text. ENOPROTOOPT for those that are a number.
  /// Option::congestion: in any state, also of a listener, whose connections inherit it; ENOENT for
  /// a name that is none of "cubic" and "newreno".
  virtual Errno set_text_option(Option, std::string_view, Nanos) {
    return Errno::no_protocol_option;
  }
  virtual Result<std::string> text_option(Option) { return Errno::no_protocol_option; }

  /// getsockname(2): Family::none and port 0 when not bound.
  virtual Endpoint local() const = 0;
  /// getpeername(2). ENOTCONN.
  virtual Result<Endpoint> peer() const = 0;
  /// Whom packets of this socket go to and come from: Family::none for anybody. tcp: known as soon
  /// as the SYN goes out.
  virtual Endpoint remote() const = 0;
  /// How the connection does, for people and programs that look at it. EOPNOTSUPP unless tcp.
  virtual Errno info(TcpInfo& out) const;
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
