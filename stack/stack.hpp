// SPDX-License-Identifier: MIT
// One network stack: interfaces, addresses, routes, sockets. Start reading here, then stack.cpp.
//
// A Stack is a deterministic function of the frames, calls and times it is given. It makes no
// system call and has no clock, no thread, no lock and no randomness of its own: the host's pump
// serialises all calls, hands in `now` and carries frames away through the FrameSink.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "socket/table.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet {

enum class LinkType : std::uint8_t {
  ethernet,  ///< frames with an Ethernet header: TAP, cable, VDE
  ip,        ///< bare IP packets: TUN
};

/// What the link does itself; what it does not is done in software before it gets the frame.
struct Offloads {
  bool segmentation = false;  ///< takes packets with gso_size (TCP over IPv4 and IPv6)
  bool checksum = false;      ///< takes ChecksumState::partial
};

struct InterfaceConfig {
  std::string name;
  LinkType type = LinkType::ethernet;
  MacAddress mac;            ///< unicast and not zero, for ethernet
  std::uint32_t mtu = 1500;  ///< largest IP packet in bytes: 68..65535; IPv6 is off below 1280
  Offloads offloads;
  bool ipv6 = true;  ///< gives the interface a link-local address (RFC 4862 5.3, RFC 7217)
  unsigned dad_transmits = 1;  ///< DupAddrDetectTransmits (RFC 4862 5.1); 0 turns detection off
};

struct RouteConfig {
  Cidr destination;                       ///< "0.0.0.0/0" and "::/0" are default routes
  IpAddress gateway;                      ///< Family::none: on link
  InterfaceId interface = kAnyInterface;  ///< may be left out with a gateway that is on link
  std::uint32_t metric = 0;               ///< the lower wins among equal prefixes
};

enum class AddressState : std::uint8_t { tentative, preferred, duplicated };

/// "tentative", "preferred", "duplicated"
const char* to_string(AddressState state);

struct AddressInfo {
  InterfaceId interface = kAnyInterface;
  Cidr address;
  AddressState state = AddressState::preferred;
};

struct NeighbourInfo {
  InterfaceId interface = kAnyInterface;
  IpAddress address;
  MacAddress mac;
  const char* state = "";  ///< RFC 4861 7.3.2: "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE"
};

struct InterfaceInfo {
  InterfaceId id = kAnyInterface;
  InterfaceConfig config;
  bool up = true;
  std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
};

/// Where outgoing frames go. Called in the middle of stack processing: it may queue the frame or
/// write it to a device, and must not call back into any stack.
class FrameSink {
 public:
  virtual void transmit(InterfaceId interface, Packet&& frame) = 0;

 protected:
  ~FrameSink() = default;
};

struct StackConfig {
  SecretKey secret{};  ///< 128 random bits from the host: sequence numbers, ports, hash tables
  std::size_t memory_limit = 256u << 20;  ///< bytes in all queues of the stack
};

class Stack {
 public:
  /// `pool` and `sink` must outlive the stack.
  Stack(const StackConfig& config, BlockPool& pool, FrameSink& sink);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// EINVAL for a bad MAC or MTU, EEXIST for a name in use. Interface 1 is loopback ("lo",
  /// 127.0.0.1/8 and ::1/128) and is there from the start.
  Result<InterfaceId> add_interface(const InterfaceConfig& config, Nanos now);
  Errno remove_interface(InterfaceId id, Nanos now);
  /// Carrier. A link that is down drops what is sent over it and forgets its neighbours.
  Errno set_up(InterfaceId id, bool up, Nanos now);

  /// EEXIST, EINVAL (multicast, unspecified, bad prefix), ENODEV. Adds the on-link route too.
  Errno add_address(InterfaceId id, const Cidr& address, Nanos now);
  Errno remove_address(InterfaceId id, const IpAddress& address, Nanos now);
  /// ENETUNREACH when the gateway is not on link, EEXIST, EINVAL.
  Errno add_route(const RouteConfig& route);
  Errno remove_route(const RouteConfig& route);

  /// A frame from the link of `id`. Everything that it sets off, replies included, is done on
  /// return; counters().first_drop says then whether it was dropped.
  void receive(InterfaceId id, Packet&& frame, Nanos now);
  /// Runs timers that are due and packets on the loopback interface.
  void advance(Nanos now);
  /// When advance() has something to do next; a time in the past means at once.
  Nanos next_deadline() const;

  socket::SocketTable& sockets();
  const Counters& counters() const;
  std::size_t memory_used() const;
  std::vector<InterfaceInfo> interfaces() const;
  std::vector<AddressInfo> addresses() const;
  std::vector<RouteConfig> routes() const;
  std::vector<NeighbourInfo> neighbours() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> self_;
};

}  // namespace vpollnet
