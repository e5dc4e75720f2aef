// SPDX-License-Identifier: MIT
// A connection with its place in the world: addresses, path, timer, and whose it is.
#pragma once

#include <cstring>
#include <list>
#include <memory>
#include <unordered_map>

#include "socket/ip_service.hpp"
#include "tcp/connection.hpp"
#include "util/random.hpp"
#include "util/timer_queue.hpp"
#include "wire/address.hpp"

namespace vpollnet::socket {

class TcpSocket;

/// The two ends of a connection. `local.scope` and `remote.scope` are the interface of link-local
/// addresses and kAnyInterface for all others, so that equal connections have equal keys.
struct FlowKey {
  Endpoint local;
  Endpoint remote;
  bool operator==(const FlowKey&) const = default;
};

/// Keyed, since the peers choose most of the bytes.
struct FlowKeyHash {
  SecretKey secret;
  std::size_t operator()(const FlowKey& key) const {
    std::array<std::uint8_t, 40> bytes;
    std::size_t at = 0;
    for (const Endpoint* end : {&key.local, &key.remote}) {
      const std::span<const std::uint8_t> address = end->address.bytes();
      if (!address.empty()) std::memcpy(bytes.data() + at, address.data(), address.size());
      at += address.size();
      std::memcpy(bytes.data() + at, &end->port, sizeof end->port);
      at += sizeof end->port;
    }
    std::memcpy(bytes.data() + at, &key.remote.scope, sizeof key.remote.scope);
    at += sizeof key.remote.scope;
    return siphash(secret, std::span(bytes).first(at));
  }
};

/// Shared by the table (as long as segments may come for it) and the socket that owns it.
struct Flow : std::enable_shared_from_this<Flow> {
  Flow(const tcp::Resources& resources, const tcp::Settings& settings, const FlowKey& flow_key)
      : connection(resources, settings), key(flow_key) {}

  tcp::Connection connection;
  FlowKey key;
  Path path;
  std::uint64_t path_generation = 0;
  std::uint8_t hop_limit = 64;
  std::uint8_t traffic_class = 0;
  InterfaceId interface = kAnyInterface;  ///< forced by Option::bind_interface
  TcpSocket* owner = nullptr;             ///< who reads and writes it
  TcpSocket* listener = nullptr;          ///< who has not accepted it yet
  bool intercepted = false;  ///< its local end is not ours, and takes none of our ports
  bool half_open = false;    ///< counted in the listener's queue of half-open connections
  bool in_table = false;
  bool orphan = false;
  std::list<Flow*>::iterator orphan_place{};
  std::uint64_t confirmed = 0;  ///< acknowledged_position() when the neighbour was last confirmed
  Nanos confirmed_at = 0;
  TimerEntry timer;
};

using FlowMap = std::unordered_map<FlowKey, std::shared_ptr<Flow>, FlowKeyHash>;

}  // namespace vpollnet::socket
