// SPDX-License-Identifier: MIT
#include "host/switching/switch.hpp"

#include <algorithm>

#include "host/inspection.hpp"
#include "host/links/link_opening.hpp"
#include "host/links/link_port.hpp"
#include "host/links/recordings.hpp"
#include "host/pump.hpp"
#include "host/random.hpp"

namespace vpollnet::host {
namespace {

/// Frames of one port before the next has its turn.
constexpr int kFramesPerTurn = 32;

class SwitchImplementation final : public Switch,
                                   private PumpMember,
                                   private BridgeSink,
                                   private Inspected {
 public:
  SwitchImplementation(std::shared_ptr<Pump> pump, const BridgeConfig& config)
      : pump_(std::move(pump)), bridge_(config, random_secret(), pump_->pool(), *this) {
    Pump::Hold hold(*pump_);
    pump_->inspector().add(*this);
  }
  ~SwitchImplementation() override { close(); }

  Failure add_port(const SwitchPortSpec& spec) override;
  Errno remove_port(const std::string& name) override;
  std::vector<PortInfo> ports() override;
  std::vector<Heard> table() override;
  std::uint64_t evictions() override;
  Errno impair(PortNumber number, const LinkImpairment& impairment) override;
  std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) override;
  void stop_recording(const std::shared_ptr<Recording>& recording) override;
  std::vector<Change> take_changes() override;
  void close() override;

 private:
  struct Port final : FrameReceiver {
    Port(Bridge& its_bridge, LinkPort&& its_link) : bridge(its_bridge), link(std::move(its_link)) {}
    void receive(Packet&& frame, Nanos now) override {
      bridge.receive(number, std::move(frame), now);
    }

    std::string_view drop_reason() const override {
      const BridgeDrop reason = bridge.last_drop();
      if (reason == BridgeDrop::count_) return {};
      return kBridgeDropNames[static_cast<std::size_t>(reason)];
    }

    Bridge& bridge;
    PortNumber number = MacTable::kNoPort;
    BridgePort config;
    LinkPort link;
  };

  bool run(Nanos now, int& budget) override;
  Nanos next_deadline() const override { return deadline_; }
  void transmit(PortNumber number, Packet&& frame) override {
    by_number_[number]->link.transmit(std::move(frame));
  }
  void on_loop(const BridgeLoop& loop) override;
  void describe(JsonWriter& json) override;
  const socket::SocketTable* socket_table() override { return nullptr; }

  void note(Change&& change);
  Port* find(const std::string& name);
  Port* find(std::uint32_t number) {
    return number < by_number_.size() ? by_number_[number] : nullptr;
  }
  /// EBADF, ENODEV.
  Failure check_links(const RecordingSpec& spec);
  /// For Recordings: calls its argument with the number and the LinkPort of each.
  auto each_port();
  std::string free_name();

  std::shared_ptr<Pump> pump_;
  // Guarded by the pump's lock.
  Bridge bridge_;
  std::vector<std::unique_ptr<Port>> ports_;  ///< in the order in which they were added
  std::vector<Port*> by_number_;              ///< the bridge's numbers
  std::size_t first_ = 0;                     ///< whose turn it is
  Nanos deadline_ = kNever;
  Recordings recordings_;
  std::vector<Change> changes_;
  bool closed_ = false;
};

// --- run by the pump ---

bool SwitchImplementation::run(Nanos now, int& budget) {
  bool all_taken = true;
  deadline_ = kNever;
  const std::size_t count = ports_.size();
  for (std::size_t i = 0; i < count; i++) {
    Port& port = *ports_[(first_ + i) % count];
    // In turns, so that a busy port does not keep the others from being heard.
    const int turn = std::min(budget, kFramesPerTurn);
    int left = turn;
    all_taken &= port.link.deliver(port, now, left);
    budget -= turn - left;
    if (port.link.take_change()) {
      const Errno failure = port.link.link().failure();
      bridge_.set_up(port.number, failure == Errno::ok);
      note({port.link.name(), port.link.url(), failure, "", {}, 0});
    }
    deadline_ = std::min(deadline_, port.link.next_deadline());
  }
  if (count > 0) first_ = (first_ + 1) % count;
  return all_taken;
}

void SwitchImplementation::on_loop(const BridgeLoop& loop) {
  const Port& port = *by_number_[loop.port];
  note({port.link.name(), port.link.url(), Errno::ok, by_number_[loop.echo]->link.name(),
        MacTable::mac_of(loop.key), MacTable::vid_of(loop.key)});
}

void SwitchImplementation::note(Change&& change) {
  if (changes_.size() == kChanges) changes_.erase(changes_.begin());
  changes_.push_back(std::move(change));
}

// --- ports ---

SwitchImplementation::Port* SwitchImplementation::find(const std::string& name) {
  const auto found = std::find_if(ports_.begin(), ports_.end(),
                                  [&](const auto& port) { return port->link.name() == name; });
  return found == ports_.end() ? nullptr : found->get();
}

std::string SwitchImplementation::free_name() {
  for (unsigned number = 0;; number++) {
    std::string name = "port" + std::to_string(number);
    if (find(name) == nullptr) return name;
  }
}

Failure SwitchImplementation::add_port(const SwitchPortSpec& spec) {
  LinkSpec wanted = spec.link;
  wanted.promiscuous = true;
  LinkPlan plan;
  Failure failure = plan_link(wanted, plan);
  if (failure) return failure;
  const std::uint32_t mtu = plan.mtu;

  Pump::Hold hold(*pump_);
  if (closed_) return {Errno::bad_descriptor, "", ""};
  if (!spec.name.empty() && find(spec.name) != nullptr) {
    return {Errno::exists, "", "the switch has a port '" + spec.name + "'"};
  }
  std::unique_ptr<Link> link;
  failure = make_link(std::move(plan), *pump_, *this, link);
  if (failure) return failure;
  const LinkCapabilities& is = link->capabilities();
  if (is.type != LinkType::ethernet) {
    return {Errno::invalid, "",
            "the link carries IP packets, and a switch joins links of Ethernet frames, such as "
            "cable:NAME or tap://NAME"};
  }
  const Offloads offloads = is.offloads;
  LinkPort around(spec.name.empty() ? free_name() : spec.name, spec.link.url, std::move(link),
                  *pump_, *this);
  auto port = std::make_unique<Port>(bridge_, std::move(around));
  port->config = {.vlans = spec.vlans, .mtu = mtu, .offloads = offloads};
  port->number = bridge_.add_port(port->config);
  if (port->number == MacTable::kNoPort) {
    return {Errno::too_many_open, "",
            "a switch has at most " + std::to_string(Bridge::kMostPorts) + " ports"};
  }
  port->link.impair(spec.link.impairment);
  recordings_.join(port->link);
  if (port->number == by_number_.size()) by_number_.emplace_back();
  by_number_[port->number] = port.get();
  ports_.push_back(std::move(port));
  pump_->touch(*this);
  return {};
}

Errno SwitchImplementation::remove_port(const std::string& name) {
  Pump::Hold hold(*pump_);
  if (closed_) return Errno::bad_descriptor;
  Port* port = find(name);
  if (port == nullptr) return Errno::no_such_device;
  bridge_.remove_port(port->number);
  by_number_[port->number] = nullptr;
  std::erase_if(ports_, [port](const auto& one) { return one.get() == port; });
  pump_->touch(*this);
  return Errno::ok;
}

// --- what there is ---

std::vector<Switch::PortInfo> SwitchImplementation::ports() {
  Pump::Hold hold(*pump_);
  std::vector<PortInfo> all;
  for (const auto& port : ports_) {
    all.push_back({.number = port->number,
                   .name = port->link.name(),
                   .url = port->link.url(),
                   .vlans = port->config.vlans,
                   .mtu = port->config.mtu,
                   .failure = port->link.link().failure(),
                   .link = port->link.counters(),
                   .bridge = bridge_.counters(port->number),
                   .impairment_in = port->link.impairment(pcapng::Direction::inbound),
                   .impairment_out = port->link.impairment(pcapng::Direction::outbound)});
  }
  return all;
}

std::vector<Switch::Heard> SwitchImplementation::table() {
  Pump::Hold hold(*pump_);
  std::vector<Heard> all;
  for (const MacTable::Listed& entry : bridge_.table().list(hold.now())) {
    all.push_back({entry.mac, entry.vid, by_number_[entry.port]->link.name(), entry.age});
  }
  return all;
}

std::uint64_t SwitchImplementation::evictions() {
  Pump::Hold hold(*pump_);
  return bridge_.table().evictions();
}

std::vector<Switch::Change> SwitchImplementation::take_changes() {
  Pump::Hold hold(*pump_);
  return std::exchange(changes_, {});
}

void SwitchImplementation::describe(JsonWriter& json) {
  json.field("kind", "switch");
  json.field("name", "");
  json.field("addresses", static_cast<std::uint64_t>(bridge_.table().size()));
  json.field("evictions", bridge_.table().evictions());
  describe_list(json, "ports", "portsLeftOut", ports_, [&](const auto& port) {
    const BridgePortCounters& bridge = bridge_.counters(port->number);
    const LinkCounters link = port->link.counters();
    json.field("name", port->link.name());
    json.field("url", port->link.url());
    json.field("errno", static_cast<std::uint64_t>(port->link.link().failure()));
    json.field("vlan", static_cast<std::uint64_t>(port->config.vlans.untagged));
    json.field("tagged", static_cast<std::uint64_t>(port->config.vlans.tagged.count()));
    describe_traffic(json, link);
    json.field("flooded", bridge.flooded);
    json.field("moved", bridge.moved);
    json.begin_object("drops");
    describe_drops(json, link.drops, kLinkDropNames);
    describe_drops(json, bridge.drops, kBridgeDropNames);
    json.end_object();
  });
}

// --- around the links ---

Errno SwitchImplementation::impair(PortNumber number, const LinkImpairment& impairment) {
  Pump::Hold hold(*pump_);
  if (closed_) return Errno::bad_descriptor;
  Port* port = find(number);
  if (port == nullptr) return Errno::no_such_device;
  port->link.impair(impairment);
  pump_->touch(*this);
  return Errno::ok;
}

Failure SwitchImplementation::check_links(const RecordingSpec& spec) {
  if (closed_) return {Errno::bad_descriptor, "", ""};
  if (!spec.links) return {};
  for (const std::uint32_t number : *spec.links) {
    if (find(number) == nullptr)
      return {Errno::no_such_device, "", "port " + std::to_string(number)};
  }
  return {};
}

auto SwitchImplementation::each_port() {
  return [this](auto visit) {
    for (const auto& port : ports_) visit(port->number, port->link);
  };
}

std::shared_ptr<Recording> SwitchImplementation::record(const RecordingSpec& spec,
                                                        Failure& failure) {
  return recordings_.start(
      *pump_, spec, failure, [&] { return check_links(spec); }, each_port());
}

void SwitchImplementation::stop_recording(const std::shared_ptr<Recording>& recording) {
  recordings_.stop(*pump_, recording, each_port());
}

void SwitchImplementation::close() {
  std::vector<std::shared_ptr<Recording>> recordings;  // outlive the hold: their destructors wait
  Pump::Hold hold(*pump_);
  if (closed_) return;
  closed_ = true;
  for (const auto& port : ports_) bridge_.remove_port(port->number);
  ports_.clear();
  recordings = recordings_.finish_all();
  pump_->inspector().remove(*this);
  pump_->remove(*this);
}

}  // namespace

std::shared_ptr<Switch> Switch::open(std::shared_ptr<Pump> pump, const BridgeConfig& config) {
  return std::make_shared<SwitchImplementation>(std::move(pump), config);
}

}  // namespace vpollnet::host
