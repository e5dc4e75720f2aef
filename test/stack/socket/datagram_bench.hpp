// SPDX-License-Identifier: MIT
// A table of datagram sockets over a FakeIp, and short ways to send to it and read from it.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "socket/datagram_sockets.hpp"
#include "stack/socket/fake_ip.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/udp.hpp"

namespace vpollnet::socket {

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }
inline Endpoint at(const char* text, std::uint16_t port) { return {ip(text), port}; }
inline std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

struct DatagramBench {
  FakeIp net;
  DatagramSockets table{net};
  Nanos now = 0;

  Socket* udp() { return table.open(Type::udp); }
  Socket* ping() { return table.open(Type::ping); }
  Socket* bound(const Endpoint& local) {
    Socket* socket = udp();
    REQUIRE(socket->bind(local, now) == Errno::ok);
    return socket;
  }

  Packet datagram(const Endpoint& from, const Endpoint& to, const std::string& text) {
    Packet packet(net.pool().copy(bytes_of(text)));
    const auto length = static_cast<std::uint16_t>(text.size() + 8);
    const auto out = packet.prepend(8);
    wire::emit_udp({from.port, to.port, length, 0}, out);
    wire::store16(&out[6], wire::transport_checksum(packet, from.address, to.address, kUdp));
    return packet;
  }
  static IpMeta meta(const Endpoint& from, const Endpoint& to) {
    IpMeta result;
    result.source = from.address;
    result.destination = to.address;
    result.interface = 2;
    result.to_group = to.address.is_multicast() || to.address.is_limited_broadcast();
    return result;
  }
  Delivery arrive(const Endpoint& from, const Endpoint& to, const std::string& text = "x") {
    return table.on_udp(meta(from, to), datagram(from, to, text), now);
  }
  std::string read(Socket* socket, std::uint32_t flags = 0) {
    std::uint8_t buffer[2000];
    const auto received = socket->receive(buffer, flags, now);
    if (!received) return "error " + std::to_string(static_cast<int>(received.error()));
    return std::string(reinterpret_cast<const char*>(buffer), received->copied);
  }
  std::uint64_t dropped(Drop reason) { return net.counters().dropped(reason); }
};

inline const std::string kAgain = "error " + std::to_string(EAGAIN);
inline const Endpoint kPeer = at("10.0.0.2", 4000);
inline const Endpoint kPeer6 = at("fd00::2", 4000);

}  // namespace vpollnet::socket
