// SPDX-License-Identifier: MIT
#include "host/gateway/reach.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include <string>

#include "host/namespace.hpp"

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

struct Row {
  const char* address;
  std::uint8_t reach;
};

TEST_CASE("what an IPv4 address says of where it lies (RFC 6890)") {
  for (const Row& row : {
           Row{"0.0.0.0", kReachSpecial},
           Row{"0.255.255.255", kReachSpecial},
           Row{"1.0.0.0", kReachPublic},
           Row{"1.1.1.1", kReachPublic},
           Row{"9.255.255.255", kReachPublic},
           Row{"10.0.0.0", kReachPrivate},
           Row{"10.255.255.255", kReachPrivate},
           Row{"11.0.0.0", kReachPublic},
           Row{"100.63.255.255", kReachPublic},
           Row{"100.64.0.0", kReachPrivate},
           Row{"100.100.100.200", kReachPrivate},
           Row{"100.127.255.255", kReachPrivate},
           Row{"100.128.0.0", kReachPublic},
           Row{"126.255.255.255", kReachPublic},
           Row{"127.0.0.0", kReachHost},
           Row{"127.0.0.1", kReachHost},
           Row{"127.255.255.255", kReachHost},
           Row{"128.0.0.0", kReachPublic},
           Row{"168.63.129.16", kReachLinkLocal},
           Row{"168.63.129.17", kReachPublic},
           Row{"169.253.255.255", kReachPublic},
           Row{"169.254.0.0", kReachLinkLocal},
           Row{"169.254.169.254", kReachLinkLocal},
           Row{"169.254.255.255", kReachLinkLocal},
           Row{"169.255.0.0", kReachPublic},
           Row{"172.15.255.255", kReachPublic},
           Row{"172.16.0.0", kReachPrivate},
           Row{"172.31.255.255", kReachPrivate},
           Row{"172.32.0.0", kReachPublic},
           Row{"192.0.0.8", kReachSpecial},
           Row{"192.0.1.0", kReachPublic},
           Row{"192.0.2.1", kReachSpecial},
           Row{"192.88.99.1", kReachSpecial},
           Row{"192.167.255.255", kReachPublic},
           Row{"192.168.0.0", kReachPrivate},
           Row{"192.168.255.255", kReachPrivate},
           Row{"192.169.0.0", kReachPublic},
           Row{"198.17.255.255", kReachPublic},
           Row{"198.18.0.0", kReachSpecial},
           Row{"198.19.255.255", kReachSpecial},
           Row{"198.20.0.0", kReachPublic},
           Row{"198.51.100.7", kReachSpecial},
           Row{"203.0.113.7", kReachSpecial},
           Row{"223.255.255.255", kReachPublic},
           Row{"224.0.0.1", kReachSpecial},
           Row{"239.255.255.255", kReachSpecial},
           Row{"240.0.0.1", kReachSpecial},
           Row{"255.255.255.255", kReachSpecial},
       }) {
    CHECK_MESSAGE(reach_of(*IpAddress::parse(row.address)) == row.reach, row.address);
  }
}

TEST_CASE("an IPv6 address that stands for an IPv4 one is never better than that") {
  for (const Row& row : {
           Row{"::", kReachSpecial},
           Row{"::1", kReachHost},
           Row{"::2", kReachSpecial},
           Row{"::127.0.0.1", kReachHost},  // compatible (RFC 4291 2.5.5.1)
           Row{"::10.0.0.1", kReachPrivate},
           Row{"::1.1.1.1", kReachSpecial},
           Row{"::ffff:127.0.0.1", kReachHost},  // mapped
           Row{"::ffff:10.0.0.1", kReachPrivate},
           Row{"::ffff:169.254.169.254", kReachLinkLocal},
           Row{"::ffff:1.1.1.1", kReachSpecial},
           Row{"64:ff9b::127.0.0.1", kReachHost},  // NAT64 (RFC 6052)
           Row{"64:ff9b::10.0.0.1", kReachPrivate},
           Row{"64:ff9b::169.254.169.254", kReachLinkLocal},
           Row{"64:ff9b::1.1.1.1", kReachSpecial},
           Row{"64:ff9b:1::1.1.1.1", kReachSpecial},  // RFC 8215
           Row{"2002:7f00:1::1", kReachHost},         // 6to4 (RFC 3056)
           Row{"2002:a00:1::1", kReachPrivate},
           Row{"2002:a9fe:a9fe::1", kReachLinkLocal},
           Row{"2002:101:101::1", kReachSpecial},
           Row{"2001::1", kReachSpecial},  // Teredo (RFC 4380)
           Row{"2001:0:a00:1::", kReachSpecial},
           Row{"2001:1ff::1", kReachSpecial},  // RFC 2928
           Row{"2001:200::1", kReachPublic},
           Row{"2001:4860:4860::8888", kReachPublic},
           Row{"2001:db8::1", kReachSpecial},
           Row{"2001:db9::1", kReachPublic},
           Row{"2a00::1", kReachPublic},
           Row{"3ffe::1", kReachPublic},
           Row{"3fff::1", kReachSpecial},
           Row{"3fff:fff::1", kReachSpecial},
           Row{"3fff:1000::1", kReachPublic},
           Row{"1fff::1", kReachSpecial},
           Row{"4000::1", kReachSpecial},
           Row{"100::1", kReachSpecial},  // discard (RFC 6666)
           Row{"5f00::1", kReachSpecial},
           Row{"fbff::1", kReachSpecial},
           Row{"fc00::1", kReachPrivate},
           Row{"fd00:ec2::254", kReachPrivate},
           Row{"fdff::1", kReachPrivate},
           Row{"fe00::1", kReachSpecial},
           Row{"fe80::1", kReachLinkLocal},
           Row{"febf::1", kReachLinkLocal},
           Row{"fec0::1", kReachPrivate},
           Row{"ff02::1", kReachSpecial},
           Row{"ff0e::1", kReachSpecial},
       }) {
    CHECK_MESSAGE(reach_of(*IpAddress::parse(row.address)) == row.reach, row.address);
  }
}

TEST_CASE("an address that is none is special") { CHECK(reach_of(IpAddress()) == kReachSpecial); }

TEST_CASE("loopback is the host's, without anybody having to look") {
  HostAddresses host;
  CHECK(host.reach(*IpAddress::parse("127.0.0.1"), 0) == kReachHost);
  CHECK(host.reach(*IpAddress::parse("127.3.2.1"), 0) == kReachHost);
  CHECK(host.reach(*IpAddress::parse("::1"), 0) == kReachHost);
}

TEST_CASE("a public address that the host has is the host's, and on lo its whole network") {
  test::check_in_network_namespace([] {
    if (!test::set_up_host_side("lo", "8.8.8.8")) return std::string("no address on lo");
    HostAddresses host;
    const auto reach = [&](const char* address, Nanos now) {
      return host.reach(*IpAddress::parse(address), now);
    };
    if (reach("8.8.8.8", 1) != kReachHost) return std::string("its own address");
    if (reach("8.8.8.9", 1) != kReachHost) return std::string("an address of that network");
    if (reach("8.8.9.9", 1) != kReachPublic) return std::string("an address of nobody here");
    // What it gets later is known within a second.
    if (!test::set_up_host_side("lo", "9.9.9.9")) return std::string("no second address");
    if (reach("9.9.9.9", 1 + kSecond) != kReachHost) return std::string("its new address");
    return std::string();
  });
}

TEST_CASE("what a route takes in is the host's, what it has on a link is private") {
  test::check_in_network_namespace([] {
    const auto ip = [](const char* arguments) {
      return std::system((std::string("ip ") + arguments).c_str()) == 0;
    };
    if (!ip("link set lo up") || !ip("route add local 55.55.1.1/32 dev lo") ||
        !ip("route add local 10.1.2.3/32 dev lo") || !ip("route add 66.66.0.0/16 dev lo") ||
        !ip("route add 77.0.0.0/8 via 66.66.0.1 dev lo onlink") ||
        !ip("route add 0.0.0.0/1 dev lo") || !ip("route add blackhole 99.9.9.0/24") ||
        !ip("-6 route add local 2a00:2::1/128 dev lo") || !ip("-6 route add 2a00:3::/32 dev lo")) {
      return std::string("a route could not be made");
    }
    struct Expected {
      const char* address;
      std::uint8_t reach;
    };
    HostAddresses host;
    for (const Expected& one : {Expected{"55.55.1.1", kReachHost},
                                {"10.1.2.3", kReachHost},
                                {"10.1.2.4", kReachPrivate},
                                {"66.66.7.7", kReachPrivate},
                                {"77.7.7.7", kReachPublic},
                                {"1.1.1.1", kReachPublic},  // by what stands for a default route
                                {"99.9.9.9", kReachPublic},
                                {"200.1.1.1", kReachPublic},  // no route at all
                                {"2a00:2::1", kReachHost},
                                {"2a00:3::1", kReachPrivate},
                                {"2a00:4::1", kReachPublic}}) {
      const std::uint8_t reach = host.reach(*IpAddress::parse(one.address), 1);
      if (reach != one.reach) return one.address + (" has " + std::to_string(reach));
    }
    return std::string();
  });
}

}  // namespace
