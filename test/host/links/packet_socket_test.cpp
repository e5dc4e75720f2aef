// SPDX-License-Identifier: MIT
// A packet socket on one end of a veth pair, in a network namespace; what comes is sent by another
// socket at the other end. TCP over it is tested in test/links/packet.test.ts.
#include "host/links/packet_socket.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <cstdlib>
#include <vector>

#include "host/namespace.hpp"
#include "host/support.hpp"
#include "wire/ethernet.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::check_in_network_namespace;

#define EXPECT(condition)                                                                          \
  if (!(condition)) return std::string(#condition)

namespace {

const MacAddress kMine{{2, 0, 0, 0, 0, 1}};
const MacAddress kOther{{2, 0, 0, 0, 0, 2}};
constexpr std::uint16_t kType = 0x88b5;  // IEEE 802 local experimental

bool make_pair() {
  // The kernel says nothing by itself without IPv6.
  const char* const command =
      "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; "
      "ip link add pk0 type veth peer name pk1 && ip link set pk0 mtu 1500 up && "
      "ip link set pk1 up";
  return std::system(command) == 0;
}

/// A raw socket on `name`, with a virtio_net_hdr before each frame.
int raw_socket(const char* name) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  const int on = 1;
  setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(name));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  return fd;
}

std::vector<std::uint8_t> frame_to(const MacAddress& mac, std::size_t payload,
                                   std::vector<std::uint8_t> behind_addresses = {0x88, 0xb5}) {
  std::vector<std::uint8_t> frame(mac.bytes.begin(), mac.bytes.end());
  frame.insert(frame.end(), {2, 0, 0, 0, 0, 9});
  frame.insert(frame.end(), behind_addresses.begin(), behind_addresses.end());
  for (std::size_t i = 0; i < payload; i++) frame.push_back(static_cast<std::uint8_t>(i));
  return frame;
}

bool send_frame(int fd, const std::vector<std::uint8_t>& frame, VnetHeader header = {}) {
  std::vector<std::uint8_t> all(sizeof header);
  std::memcpy(all.data(), &header, sizeof header);
  all.insert(all.end(), frame.begin(), frame.end());
  return ::send(fd, all.data(), all.size(), 0) == static_cast<ssize_t>(all.size());
}

struct Reader {
  explicit Reader(const MacAddress& mac, const char* name = "pk0")
      : device(PacketSocket::open(name, mac, true, failure)) {
    if (device != nullptr) device->count_in(counters);
  }
  /// Reads until `count` frames of ours are there.
  bool read(std::size_t count) {
    return test::eventually([&] {
      std::vector<Packet> some;
      last = device->read(16, pool, some);
      for (Packet& frame : some) {
        std::array<std::uint8_t, 18> front{};
        frame.copy_out(0, front);
        const int type = front[12] << 8 | front[13];
        if (type == kType || type == wire::kEtherVlan || front[11] == 9) {
          frames.push_back(std::move(frame));
        }
      }
      return frames.size() >= count;
    });
  }
  std::vector<std::uint8_t> bytes(std::size_t index) {
    const auto linear = frames[index].linear(pool);
    return {linear.begin(), linear.end()};
  }

  BlockPool pool;
  Failure failure;
  LinkCounters counters;
  std::unique_ptr<PacketSocket> device;
  std::vector<Packet> frames;
  Errno last = Errno::ok;
};

}  // namespace

TEST_CASE("a packet socket takes what is for its address and for groups, and leaves the rest") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    Reader reader(kMine);
    Reader all{MacAddress{}};
    EXPECT(reader.device != nullptr && all.device != nullptr);
    const int far = raw_socket("pk1");
    const auto mine = frame_to(kMine, 100);
    const auto group = frame_to({{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, 50);
    EXPECT(send_frame(far, frame_to(kOther, 70)));
    EXPECT(send_frame(far, mine));
    EXPECT(send_frame(far, group));
    EXPECT(reader.read(2));
    EXPECT(reader.bytes(0) == mine);
    EXPECT(reader.bytes(1) == group);
    EXPECT(all.read(3));
    EXPECT(all.bytes(0) == frame_to(kOther, 70));
    return std::string();
  });
}

TEST_CASE("a packet socket does not hear what goes out over its interface") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    Reader reader{MacAddress{}};
    EXPECT(reader.device != nullptr);
    const auto bytes = frame_to(kOther, 60);
    Packet frame(reader.pool.copy(bytes));
    EXPECT(reader.device->write(frame, reader.pool) == Errno::ok);
    EXPECT(send_frame(raw_socket("pk0"), bytes));  // and of another program
    EXPECT(send_frame(raw_socket("pk1"), frame_to(kMine, 61)));
    EXPECT(reader.read(1));
    EXPECT(reader.frames.size() == 1);
    EXPECT(reader.bytes(0) == frame_to(kMine, 61));
    return std::string();
  });
}

TEST_CASE("a VLAN tag that the kernel took off is put back, and the checksum's place with it") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    Reader reader(kMine);
    EXPECT(reader.device != nullptr);
    const int far = raw_socket("pk1");
    const auto tagged = frame_to(kMine, 80, {0x81, 0x00, 0xa0, 0x05, 0x88, 0xb5});
    EXPECT(send_frame(far, tagged));
    VnetHeader partial;
    partial.flags = VnetHeader::kNeedsChecksum;
    partial.checksum_start = 18 + 20;
    partial.checksum_offset = 6;
    EXPECT(send_frame(far, tagged, partial));
    EXPECT(reader.read(2));
    EXPECT(reader.bytes(0) == tagged);
    EXPECT(reader.bytes(1) == tagged);
    EXPECT(reader.frames[1].checksum == ChecksumState::partial);
    EXPECT(reader.frames[1].checksum_from_end == 60);
    EXPECT(reader.frames[1].checksum_field == 6);
    return std::string();
  });
}

TEST_CASE("datagrams that the kernel has as one large packet come one by one") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    EXPECT(std::system("ip address add 10.0.0.1/24 dev pk1 && "
                       "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev pk1") == 0);
    Reader reader{MacAddress{}};
    EXPECT(reader.device != nullptr);
    const int sender = ::socket(AF_INET, SOCK_DGRAM, 0);
    const int segment = 1000;
    EXPECT(setsockopt(sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    inet_pton(AF_INET, "10.0.0.2", &to.sin_addr);
    const std::vector<char> data(10'500);
    EXPECT(sendto(sender, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&to),
                  sizeof to) == static_cast<ssize_t>(data.size()));
    std::vector<std::size_t> sizes;
    EXPECT(test::eventually([&] {
      std::vector<Packet> some;
      reader.device->read(64, reader.pool, some);
      for (const Packet& frame : some) {
        std::array<std::uint8_t, 6> to_whom{};
        frame.copy_out(0, to_whom);
        if (to_whom == kMine.bytes) sizes.push_back(frame.size());
        if (frame.gso_size != 0) return false;
      }
      return sizes.size() == 11;
    }));
    EXPECT(sizes.front() == 14 + 20 + 8 + 1000);
    EXPECT(sizes.back() == 14 + 20 + 8 + 500);
    return std::string();
  });
}

TEST_CASE("a packet larger than a slot of the ring comes whole, in its place") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    EXPECT(std::system("ip link set pk1 mtu 60000") == 0);
    Reader reader(kMine);
    EXPECT(reader.device != nullptr);
    const int far = raw_socket("pk1");
    EXPECT(std::system("ip link set pk0 mtu 60000") == 0);  // the ring is made by now
    for (const std::size_t size : {100, 50'000, 200, 1900, 2100, 300}) {
      EXPECT(send_frame(far, frame_to(kMine, size)));
    }
    const auto tagged = frame_to(kMine, 40'000, {0x81, 0x00, 0x00, 0x07, 0x88, 0xb5});
    EXPECT(send_frame(far, tagged));
    EXPECT(reader.read(7));
    std::size_t index = 0;
    for (const std::size_t size : {100, 50'000, 200, 1900, 2100, 300}) {
      EXPECT(reader.bytes(index++) == frame_to(kMine, size));
    }
    EXPECT(reader.bytes(6) == tagged);
    EXPECT(reader.counters.dropped() == 0);
    return std::string();
  });
}

TEST_CASE("what a full ring loses is counted, and it goes on afterwards") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    Reader reader(kMine);
    EXPECT(reader.device != nullptr);
    const int far = raw_socket("pk1");
    const auto frame = frame_to(kMine, 100);
    constexpr std::size_t kSent = 6000;
    for (std::size_t i = 0; i < kSent; i++) EXPECT(send_frame(far, frame));
    EXPECT(reader.read(4000));
    while (reader.last == Errno::ok) reader.read(0);
    for (std::size_t i = 0; i < 10; i++) EXPECT(send_frame(far, frame));
    const std::size_t before = reader.frames.size();
    EXPECT(reader.read(before + 10));
    const std::uint64_t lost = reader.counters.dropped(LinkDrop::queue_full);
    EXPECT(lost > 0);
    EXPECT(reader.frames.size() + lost == kSent + 10);
    return std::string();
  });
}

TEST_CASE("an interface that goes down, or away, is the end of its packet socket") {
  for (const char* command : {"ip link set pk0 down", "ip link delete pk0"}) {
    CAPTURE(command);
    check_in_network_namespace([command] {
      EXPECT(make_pair());
      Reader reader(kMine);
      EXPECT(reader.device != nullptr);
      EXPECT(std::system(command) == 0);
      Errno error = Errno::ok;
      std::vector<Packet> some;
      EXPECT(test::eventually([&] {
        error = reader.device->read(16, reader.pool, some);
        return error != Errno::ok && error != Errno::again;
      }));
      EXPECT(error == Errno::network_down);
      Packet frame(reader.pool.copy(frame_to(kOther, 60)));
      EXPECT(reader.device->is_gone(reader.device->write(frame, reader.pool)));
      return std::string();
    });
  }
}

TEST_CASE("a packet socket that cannot be had says why, and leaves nothing open") {
  check_in_network_namespace([] {
    EXPECT(make_pair());
    const test::Holdings before;
    for (const char* name : {"nosuch0", "", "a-name-that-is-too-long"}) {
      Reader reader(kMine, name);
      EXPECT(reader.device == nullptr);
      EXPECT(reader.failure.error == Errno::no_such_device);
      EXPECT(reader.failure.detail.find("pk0") != std::string::npos);
    }
    EXPECT(std::system("ip link set pk0 down") == 0);
    Reader down(kMine);
    EXPECT(down.device == nullptr);
    EXPECT(down.failure.error == Errno::network_down);
    Reader loopback(kMine, "lo");
    EXPECT(loopback.failure.error == Errno::invalid);
    EXPECT(test::drop_privileges());
    Reader unprivileged(kMine);
    EXPECT(unprivileged.failure.error == Errno::not_permitted);
    EXPECT(unprivileged.failure.detail.find("cap_net_raw") != std::string::npos);
    EXPECT(test::entries_of("/proc/self/fd") == before.descriptors);
    return std::string();
  });
}
