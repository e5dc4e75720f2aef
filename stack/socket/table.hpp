// SPDX-License-Identifier: MIT
// All sockets of one stack: makes them, owns them, and finds the one that a packet is for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "socket/interceptor.hpp"
#include "socket/ip_service.hpp"
#include "socket/socket.hpp"
#include "tcp/congestion.hpp"

namespace vpollnet::socket {

class TcpSockets;
class DatagramSockets;

/// "tcp", "udp", "icmp"
const char* type_name(Type type);

/// What became of a datagram, so that the stack can answer with ICMP.
enum class Delivery : std::uint8_t { delivered, no_socket, dropped };

/// A line of a socket listing, as ss(8) shows it.
struct SocketInfo {
  Type type = Type::tcp;
  const char* state = "";
  Endpoint local;
  Endpoint peer;
  std::size_t receive_queue = 0;  ///< bytes
  std::size_t send_queue = 0;     ///< bytes
};

/// How far a listing in pages has come.
struct ListCursor {
  unsigned part = 0;
  std::size_t place = 0;
};

class SocketTable {
 public:
  /// `ip` must outlive the table. `congestion` is what tcp sockets have from the start.
  explicit SocketTable(IpService& ip, tcp::Algorithm congestion = tcp::Algorithm::cubic);
  ~SocketTable();

  /// A new socket, owned by the table until its close(). EMFILE at the table's limit (65,536).
  Result<Socket*> open(Type type);

  /// Answers a request that an Interceptor got: the socket is in SYN-RECEIVED, local() is whom the
  /// client means. EADDRINUSE if the connection exists, EMFILE, ENOBUFS, ENETUNREACH.
  Result<Socket*> accept(const InterceptedSyn& syn, Nanos now);
  /// The same with RST (RFC 9293 3.10.7.1).
  void refuse(const InterceptedSyn& syn, Nanos now);
  /// A udp socket between the two ends of an intercepted datagram, connected to its sender.
  Result<Socket*> open_intercepted(const IpMeta& meta, Ports ports);
  /// Puts an intercepted datagram of its peer into such a socket; it may be full.
  static void deliver_intercepted(Socket& socket, Packet&& payload);

  /// `segment` begins with the TCP header; its length is that of the IP payload.
  void on_tcp(const IpMeta& meta, Packet&& segment, Nanos now);
  /// `datagram` begins with the UDP header.
  Delivery on_udp(const IpMeta& meta, Packet&& datagram, Nanos now);
  /// `message` begins with the ICMP or ICMPv6 header of an echo reply, checksum verified.
  void on_echo_reply(const IpMeta& meta, Packet&& message, Nanos now);
  /// True if the quoted packet can be one that a socket has under way (RFC 5927 4): ask before
  /// believing its MTU.
  bool is_plausible(const IcmpError& error) const;
  void on_icmp_error(const IcmpError& error, Nanos now);
  /// An address went away: connections and sockets bound to it fail with ENETDOWN.
  void on_address_removed(const IpAddress& address, Nanos now);
  /// Nobody will answer for others on `over` any more: sockets that do fail with ENETDOWN, their
  /// connections with a reset to the peer. To be called while packets can still go out there.
  void on_interception_end(InterfaceId over, Nanos now);

  /// A socket or a connection has the local port, on whichever address. Echo: the identifier.
  bool uses_port(Type type, std::uint16_t port) const;

  /// A connection between the two is there, in whatever state, TIME-WAIT too. `local` and `remote`
  /// are a tcp socket's local() and remote().
  bool has_connection(const Endpoint& local, const Endpoint& remote) const;

  /// Runs the timers that are due.
  void advance(Nanos now);
  Nanos next_deadline() const;

  std::vector<SocketInfo> list() const;
  /// The next part of list() into `out`: about `size` sockets or fewer, so that a table of any size
  /// is read in short holds of the lock. False when that was the last part. A socket that comes,
  /// goes or connects between two parts may be left out or come twice.
  bool list_part(ListCursor& cursor, std::size_t size, std::vector<SocketInfo>& out) const;

 private:
  IpService& ip_;
  std::unique_ptr<TcpSockets> tcp_;
  std::unique_ptr<DatagramSockets> datagrams_;
};

}  // namespace vpollnet::socket
