// SPDX-License-Identifier: MIT
// All sockets of one stack: makes them, owns them, and finds the one that a packet is for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "socket/ip_service.hpp"
#include "socket/socket.hpp"

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
  /// `ip` must outlive the table.
  explicit SocketTable(IpService& ip);
  ~SocketTable();

  /// A new socket, owned by the table until its close(). EMFILE at the table's limit (65,536).
  Result<Socket*> open(Type type);

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
