// SPDX-License-Identifier: MIT
// TAP and TUN devices with the Linux kernel on their other side, in a network namespace.
#include "host/links/tap.hpp"

#include <doctest/doctest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>

#include <cstring>
#include <vector>

#include "host/namespace.hpp"
#include "host/network.hpp"
#include "host/poll.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::check_in_network_namespace;

#define EXPECT(condition)                                                                          \
  if (!(condition)) return std::string(#condition)

namespace {

/// A kernel UDP or TCP socket, bound to a port of 10.0.0.1.
int kernel_socket(int type, std::uint16_t port) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  timeval limit{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, "10.0.0.1", &address.sin_addr);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  return fd;
}

sockaddr_in to(const char* address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  inet_pton(AF_INET, address, &result.sin_addr);
  return result;
}

LinkSpec link(const char* url) {
  LinkSpec spec;
  spec.url = url;
  spec.addresses = {*Cidr::parse("10.0.0.2/24")};
  return spec;
}

bool wait_for(SocketHandle& socket, std::uint32_t events) {
  std::array<PollEntry, 1> entries{PollEntry{.fd = *socket.fd(), .events = events}};
  const auto found = host::poll(entries, 10'000);
  return found && *found == 1;
}

/// The network sends `total` bytes over TCP to a kernel socket, which sends them back.
std::string echo_through_kernel(Network& network, std::size_t total) {
  const int listener = kernel_socket(SOCK_STREAM, 7);
  EXPECT(listener >= 0);
  EXPECT(listen(listener, 1) == 0);
  std::thread peer([listener] {
    const int connection = accept(listener, nullptr, nullptr);
    std::vector<char> buffer(1 << 16);
    for (ssize_t got = 0; (got = recv(connection, buffer.data(), buffer.size(), 0)) > 0;) {
      for (ssize_t sent = 0; sent < got;) {
        const ssize_t step = send(connection, buffer.data() + sent,
                                  static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        if (step <= 0) break;
        sent += step;
      }
    }
    ::close(connection);
    ::close(listener);
  });
  const auto finish = [&](std::string failure) {
    shutdown(listener, SHUT_RDWR);
    peer.join();
    return failure;
  };
  auto made = network.socket(socket::Type::tcp);
  if (!made) return finish("socket");
  SocketHandle& client = **made;
  const Errno connecting = client.connect({.address = IpAddress::v4(10, 0, 0, 1), .port = 7});
  if (connecting != Errno::in_progress) return finish("connect");
  std::vector<std::uint8_t> buffer(1 << 16);
  std::size_t sent = 0;
  std::size_t received = 0;
  while (received < total) {
    if (!wait_for(client, sent < total ? POLLIN | POLLOUT : POLLIN)) return finish("stalled");
    if (sent < total) {
      for (std::size_t i = 0; i < buffer.size(); i++) {
        buffer[i] = static_cast<std::uint8_t>((sent + i) % 251);
      }
      const auto step =
          client.send(std::span(buffer).first(std::min(buffer.size(), total - sent)), 0);
      if (!step && step.error() != Errno::again) return finish("send");
      if (step) sent += *step;
    }
    const auto got = client.receive(buffer, 0);
    if (!got && got.error() != Errno::again) return finish("receive");
    for (std::size_t i = 0; got && i < got->copied; i++) {
      if (buffer[i] != static_cast<std::uint8_t>((received + i) % 251)) return finish("bytes");
    }
    if (got) received += got->copied;
  }
  client.close();
  return finish("");
}

}  // namespace

TEST_CASE("a frame of the kernel comes out of a TAP with its checksum still to be done") {
  check_in_network_namespace([] {
    Failure failure;
    BlockPool pool;
    auto tap = Tap::open("tap0", Tap::Mode::ethernet, true, failure);
    EXPECT(tap != nullptr);
    EXPECT(tap->capabilities().mtu == 1500);
    EXPECT(test::set_up_host_side("tap0", "10.0.0.1"));
    const int kernel = kernel_socket(SOCK_DGRAM, 9);
    const sockaddr_in all = to("10.0.0.255", 9);
    EXPECT(sendto(kernel, "hello", 5, 0, reinterpret_cast<const sockaddr*>(&all), sizeof all) == 5);
    std::vector<Packet> frames;
    EXPECT(test::eventually([&] {
      tap->read(16, pool, frames);
      for (const Packet& frame : frames) {
        if (frame.size() == 14 + 20 + 8 + 5) return true;
      }
      frames.clear();
      return false;
    }));
    for (const Packet& frame : frames) {
      if (frame.size() != 14 + 20 + 8 + 5) continue;
      EXPECT(frame.checksum == ChecksumState::partial);
      EXPECT(frame.checksum_from_end == 8 + 5);
      EXPECT(frame.checksum_field == 6);
      // A small frame holds no large block.
      EXPECT(frame.body().front().block()->capacity < 1000);
    }
    return std::string();
  });
}

TEST_CASE("a TAP that cannot be opened says what to do") {
  Failure failure;
  CHECK(Tap::open("a-name-that-is-too-long", Tap::Mode::ethernet, true, failure) == nullptr);
  CHECK(failure.error == Errno::invalid);
  CHECK(Tap::open("tap%d", Tap::Mode::ethernet, true, failure) == nullptr);
  CHECK(failure.error == Errno::invalid);
  check_in_network_namespace([] {
    Failure why;
    auto tap = Tap::open("tap0", Tap::Mode::ethernet, true, why);
    EXPECT(tap != nullptr);
    EXPECT(Tap::open("tap0", Tap::Mode::ethernet, true, why) == nullptr);
    EXPECT(why.error == Errno(EBUSY));
    EXPECT(why.detail.find("tap0") != std::string::npos);
    EXPECT(Tap::open("tap0", Tap::Mode::ip, true, why) == nullptr);
    EXPECT(why.error == Errno::invalid);
    return std::string();
  });
  check_in_network_namespace([] {
    Failure why;
    EXPECT(test::drop_privileges());
    EXPECT(Tap::open("vpollnet0", Tap::Mode::ethernet, true, why) == nullptr);
    EXPECT(why.error == Errno::not_permitted);
    EXPECT(why.detail.find("ip tuntap add dev vpollnet0 mode tap") != std::string::npos);
    return std::string();
  });
}

TEST_CASE(
    "a device that is down loses frames and keeps its link; one that is deleted is reported") {
  check_in_network_namespace([] {
    auto network = Network::open(Pump::create());
    InterfaceId id = 0;
    EXPECT(!network->add_link(link("tap://tap0"), id));
    auto made = network->socket(socket::Type::udp);
    EXPECT(made);
    const Endpoint peer{.address = IpAddress::v4(10, 0, 0, 1), .port = 9};
    const auto sent = (*made)->send_to(test::bytes_of("x"), peer, 0);
    EXPECT(sent);
    EXPECT(network->take_link_changes().empty());

    EXPECT(test::set_up_host_side("tap0", "10.0.0.1"));
    EXPECT(test::delete_device("tap0"));
    std::vector<Network::LinkChange> changes;
    EXPECT(test::eventually([&] { return !(changes = network->take_link_changes()).empty(); }));
    EXPECT(changes.size() == 1);
    EXPECT(changes[0].interface == id);
    EXPECT(changes[0].url == "tap://tap0");
    EXPECT(!network->interfaces().back().up);
    EXPECT(network->take_link_changes().empty());
    (void)(*made)->send_to(test::bytes_of("x"), peer, 0);
    EXPECT(network->remove_link(id) == Errno::ok);
    return std::string();
  });
}

TEST_CASE("a network on a TAP speaks UDP and TCP with the kernel") {
  for (const bool offloads : {true, false}) {
    CAPTURE(offloads);
    check_in_network_namespace([offloads] {
      auto network = Network::open(Pump::create());
      InterfaceId id = 0;
      LinkSpec spec = link("tap://tap0");
      spec.offloads = offloads;
      EXPECT(!network->add_link(spec, id));
      EXPECT(test::set_up_host_side("tap0", "10.0.0.1"));

      const int kernel = kernel_socket(SOCK_DGRAM, 9);
      auto made = network->socket(socket::Type::udp);
      EXPECT(made);
      EXPECT((*made)->bind({.address = IpAddress::v4(10, 0, 0, 2), .port = 9}) == Errno::ok);
      const sockaddr_in us = to("10.0.0.2", 9);
      EXPECT(sendto(kernel, "ping", 4, 0, reinterpret_cast<const sockaddr*>(&us), sizeof us) == 4);
      EXPECT(wait_for(**made, POLLIN));
      std::array<std::uint8_t, 16> buffer{};
      const auto got = (*made)->receive(buffer, 0);
      EXPECT(got && got->copied == 4);
      EXPECT((*made)->send_to(test::bytes_of("pong!"), got->from, 0));
      EXPECT(recv(kernel, buffer.data(), buffer.size(), 0) == 5);
      ::close(kernel);
      return echo_through_kernel(*network, 3'000'000);
    });
  }
}

TEST_CASE("a network on a TUN speaks TCP with the kernel") {
  check_in_network_namespace([] {
    auto network = Network::open(Pump::create());
    InterfaceId id = 0;
    EXPECT(!network->add_link(link("tun://tun0"), id));
    EXPECT(network->interfaces().back().config.type == LinkType::ip);
    EXPECT(test::set_up_host_side("tun0", "10.0.0.1"));
    return echo_through_kernel(*network, 3'000'000);
  });
}

namespace {

/// A TAP or TUN that is open, as another program would hand it over.
int open_device(const char* name, int flags) {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(flags);
  return ioctl(fd, TUNSETIFF, &request) == 0 ? fd : -1;
}

std::string url_of(const char* scheme, int fd) {
  return std::string(scheme) + ":?fd=" + std::to_string(fd);
}

/// Why the link is refused; "" if it is not.
std::string why_not(const std::string& url, Errno& error) {
  auto network = Network::open(Pump::create());
  InterfaceId id = 0;
  const Failure failure = network->add_link(link(url.c_str()), id);
  error = failure.error;
  return failure.detail;
}

}  // namespace

TEST_CASE("a network on the descriptor of a TAP or TUN speaks TCP with the kernel") {
  struct Kind {
    const char* scheme;
    int flags;
    bool offloads;
  };
  for (const Kind kind : {
           Kind{"tap", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true},
           Kind{"tap", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, false},
           Kind{"tap", IFF_TAP | IFF_NO_PI, true},
           Kind{"tun", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true},
           Kind{"tun", IFF_TUN | IFF_NO_PI, true},
       }) {
    CAPTURE(kind.scheme);
    CAPTURE(kind.flags);
    check_in_network_namespace([kind] {
      const int fd = open_device("dev0", kind.flags);
      EXPECT(fd >= 0);
      // A header of another size, as a program that knows more of virtio would have set it.
      int header_size = 12;
      if ((kind.flags & IFF_VNET_HDR) != 0) EXPECT(ioctl(fd, TUNSETVNETHDRSZ, &header_size) == 0);
      auto network = Network::open(Pump::create());
      InterfaceId id = 0;
      LinkSpec spec = link("");
      spec.url = url_of(kind.scheme, fd);
      spec.offloads = kind.offloads;
      EXPECT(!network->add_link(spec, id));
      // The link has its own.
      EXPECT(::close(fd) == 0);
      EXPECT(test::set_up_host_side("dev0", "10.0.0.1"));
      const std::string failure = echo_through_kernel(*network, 3'000'000);
      if (!failure.empty()) return failure;
      // And closes it: the device goes.
      EXPECT(if_nametoindex("dev0") != 0);
      EXPECT(network->remove_link(id) == Errno::ok);
      EXPECT(test::eventually([] { return if_nametoindex("dev0") == 0; }));
      return std::string();
    });
  }
}

TEST_CASE(
    "the MTU of a descriptor's device is known where it is in this namespace, not in another") {
  check_in_network_namespace([] {
    const int fd = open_device("dev0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
    ifreq request{};
    std::strncpy(request.ifr_name, "dev0", IFNAMSIZ - 1);
    request.ifr_mtu = 9000;
    const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT(ioctl(control, SIOCSIFMTU, &request) == 0);
    Failure failure;
    EXPECT(Tap::adopt(fd, Tap::Mode::ethernet, true, failure)->capabilities().mtu == 9000);
    EXPECT(unshare(CLONE_NEWNET) == 0);
    // Another device of that name.
    const int other = open_device("dev0", IFF_TAP | IFF_NO_PI);
    EXPECT(other >= 0);
    auto tap = Tap::adopt(fd, Tap::Mode::ethernet, true, failure);
    EXPECT(tap->capabilities().mtu == 1500);
    EXPECT(tap->capabilities().offloads.segmentation);
    EXPECT(
        !Tap::adopt(other, Tap::Mode::ethernet, true, failure)->capabilities().offloads.checksum);
    return std::string();
  });
}

TEST_CASE("a descriptor that is no TAP, or not such a one, says so and stays as it is") {
  Errno error = Errno::ok;
  CHECK(why_not("tap:?fd=1000000", error) == "descriptor 1000000 is not open");
  CHECK(error == Errno::bad_descriptor);
  for (const char* file : {"/dev/null", "/dev/net/tun", "/etc/hostname"}) {
    const int fd = ::open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;  // not there, or not for this user
    const std::string what = "descriptor " + std::to_string(fd);
    const bool unattached = std::string(file) == "/dev/net/tun";
    CHECK(why_not(url_of("tap", fd), error) ==
          what + (unattached ? " is attached to no device yet: ioctl(TUNSETIFF)"
                             : " is no TUN or TAP"));
    CHECK(error == Errno::invalid);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    ::close(fd);
  }
  for (const char* url :
       {"tap:?fd=-1", "tap:?fd=x", "tap:?fd=", "tap:?fd=2147483648", "tun:?fd="}) {
    CHECK(why_not(url, error).find("'fd' is a whole number from 0 to 2147483647") == 0);
    CHECK(error == Errno::invalid);
  }
  CHECK(why_not("tap://tap0?fd=3", error) ==
        "a device has a name or a descriptor: tap://NAME or tap:?fd=N");
  check_in_network_namespace([] {
    Errno number = Errno::ok;
    const int tap = open_device("dev0", IFF_TAP | IFF_NO_PI);
    const int tun = open_device("dev1", IFF_TUN | IFF_NO_PI);
    EXPECT(why_not(url_of("tun", tap), number).find(" is a TAP, not a TUN") != std::string::npos);
    EXPECT(why_not(url_of("tap", tun), number).find(" is a TUN, not a TAP") != std::string::npos);
    auto network = Network::open(Pump::create());
    InterfaceId id = 0;
    LinkSpec spec = link("");
    spec.url = url_of("tap", tap);
    spec.reconnect = true;
    EXPECT(network->add_link(spec, id).detail.find("cannot be opened anew") != std::string::npos);
    EXPECT(if_nametoindex("dev0") != 0);
    return std::string();
  });
}

TEST_CASE("the kernel takes a large segment with a VLAN tag, of both families, and knows its tag") {
  check_in_network_namespace([] {
    Failure failure;
    BlockPool pool;
    auto tap = Tap::open("tap0", Tap::Mode::ethernet, true, failure);
    EXPECT(tap != nullptr);
    EXPECT(test::set_up_host_side("tap0", "10.0.0.1"));
    const int kernel = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    sockaddr_ll place{};
    place.sll_family = AF_PACKET;
    place.sll_protocol = htons(ETH_P_ALL);
    place.sll_ifindex = static_cast<int>(if_nametoindex("tap0"));
    EXPECT(bind(kernel, reinterpret_cast<sockaddr*>(&place), sizeof place) == 0);
    const int on = 1;
    EXPECT(setsockopt(kernel, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) == 0);
    const timeval limit{10, 0};
    setsockopt(kernel, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);

    for (const bool ipv6 : {false, true}) {
      const std::size_t ip_header = ipv6 ? 40 : 20;
      const std::size_t payload = 5000;
      std::vector<std::uint8_t> bytes(18 + ip_header + 20 + payload);
      bytes[0] = bytes[6] = 2;
      bytes[12] = 0x81;
      bytes[15] = 42;  // the VLAN
      bytes[16] = ipv6 ? 0x86 : 0x08;
      bytes[17] = ipv6 ? 0xdd : 0x00;
      bytes[18] = ipv6 ? 0x60 : 0x45;
      const auto length = static_cast<std::uint16_t>(payload + 20 + (ipv6 ? 0 : ip_header));
      bytes[18 + (ipv6 ? 4 : 2)] = static_cast<std::uint8_t>(length >> 8);
      bytes[18 + (ipv6 ? 5 : 3)] = static_cast<std::uint8_t>(length);
      bytes[18 + (ipv6 ? 6 : 9)] = 6;
      bytes[18 + ip_header + 12] = 5 << 4;
      Packet frame(pool.copy(bytes));
      frame.gso_size = 1440;
      frame.checksum = ChecksumState::partial;
      frame.checksum_from_end = static_cast<std::uint32_t>(20 + payload);
      frame.checksum_field = 16;
      EXPECT(tap->write(frame, pool) == Errno::ok);

      std::vector<std::uint8_t> got(bytes.size() + 64);
      std::vector<char> control(256);
      iovec piece{got.data(), got.size()};
      msghdr message{};
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      ssize_t size = 0;
      do {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        size = recvmsg(kernel, &message, 0);
        EXPECT(size > 0);
      } while (got[6] != 2 || got[0] != 2);  // the kernel's own multicast
      // The tag is taken off, and told apart.
      EXPECT(static_cast<std::size_t>(size) == bytes.size() - 4);
      const cmsghdr* const header = CMSG_FIRSTHDR(&message);
      EXPECT(header != nullptr && header->cmsg_type == PACKET_AUXDATA);
      tpacket_auxdata aux{};
      std::memcpy(&aux, CMSG_DATA(header), sizeof aux);
      EXPECT((aux.tp_status & TP_STATUS_VLAN_VALID) != 0);
      EXPECT(aux.tp_vlan_tci == 42);
    }
    ::close(kernel);
    return std::string();
  });
}
