// SPDX-License-Identifier: MIT
#include "host/links/link_port.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::eventually;

namespace {

/// Keeps what is sent, and delivers what it is given.
class FakeLink final : public Link {
 public:
  explicit FakeLink(std::vector<Packet>& sent) : sent_(sent) {
    capabilities_.offloads = {.segmentation = true, .checksum = true};
  }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  void transmit(Packet&& frame) override {
    if (refuse) return counters_.drop(LinkDrop::queue_full);
    sent_.push_back(std::move(frame));
    sent_frames++;
  }
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) override {
    while (!arrived.empty() && budget > 0) {
      budget--;
      Packet frame = std::move(arrived.front());
      arrived.erase(arrived.begin());
      receiver.receive(std::move(frame), now);
    }
    return arrived.empty();
  }

  std::vector<Packet> arrived;
  bool refuse = false;
  std::atomic<int> sent_frames{0};

 private:
  std::vector<Packet>& sent_;
  LinkCapabilities capabilities_;
};

struct Owner final : PumpMember, FrameReceiver {
  explicit Owner(std::shared_ptr<Pump> its_pump) : pump(std::move(its_pump)) {
    auto made = std::make_unique<FakeLink>(sent);
    link = made.get();
    Pump::Hold hold(*pump);
    port = std::make_unique<LinkPort>("eth0", "fake:", std::move(made), *pump, *this);
  }
  ~Owner() override {
    Pump::Hold hold(*pump);
    port = nullptr;
    sent.clear();
    received.clear();
    pump->remove(*this);
  }
  bool run(Nanos now, int& budget) override { return port->deliver(*this, now, budget); }
  Nanos next_deadline() const override { return port->next_deadline(); }
  void receive(Packet&& frame, Nanos) override { received.push_back(std::move(frame)); }
  std::string_view drop_reason() const override { return reason; }

  Packet frame(std::size_t size = 100) {
    return Packet(pump->pool().copy(std::vector<std::uint8_t>(size, 0x45)));
  }
  /// TCP over IPv4 over Ethernet, `segments` of 1000 bytes in one packet.
  Packet large(std::size_t segments) {
    std::vector<std::uint8_t> bytes(14 + 20 + 20 + segments * 1000, 7);
    bytes[12] = 0x08;
    bytes[13] = 0x00;
    bytes[14] = 0x45;
    bytes[16] = static_cast<std::uint8_t>((bytes.size() - 14) >> 8);
    bytes[17] = static_cast<std::uint8_t>(bytes.size() - 14);
    bytes[23] = 6;
    bytes[14 + 20 + 12] = 0x50;
    Packet packet(pump->pool().copy(bytes));
    packet.gso_size = 1000;
    packet.checksum = ChecksumState::partial;
    packet.checksum_from_end = static_cast<std::uint32_t>(bytes.size() - 34);
    packet.checksum_field = 16;
    return packet;
  }
  std::size_t count(const std::vector<Packet>& frames) const {
    Pump::Hold hold(*pump);
    return frames.size();
  }

  std::shared_ptr<Pump> pump;
  std::vector<Packet> sent;
  std::vector<Packet> received;
  std::string_view reason;
  FakeLink* link = nullptr;
  std::unique_ptr<LinkPort> port;
};

}  // namespace

TEST_CASE("port: frames of both directions are delayed, and the pump wakes for them") {
  Owner owner(Pump::create());
  {
    Pump::Hold hold(*owner.pump);
    owner.port->impair({.in = {{.delay = 5 * kMillisecond}}, .out = {{.delay = 5 * kMillisecond}}});
    owner.port->transmit(owner.frame());
    owner.link->arrived.push_back(owner.frame());
    CHECK(owner.sent.empty());
  }
  CHECK(owner.count(owner.received) == 0);
  CHECK(eventually([&] { return owner.count(owner.sent) == 1; }));
  CHECK(eventually([&] { return owner.count(owner.received) == 1; }));
}

TEST_CASE("port: a frame that is sent later, by itself, wakes the pump too") {
  Owner owner(Pump::create());
  {
    Pump::Hold hold(*owner.pump);
    owner.port->impair({.in = {}, .out = {{.delay = 5 * kMillisecond}}});
  }
  CHECK(owner.count(owner.sent) == 0);
  {
    Pump::Hold hold(*owner.pump);
    owner.port->transmit(owner.frame());
  }
  CHECK(eventually([&] { return owner.link->sent_frames == 1; }));
}

TEST_CASE("port: lost frames are counted by reason, and by the impairment") {
  Owner owner(Pump::create());
  Pump::Hold hold(*owner.pump);
  owner.port->impair({.in = {}, .out = {{.loss = 1, .seed = 5}}});
  for (int i = 0; i < 3; i++) owner.port->transmit(owner.frame());
  CHECK(owner.sent.empty());
  CHECK(owner.port->counters().dropped(LinkDrop::impaired_loss) == 3);
  const auto info = owner.port->impairment(pcapng::Direction::outbound);
  REQUIRE(info);
  CHECK(info->counters.lost == 3);
  CHECK(info->config.seed == 5);
  CHECK_FALSE(owner.port->impairment(pcapng::Direction::inbound));
}

TEST_CASE("port: a large packet is cut up before it is impaired, in both directions") {
  Owner owner(Pump::create());
  Pump::Hold hold(*owner.pump);
  int budget = 1000;
  SUBCASE("cut") {
    owner.port->impair({.in = {{.duplicate = 1e-300}}, .out = {{.duplicate = 1e-300}}});
    owner.port->transmit(owner.large(20));
    owner.link->arrived.push_back(owner.large(20));
    owner.port->deliver(owner, hold.now(), budget);
    REQUIRE(owner.sent.size() == 20);
    REQUIRE(owner.received.size() == 20);
    CHECK(owner.sent[0].gso_size == 0);
    CHECK(owner.sent[0].size() == 1054);
    CHECK(owner.received[0].gso_size == 0);
  }
  SUBCASE("whole where only the other direction is impaired") {
    owner.port->impair({.in = {{.loss = 1}}, .out = {}});
    owner.port->transmit(owner.large(20));
    CHECK(owner.sent.size() == 1);
  }
}

TEST_CASE("port: an impairment that is taken off lets through what waits, then is gone") {
  Owner owner(Pump::create());
  Pump::Hold hold(*owner.pump);
  int budget = 10;
  owner.port->impair({.in = {{.delay = kSecond}}, .out = {{.delay = kSecond}}});
  for (int i = 0; i < 12; i++) owner.port->transmit(owner.frame());
  owner.port->impair({.in = ImpairmentConfig(), .out = ImpairmentConfig()});
  CHECK(owner.port->next_deadline() <= hold.now());
  CHECK_FALSE(owner.port->deliver(owner, hold.now(), budget));
  CHECK(owner.sent.size() == 10);
  budget = 10;
  CHECK(owner.port->deliver(owner, hold.now(), budget));
  CHECK(owner.sent.size() == 12);
  CHECK(owner.port->next_deadline() == kNever);
  owner.port->transmit(owner.frame());
  CHECK(owner.sent.size() == 13);
}

TEST_CASE("port: a recording says why a frame was dropped, by the link or by the owner") {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  Owner owner(Pump::create());
  Failure failure;
  auto recording = Recording::open(*owner.pump, {.path = "", .descriptor = ends[1]}, failure);
  ::close(ends[1]);
  REQUIRE(recording != nullptr);
  {
    Pump::Hold hold(*owner.pump);
    owner.port->record(recording);
    owner.port->transmit(owner.frame(61));
    owner.link->refuse = true;
    owner.port->transmit(owner.frame(62));
    int budget = 10;
    owner.link->arrived.push_back(owner.frame(63));
    owner.port->deliver(owner, hold.now(), budget);
    owner.reason = "made_up";
    owner.link->arrived.push_back(owner.frame(64));
    owner.port->deliver(owner, hold.now(), budget);
    owner.port->stop_recording(*recording);
    recording->finish();
  }
  std::string file(65536, 0);
  std::size_t size = 0;
  for (ssize_t got = 0; (got = ::read(ends[0], &file[size], file.size() - size)) > 0;) {
    size += static_cast<std::size_t>(got);
  }
  file.resize(size);
  ::close(ends[0]);
  CHECK(recording->wait(10'000));
  const std::size_t refused = file.find("dropped: queue_full");
  const std::size_t dropped = file.find("dropped: made_up");
  REQUIRE(refused != std::string::npos);
  REQUIRE(dropped != std::string::npos);
  // Each once, in the order of the frames; and the link's once more, in its statistics.
  CHECK(refused < dropped);
  CHECK(file.find("dropped: ", refused + 1) == dropped);
  CHECK(file.find("dropped by the link: queue_full 1") > dropped);
  CHECK(recording->totals().frames == 4);
}
