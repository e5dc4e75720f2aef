// SPDX-License-Identifier: MIT
#include "host/sockets/rtnetlink.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "host/namespace.hpp"
#include "host/sockets/bsd_stack.hpp"

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

/// What the next recv of FakeCalls gives, again and again: netlink of a plug-in that is out of its
/// mind.
std::vector<std::uint8_t> the_answer;

int* own_error() { return &errno; }

BsdCalls fake_calls() {
  ioth_functions f{};
  f.socket = [](int, int, int) { return ::open("/dev/null", O_RDWR | O_CLOEXEC); };
  f.close = ::close;
  f.sendto = [](int, const void*, size_t length, int, const sockaddr*, socklen_t) {
    return static_cast<ssize_t>(length);
  };
  f.recv = [](int, void* buffer, size_t length, int) {
    const std::size_t size = std::min(length, the_answer.size());
    std::copy_n(the_answer.begin(), size, static_cast<std::uint8_t*>(buffer));
    return static_cast<ssize_t>(size);
  };
  return BsdCalls(f, nullptr, own_error, false);
}

template <class Struct>
void put(std::vector<std::uint8_t>& bytes, const Struct& value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/// One message of the first request's answer; `length` as it says itself.
std::vector<std::uint8_t> message(std::uint16_t type, std::vector<std::uint8_t> payload,
                                  std::size_t length) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(length);
  header.nlmsg_type = type;
  header.nlmsg_seq = 1;
  std::vector<std::uint8_t> bytes;
  put(bytes, header);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Errno answer_to_interfaces(std::vector<std::uint8_t> bytes) {
  the_answer = std::move(bytes);
  const BsdCalls calls = fake_calls();
  Rtnetlink netlink(calls);
  REQUIRE(netlink.open() == Errno::ok);
  return netlink.interfaces().error();
}

}  // namespace

TEST_CASE("answers that are none are an error, and nothing is read past their end") {
  const Errno bad{EBADMSG};
  const std::vector<std::uint8_t> nothing;
  CHECK(answer_to_interfaces({}) == bad);
  CHECK(answer_to_interfaces(std::vector<std::uint8_t>(15, 0xff)) == bad);
  CHECK(answer_to_interfaces(message(NLMSG_DONE, nothing, 15)) == bad);
  CHECK(answer_to_interfaces(message(NLMSG_DONE, nothing, 17)) == bad);
  CHECK(answer_to_interfaces(message(NLMSG_DONE, nothing, 0xffffffff)) == bad);
  CHECK(answer_to_interfaces(message(NLMSG_ERROR, {0, 0, 0}, 19)) == bad);
  CHECK(answer_to_interfaces(message(NLMSG_DONE, nothing, 16)) == Errno::ok);

  std::vector<std::uint8_t> refusal;
  put(refusal, -EPERM);
  CHECK(answer_to_interfaces(message(NLMSG_ERROR, refusal, 20)) == Errno::not_permitted);
}

TEST_CASE("attributes of an interface are read no further than they go") {
  for (const std::uint16_t length : {0, 3, 4, 5, 8, 200, 65535}) {
    CAPTURE(length);
    std::vector<std::uint8_t> payload;
    ifinfomsg info{};
    info.ifi_index = 7;
    put(payload, info);
    rtattr attribute{};
    attribute.rta_len = length;
    attribute.rta_type = IFLA_IFNAME;
    put(payload, attribute);
    payload.insert(payload.end(), {'a', 'b', 'c', 'd'});
    auto bytes = message(RTM_NEWLINK, payload, sizeof(nlmsghdr) + payload.size());
    const auto done = message(NLMSG_DONE, {}, sizeof(nlmsghdr));
    bytes.insert(bytes.end(), done.begin(), done.end());
    the_answer = bytes;
    const BsdCalls calls = fake_calls();
    Rtnetlink netlink(calls);
    REQUIRE(netlink.open() == Errno::ok);
    const auto found = netlink.interfaces();
    REQUIRE(found);
    REQUIRE(found->size() == 1);
    CHECK(found->front().index == 7);
    CHECK(found->front().name == (length == 8 ? "abcd" : length == 5 ? "a" : ""));
  }
}

TEST_CASE("the kernel's interfaces get addresses and a gateway") {
  test::check_in_network_namespace([]() -> std::string {
    Rtnetlink netlink(BsdCalls::kernel());
    if (netlink.open() != Errno::ok) return "open";
    const auto interfaces = netlink.interfaces();
    if (!interfaces || interfaces->empty()) return "interfaces";
    const Rtnetlink::Interface& loopback = interfaces->front();
    if (!loopback.loopback || loopback.name != "lo") return "lo is " + loopback.name;
    const InterfaceId index = loopback.index;
    if (netlink.set_up(index) != Errno::ok) return "set_up";
    for (const char* address : {"10.9.0.2/24", "fd09::2/64"}) {
      const Cidr cidr = *Cidr::parse(address);
      if (netlink.add_address(index, cidr) != Errno::ok) return std::string("add ") + address;
      if (netlink.add_address(index, cidr) != Errno::exists) return std::string("twice ") + address;
      auto socket = *BsdStack::open_kernel()->socket(socket::Type::udp);
      if (socket->bind({cidr.address, 0}) != Errno::ok) return std::string("bind ") + address;
    }
    if (netlink.add_gateway(index, *IpAddress::parse("10.9.0.1")) != Errno::ok) return "gateway";
    if (netlink.add_gateway(index, *IpAddress::parse("192.0.2.1")) == Errno::ok) return "no route";
    if (netlink.set_up(12345) != Errno::no_such_device) return "a device that is none";
    return "";
  });
}
