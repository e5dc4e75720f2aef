// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "wire/address.hpp"

namespace vpollnet {
namespace {

TEST_CASE("addresses are written as RFC 5952 4 says") {
  const std::array<std::array<const char*, 2>, 16> vectors{{
      {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"2001:DB8::AAAA", "2001:db8::aaaa"},
      {"2001:db8::0:1", "2001:db8::1"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"1:0:0:0:0:0:0:8", "1::8"},
      {"0:2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"::ffff:0:0", "::ffff:0.0.0.0"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"fe80::", "fe80::"},
      {"192.0.2.1", "192.0.2.1"},
  }};
  for (const auto& [text, canonical] : vectors) {
    CAPTURE(text);
    const auto address = IpAddress::parse(text);
    REQUIRE(address);
    CHECK(address->to_string() == canonical);
    CHECK(IpAddress::parse(canonical) == address);
  }
}

TEST_CASE("what is no address is refused") {
  for (const char* text : {"",
                           ":",
                           ":::",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1::2::3",
                           "::12345",
                           "g::",
                           "1:2:3:4:5:6:7:8::",
                           "::1:2:3:4:5:6:7:8",
                           ":1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:",
                           "fe80::1%1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "256.1.1.1",
                           "01.2.3.4",
                           "1.2.3.4 ",
                           "1..2.3",
                           "1.2.3.-4",
                           "::1.2.3",
                           "1.2.3.4::",
                           "::1.2.3.4:5",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "0x1.2.3.4",
                           "1.2.3.0004"}) {
    CAPTURE(text);
    CHECK_FALSE(IpAddress::parse(text));
  }
}

TEST_CASE("addresses know their kind") {
  const auto is = [](const char* text) { return *IpAddress::parse(text); };
  CHECK(is("0.0.0.0").is_unspecified());
  CHECK(is("::").is_unspecified());
  CHECK_FALSE(IpAddress().is_unspecified());
  CHECK(is("127.255.0.1").is_loopback());
  CHECK(is("::1").is_loopback());
  CHECK(is("239.255.255.255").is_multicast());
  CHECK_FALSE(is("240.0.0.1").is_multicast());
  CHECK(is("ff02::1").is_multicast());
  CHECK(is("169.254.1.1").is_link_local());
  CHECK(is("febf::1").is_link_local());
  CHECK_FALSE(is("fec0::1").is_link_local());
  CHECK(is("224.0.0.22").is_link_local_multicast());
  CHECK_FALSE(is("224.0.1.1").is_link_local_multicast());
  CHECK(is("ff12::1").is_link_local_multicast());
  CHECK(is("255.255.255.255").is_limited_broadcast());
  CHECK(is("fe80::aa:bbcc:ddee").solicited_node() == is("ff02::1:ffcc:ddee"));
  CHECK(is("ff02::1:ffcc:ddee").multicast_mac().to_string() == "33:33:ff:cc:dd:ee");
  CHECK(is("239.129.2.3").multicast_mac().to_string() == "01:00:5e:01:02:03");
}

TEST_CASE("prefixes contain, cut and broadcast") {
  const Cidr cidr = *Cidr::parse("10.1.2.3/20");
  CHECK(cidr.to_string() == "10.1.2.3/20");
  CHECK(cidr.network().to_string() == "10.1.0.0");
  CHECK(cidr.directed_broadcast().to_string() == "10.1.15.255");
  CHECK(cidr.contains(*IpAddress::parse("10.1.15.255")));
  CHECK_FALSE(cidr.contains(*IpAddress::parse("10.1.16.0")));
  CHECK_FALSE(cidr.contains(*IpAddress::parse("::ffff:10.1.2.3")));
  CHECK(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.1.2.3")));
  CHECK(Cidr::parse("fd00::1/9")->contains(*IpAddress::parse("fd7f::")));
  CHECK_FALSE(Cidr::parse("fd00::1/9")->contains(*IpAddress::parse("fd80::")));
  CHECK(Cidr::parse("fd00::1")->prefix == 128);
  CHECK(Cidr::parse("10.0.0.1/31")->directed_broadcast().family() == Family::none);
  for (const char* text :
       {"10.0.0.1/33", "::/129", "10.0.0.1/", "10.0.0.1/-1", "10.0.0.1/08", "/8"}) {
    CHECK_FALSE(Cidr::parse(text));
  }
}

TEST_CASE("MAC addresses and endpoints have text forms") {
  CHECK(MacAddress::parse("02:00:00:AA:bb:0c")->to_string() == "02:00:00:aa:bb:0c");
  CHECK(MacAddress::parse("02-00-00-aa-bb-0c")->to_string() == "02:00:00:aa:bb:0c");
  for (const char* text :
       {"", "02:00:00:aa:bb", "02:00-00:aa:bb:cc", "02:00:00:aa:bb:cg", "020000aabbcc"}) {
    CHECK_FALSE(MacAddress::parse(text));
  }
  CHECK(Endpoint{*IpAddress::parse("10.0.0.1"), 7}.to_string() == "10.0.0.1:7");
  CHECK(Endpoint{*IpAddress::parse("fe80::1"), 7, 2}.to_string() == "[fe80::1%2]:7");
}

}  // namespace
}  // namespace vpollnet
