// SPDX-License-Identifier: MIT
// Switches in a pump, with stacks and other switches on cables.
#include "host/switching/switch.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "host/links/cable.hpp"
#include "host/network.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::back_to;
using test::bytes_of;
using test::eventually;
using test::Holdings;

namespace {

SwitchPortSpec port(const char* url, const char* name = "") {
  SwitchPortSpec spec;
  spec.link.url = url;
  spec.name = name;
  return spec;
}

std::shared_ptr<Switch> switch_on(const std::shared_ptr<Pump>& pump,
                                  const std::vector<SwitchPortSpec>& ports) {
  auto made = Switch::open(pump, {});
  for (const SwitchPortSpec& spec : ports) {
    const Failure failure = made->add_port(spec);
    REQUIRE_MESSAGE(!failure, failure.detail);
  }
  return made;
}

std::shared_ptr<Network> stack_on(const std::shared_ptr<Pump>& pump, const char* url,
                                  const char* address, const char* mac = "") {
  auto network = Network::open(pump);
  LinkSpec spec;
  spec.url = url;
  spec.mac = mac;
  spec.ipv6 = false;
  spec.addresses = {*Cidr::parse(address)};
  InterfaceId id = 0;
  const Failure failure = network->add_link(spec, id);
  REQUIRE_MESSAGE(!failure, failure.detail);
  return network;
}

struct Speaker {
  explicit Speaker(const std::shared_ptr<Network>& network) {
    auto opened = network->socket(socket::Type::udp);
    REQUIRE(opened);
    socket = *opened;
    REQUIRE(socket->bind({.address = {}, .port = 7}) == Errno::ok);
  }
  void say(const char* to, std::string_view text) {
    CHECK(socket->send_to(bytes_of(text), {.address = *IpAddress::parse(to), .port = 7}, 0));
  }
  std::string heard() {
    std::array<std::uint8_t, 2048> buffer{};
    const auto got = socket->receive(buffer, 0);
    return got ? std::string(reinterpret_cast<const char*>(buffer.data()), got->copied) : "";
  }
  std::shared_ptr<SocketHandle> socket;
};

/// A member with a cable port, that sends frames and counts what comes.
class Station final : public PumpMember, private FrameReceiver {
 public:
  Station(std::shared_ptr<Pump> pump, const char* cable, const MacAddress& mac)
      : pump_(std::move(pump)) {
    Pump::Hold hold(*pump_);
    link_ = std::make_unique<CablePort>(pump_->cables().find_or_make(cable), mac, 1500, true,
                                        *pump_, *this);
  }
  ~Station() override {
    Pump::Hold hold(*pump_);
    link_ = nullptr;
    pump_->remove(*this);
  }
  void send(const MacAddress& to, const MacAddress& from, int frames = 1) {
    Pump::Hold hold(*pump_);
    for (int i = 0; i < frames; i++) {
      std::array<std::uint8_t, 60> bytes{};
      std::memcpy(&bytes[0], to.bytes.data(), 6);
      std::memcpy(&bytes[6], from.bytes.data(), 6);
      bytes[12] = 0x88;
      bytes[13] = 0xb5;
      link_->transmit(Packet(pump_->pool().copy(bytes)));
    }
  }
  bool run(Nanos now, int& budget) override { return link_->deliver(*this, now, budget); }
  Nanos next_deadline() const override { return kNever; }
  void receive(Packet&&, Nanos) override { heard++; }

  std::atomic<int> heard{0};

 private:
  std::shared_ptr<Pump> pump_;
  std::unique_ptr<CablePort> link_;
};

constexpr MacAddress mac(std::uint8_t number) { return {{2, 0, 0, 0, 0, number}}; }

}  // namespace

TEST_CASE("stacks on two cables talk through a switch within the call that sends") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:left"), port("cable:right")});
  auto one = stack_on(pump, "cable:left", "10.0.0.1/24");
  auto two = stack_on(pump, "cable:right", "10.0.0.2/24");
  Speaker left(one);
  Speaker right(two);
  left.say("10.0.0.2", "over there");
  CHECK(right.heard() == "over there");
  right.say("10.0.0.1", "and back");
  CHECK(left.heard() == "and back");
  const auto table = the_switch->table();
  REQUIRE(table.size() == 2);
  CHECK(table[0].port == "port0");
  CHECK(table[1].port == "port1");
  CHECK(table[0].vid == 1);
}

TEST_CASE("access ports of different VLANs are different networks") {
  auto pump = Pump::create();
  auto ten = port("cable:ten");
  ten.vlans.untagged = 10;
  auto twenty = port("cable:twenty");
  twenty.vlans.untagged = 20;
  auto also_ten = port("cable:also-ten");
  also_ten.vlans.untagged = 10;
  auto the_switch = switch_on(pump, {ten, twenty, also_ten});
  auto one = stack_on(pump, "cable:ten", "10.0.0.1/24");
  auto two = stack_on(pump, "cable:twenty", "10.0.0.2/24");
  auto three = stack_on(pump, "cable:also-ten", "10.0.0.2/24");
  Speaker speaker(one);
  Speaker other(two);
  Speaker same(three);
  speaker.say("10.0.0.2", "who hears it?");
  CHECK(other.heard() == "");
  CHECK(same.heard() == "who hears it?");
}

TEST_CASE("a trunk between two switches carries VLANs apart") {
  auto pump = Pump::create();
  const auto access = [](const char* url, std::uint16_t vid) {
    auto spec = port(url);
    spec.vlans.untagged = vid;
    return spec;
  };
  auto trunk = port("cable:trunk");
  trunk.vlans.untagged = 0;
  trunk.vlans.tagged.set(10).set(20);
  auto left = switch_on(pump, {access("cable:a", 10), access("cable:b", 20), trunk});
  auto right = switch_on(pump, {access("cable:c", 10), access("cable:d", 20), trunk});
  auto a = stack_on(pump, "cable:a", "10.0.0.1/24");
  auto b = stack_on(pump, "cable:b", "10.0.0.1/24");
  auto c = stack_on(pump, "cable:c", "10.0.0.2/24");
  auto d = stack_on(pump, "cable:d", "10.0.0.2/24");
  Speaker from_a(a);
  Speaker from_b(b);
  Speaker at_c(c);
  Speaker at_d(d);
  from_a.say("10.0.0.2", "ten");
  from_b.say("10.0.0.2", "twenty");
  CHECK(at_c.heard() == "ten");
  CHECK(at_d.heard() == "twenty");
  CHECK(at_c.heard() == "");
}

TEST_CASE("a cable gives a switch what is for nobody on it, and groups, but not its hosts' own") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:one"), port("cable:two")});
  Station first(pump, "one", mac(1));
  Station second(pump, "one", mac(2));
  Station far(pump, "two", mac(3));
  first.send(mac(2), mac(1));
  CHECK(second.heard == 1);
  CHECK(the_switch->ports()[0].link.frames_in == 0);
  first.send(mac(9), mac(1));
  CHECK(second.heard == 1);
  CHECK(the_switch->ports()[0].link.frames_in == 1);
  first.send(MacAddress::broadcast(), mac(1));
  CHECK(second.heard == 2);
  CHECK(far.heard == 1);  // the first is for nobody on that cable either
}

TEST_CASE("two switches on one cable pass on what is behind each other") {
  auto pump = Pump::create();
  auto left = switch_on(pump, {port("cable:left"), port("cable:middle")});
  auto right = switch_on(pump, {port("cable:middle"), port("cable:right")});
  Station a(pump, "left", mac(1));
  Station m(pump, "middle", mac(2));
  Station b(pump, "right", mac(3));
  a.send(mac(3), mac(1));
  CHECK(b.heard == 1);
  CHECK(m.heard == 0);
  b.send(mac(1), mac(3));
  CHECK(a.heard == 1);
  m.send(mac(3), mac(2));
  CHECK(b.heard == 2);
  CHECK(a.heard == 1);
}

TEST_CASE("a ring of cables does not hang the process: others get in, and it comes to rest") {
  auto pump = Pump::create();
  auto one = switch_on(pump, {port("cable:x"), port("cable:y"), port("cable:host")});
  auto two = switch_on(pump, {port("cable:x"), port("cable:y")});
  Station host(pump, "host", mac(1));
  for (int i = 0; i < 50; i++) host.send(MacAddress::broadcast(), mac(1));
  host.send(mac(7), mac(1), 50);
  const auto carried = [&] {
    std::uint64_t frames = 0;
    for (const auto& info : two->ports()) frames += info.link.frames_in;
    for (const auto& info : one->ports()) frames += info.link.frames_in;
    return frames;
  };
  std::uint64_t before = carried();
  CHECK(eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return std::exchange(before, carried()) == before;
  }));
  CHECK(host.heard == 0);
  const auto changes = two->take_changes();
  REQUIRE_FALSE(changes.empty());
  CHECK(changes[0].mac == mac(1));
  CHECK_FALSE(changes[0].echo.empty());
}

TEST_CASE("a switch is on a cable once") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:x")});
  const Failure failure = the_switch->add_port(port("cable:x"));
  CHECK(failure.error == Errno::address_in_use);
  CHECK(failure.detail.find("'x'") != std::string::npos);
  CHECK(the_switch->ports().size() == 1);
}

TEST_CASE("a port that is removed carries nothing, and its place and name are free") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:x", "left"), port("cable:y")});
  Station a(pump, "x", mac(1));
  Station b(pump, "y", mac(2));
  a.send(mac(2), mac(1));
  CHECK(b.heard == 1);
  CHECK(the_switch->add_port(port("cable:z", "left")).error == Errno::exists);
  CHECK(the_switch->remove_port("left") == Errno::ok);
  CHECK(the_switch->remove_port("left") == Errno::no_such_device);
  a.send(mac(2), mac(1));
  CHECK(b.heard == 1);
  CHECK(the_switch->table().empty());
  CHECK_FALSE(the_switch->add_port(port("cable:x", "left")));
  a.send(mac(2), mac(1));
  CHECK(b.heard == 2);
}

TEST_CASE("what is no link of Ethernet frames is refused, and nothing is left") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {});
  CHECK(the_switch->add_port(port("nonsense:x")).error == Errno::invalid);
  CHECK(the_switch->add_port(port("cable:x?y=1")).error == Errno::invalid);
  CHECK(the_switch->ports().empty());
}

TEST_CASE("a closed switch says EBADF, and leaves no descriptor and no thread") {
  const Holdings before;
  {
    auto pump = Pump::create();
    auto the_switch = switch_on(pump, {port("cable:x"), port("cable:y")});
    Station a(pump, "x", mac(1));
    a.send(mac(2), mac(1), 500);
    the_switch->close();
    the_switch->close();
    a.send(mac(2), mac(1), 500);
    CHECK(the_switch->add_port(port("cable:x")).error == Errno::bad_descriptor);
    CHECK(the_switch->remove_port("port0") == Errno::bad_descriptor);
    CHECK(the_switch->ports().empty());
    CHECK(the_switch->table().empty());
    CHECK(the_switch->take_changes().empty());
  }
  CHECK(back_to(before));
}

TEST_CASE("threads may add, remove, look and close while frames pass") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:x"), port("cable:y")});
  Station a(pump, "x", mac(1));
  Station b(pump, "y", mac(2));
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    while (!stop) a.send(mac(2), mac(1), 100);
  });
  for (int i = 0; i < 200; i++) {
    CHECK_FALSE(the_switch->add_port(port("cable:z", "z")));
    the_switch->table();
    the_switch->ports();
    CHECK(the_switch->remove_port("z") == Errno::ok);
  }
  CHECK(eventually([&] { return b.heard > 0; }));
  the_switch->close();
  stop = true;
  sender.join();
}

TEST_CASE("an idle switch does nothing") {
  auto pump = Pump::create();
  auto the_switch = switch_on(pump, {port("cable:x"), port("cable:y")});
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  CHECK((after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec <
        20'000'000);
}
