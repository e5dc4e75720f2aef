// SPDX-License-Identifier: MIT
// All UDP and echo sockets of a stack, and which of them a packet is for.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "socket/datagram_socket.hpp"
#include "socket/table.hpp"

namespace vpollnet::socket {

/// Owned by the SocketTable. A unicast datagram goes to one socket, the one that says most about
/// it: connected to its sender, else bound to its destination, else to any; of several, the one
/// that was bound last. A datagram for a group goes to each that matches.
class DatagramSockets {
 public:
  /// `ip` must outlive it.
  explicit DatagramSockets(IpService& ip);
  ~DatagramSockets();
  DatagramSockets(const DatagramSockets&) = delete;
  DatagramSockets& operator=(const DatagramSockets&) = delete;

  /// Type::udp or Type::ping.
  Socket* open(Type type);
  /// A udp socket between the two ends of `meta`, whose destination need not be ours.
  Result<Socket*> open_intercepted(const IpMeta& meta, Ports ports);
  std::size_t size() const { return sockets_.size(); }

  Delivery on_udp(const IpMeta& meta, Packet&& datagram, Nanos now);
  void on_echo_reply(const IpMeta& meta, Packet&& message, Nanos now);
  void on_icmp_error(const IcmpError& error, Nanos now);
  void on_address_removed(const IpAddress& address, Nanos now);
  bool uses_port(Type type, std::uint16_t port) const {
    return ports_.contains(port_key(type, port));
  }
  void on_interception_end(InterfaceId over);
  /// Lists `size` sockets from `place` on, which it moves; false at the end.
  bool list(std::size_t& place, std::size_t size, std::vector<SocketInfo>& out) const;

  // --- for DatagramSocket ---

  /// A port for `socket` with `local`: the one asked for, or a free one for 0. EADDRINUSE.
  Result<std::uint16_t> claim(const DatagramSocket& socket, const Endpoint& local);
  /// Puts the socket, by its present addresses, where packets find it; takes it out before they
  /// change.
  void enter(DatagramSocket& socket);
  void leave(DatagramSocket& socket);
  /// Destroys the socket.
  void erase(DatagramSocket& socket);

 private:
  /// Type, local and peer address and port.
  using Tuple = std::array<std::uint8_t, 38>;
  struct TupleHash {
    SecretKey key;
    std::size_t operator()(const Tuple& tuple) const { return siphash(key, tuple); }
  };
  struct PortHash {
    SecretKey key;
    std::size_t operator()(std::uint32_t port) const;
  };
  /// The sockets of one type on one port, in the order in which they came.
  struct Port {
    std::vector<DatagramSocket*> unconnected;
    std::vector<DatagramSocket*> connected;
  };

  static Tuple tuple_of(Type type, const IpAddress& local, std::uint16_t local_port,
                        const IpAddress& peer, std::uint16_t peer_port);
  static Tuple tuple_of(const DatagramSocket& socket);
  static std::uint32_t port_key(Type type, std::uint16_t port);
  DatagramSocket* find_connected(Type type, const IpAddress& local, std::uint16_t local_port,
                                 const Endpoint& peer);
  /// The socket for a unicast packet from `from`, or null.
  DatagramSocket* find(Type type, const IpMeta& meta, std::uint16_t port, const Endpoint& from);
  Delivery deliver_to_group(Type type, const IpMeta& meta, std::uint16_t port, const Endpoint& from,
                            const Packet& payload);

  IpService& ip_;
  std::list<std::unique_ptr<DatagramSocket>> sockets_;
  std::unordered_map<std::uint32_t, Port, PortHash> ports_;
  std::unordered_multimap<Tuple, DatagramSocket*, TupleHash> connected_;
};

}  // namespace vpollnet::socket
