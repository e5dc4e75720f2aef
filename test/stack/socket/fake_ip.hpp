// SPDX-License-Identifier: MIT
// An IpService with two addresses that keeps what is sent, for tests of sockets alone.
#pragma once

#include <vector>

#include "socket/ip_service.hpp"

namespace vpollnet::socket {

class FakeIp final : public IpService {
 public:
  struct Sent {
    IpMeta meta;
    Packet packet;
  };

  Result<Path> find_path(const IpAddress& destination, const IpAddress& source,
                         InterfaceId interface) override {
    lookups++;
    if (!reachable) return Errno::network_unreachable;
    if (source.family() != Family::none && !is_local(source, interface))
      return Errno::address_not_available;
    Path path;
    path.source = source.family() != Family::none ? source : destination.is_v4() ? v4 : v6;
    path.interface = interface == kAnyInterface ? 2 : interface;
    path.mtu = 1500;
    path.broadcast = is_broadcast(destination);
    return path;
  }
  std::uint64_t path_generation() const override { return generation; }
  Errno send_ip(const IpMeta& meta, Packet&& transport, Nanos) override {
    if (send_error == Errno::ok) sent.push_back({meta, std::move(transport)});
    return send_error;
  }
  Errno send_ip(const IpMeta& meta, const Path&, Packet&& transport, Nanos now) override {
    return send_ip(meta, std::move(transport), now);
  }
  void confirm_reachable(const IpAddress&, const Path&, Nanos) override {}
  bool is_local(const IpAddress& address, InterfaceId) const override {
    return address == v4 || address == v4_second || address == v6;
  }
  bool is_broadcast(const IpAddress& address) const override {
    return address.is_limited_broadcast() || address == *IpAddress::parse("10.0.0.255");
  }
  Result<InterfaceId> group_interface(const IpAddress&, InterfaceId interface) override {
    return interface == kAnyInterface ? InterfaceId{2} : interface;
  }
  Errno join_group(const IpAddress&, const IpAddress&, InterfaceId, Nanos) override {
    groups++;
    return Errno::ok;
  }
  void leave_group(const IpAddress&, const IpAddress&, InterfaceId, Nanos) override { groups--; }
  BlockPool& pool() override { return pool_; }
  Budget& budget() override { return budget_; }
  Counters& counters() override { return counters_; }
  KeyedRandom& random() override { return random_; }

  IpAddress v4 = *IpAddress::parse("10.0.0.1");
  IpAddress v4_second = *IpAddress::parse("10.0.0.9");
  IpAddress v6 = *IpAddress::parse("fd00::1");
  bool reachable = true;
  Errno send_error = Errno::ok;
  std::uint64_t generation = 1;
  int lookups = 0;
  int groups = 0;

 private:
  BlockPool pool_;
  Budget budget_{4u << 20};
  Counters counters_;
  KeyedRandom random_{{11, 22}};

 public:
  std::vector<Sent> sent;  // behind the pool that its packets come from
};

}  // namespace vpollnet::socket
