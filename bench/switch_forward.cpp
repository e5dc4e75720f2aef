// SPDX-License-Identifier: MIT
// Frames a second that a switch forwards between two cables: bench_switch_forward [seconds]
//
// A station on one cable sends frames of 60 bytes to one on the other, both in this process, as
// stacks would. Prints how many a second arrived. What it takes to make a frame (a block, a copy of
// 60 bytes) and to free it is in the figure.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "host/clock.hpp"
#include "host/links/cable.hpp"
#include "host/pump.hpp"
#include "host/switching/switch.hpp"

namespace {

using namespace vpollnet;
using namespace vpollnet::host;

/// So many frames fit a hold of the pump's lock: they come to the switch, then to the receiver.
constexpr int kBatch = Pump::kFramesPerHold / 2;

class Station final : public PumpMember, private FrameReceiver {
 public:
  Station(std::shared_ptr<Pump> pump, const char* cable, std::uint8_t number)
      : pump_(std::move(pump)), mac_{{2, 0, 0, 0, 0, number}} {
    Pump::Hold hold(*pump_);
    link_ = std::make_unique<CablePort>(pump_->cables().find_or_make(cable), mac_, 1500, true,
                                        *pump_, *this);
  }
  ~Station() override {
    Pump::Hold hold(*pump_);
    link_ = nullptr;
    pump_->remove(*this);
  }

  void send(const Station& to, int frames) {
    std::array<std::uint8_t, 60> bytes{};
    std::memcpy(&bytes[0], to.mac_.bytes.data(), 6);
    std::memcpy(&bytes[6], mac_.bytes.data(), 6);
    bytes[12] = 0x88;  // IEEE 802 local experimental EtherType 1
    bytes[13] = 0xb5;
    Pump::Hold hold(*pump_);
    for (int i = 0; i < frames; i++) link_->transmit(Packet(pump_->pool().copy(bytes)));
  }
  std::uint64_t received() const {
    Pump::Hold hold(*pump_);
    return received_;
  }

  bool run(Nanos now, int& budget) override { return link_->deliver(*this, now, budget); }
  Nanos next_deadline() const override { return kNever; }

 private:
  void receive(Packet&&, Nanos) override { received_++; }

  std::shared_ptr<Pump> pump_;
  MacAddress mac_;
  std::unique_ptr<CablePort> link_;
  std::uint64_t received_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const auto pump = Pump::create();
  const auto the_switch = Switch::open(pump, {});
  for (const char* url : {"cable:one", "cable:two"}) {
    SwitchPortSpec port;
    port.link.url = url;
    if (const Failure failure = the_switch->add_port(port)) {
      std::fprintf(stderr, "%s: %s\n", url, failure.detail.c_str());
      return 1;
    }
  }
  Station sender(pump, "one", 1);
  Station receiver(pump, "two", 2);
  receiver.send(sender, 1);  // from now on the switch knows both
  sender.send(receiver, 1);
  const std::uint64_t before = receiver.received();
  const Nanos begin = monotonic_now();
  const Nanos end = begin + static_cast<Nanos>(seconds * static_cast<double>(kSecond));
  Nanos now = begin;
  for (; now < end; now = monotonic_now()) {
    for (int i = 0; i < 100; i++) sender.send(receiver, kBatch);
  }
  const auto frames = static_cast<double>(receiver.received() - before);
  std::printf("%.0f\n", frames * static_cast<double>(kSecond) / static_cast<double>(now - begin));
  return 0;
}
