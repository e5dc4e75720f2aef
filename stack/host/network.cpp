// SPDX-License-Identifier: MIT
#include "host/network.hpp"

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "host/links/link_opening.hpp"
#include "host/network_implementation.hpp"
#include "host/random.hpp"
#include "host/socket_handle.hpp"

namespace vpollnet::host {
namespace {

constexpr int kSocketsPerHold = 64;

}  // namespace

std::shared_ptr<Pump> default_pump() {
  static std::mutex mutex;
  static std::weak_ptr<Pump> the_pump;
  const std::lock_guard guard(mutex);
  std::shared_ptr<Pump> pump = the_pump.lock();
  if (pump == nullptr) {
    the_pump = pump = Pump::create();
    const char* const inspect = std::getenv("VPOLLNET_INSPECT");
    if (inspect == nullptr || std::string_view(inspect) != "0") {
      Pump::Hold hold(*pump);
      pump->inspector().enable(inspector_name());
    }
  }
  return pump;
}

std::shared_ptr<Network> Network::open(std::shared_ptr<Pump> pump, std::size_t memory_limit,
                                       std::string name, tcp::Algorithm congestion) {
  return std::make_shared<NetworkImplementation>(std::move(pump), memory_limit, std::move(name),
                                                 congestion);
}

NetworkImplementation::NetworkImplementation(std::shared_ptr<Pump> pump, std::size_t memory_limit,
                                             std::string name, tcp::Algorithm congestion)
    : pump_(std::move(pump)), memory_limit_(memory_limit), name_(std::move(name)) {
  const StackConfig config{
      .secret = random_secret(), .memory_limit = memory_limit, .congestion = congestion};
  Pump::Hold hold(*pump_);
  stack_ = std::make_unique<Stack>(config, pump_->pool(), static_cast<FrameSink&>(*this));
  pump_->inspector().add(*this);
  touch();
}

NetworkImplementation::~NetworkImplementation() { close(); }

// Before its first use: its type is deduced.
auto NetworkImplementation::each_port() {
  return [this](auto visit) {
    for (const std::unique_ptr<Attached>& attached : links_) visit(attached->id, attached->port);
  };
}

// --- run by the pump ---

bool NetworkImplementation::run(Nanos now, int& budget) {
  if (stack_ == nullptr) return true;
  for (;;) {
    bool all_taken = true;
    for (const std::unique_ptr<Attached>& attached : links_) {
      LinkPort& port = attached->port;
      all_taken &= port.deliver(*attached, now, budget);
      if (port.take_change()) report(*attached, now);
    }
    const Nanos stack_deadline = stack_->next_deadline();
    deadline_ = stack_deadline;
    // After all have delivered: what comes over one may be answered over another.
    for (const std::unique_ptr<Attached>& attached : links_) {
      deadline_ = std::min(deadline_, attached->port.next_deadline());
    }
    if (stack_deadline > now) {
      recordings_.end_of_gone(stack_->sockets(), each_port());
      return all_taken;
    }
    if (budget <= 0) return false;
    budget--;
    stack_->advance(now);
  }
}

void NetworkImplementation::transmit(InterfaceId interface, Packet&& frame) {
  if (Attached* attached = find(interface)) {
    attached->port.transmit(std::move(frame));
  } else if (being_attached_ != nullptr) {
    being_attached_->transmit(std::move(frame));
  }
}

std::string_view NetworkImplementation::Attached::drop_reason() const {
  const Drop reason = stack.counters().first_drop;
  return is_of_input(reason) ? kDropNames[static_cast<std::size_t>(reason)] : std::string_view{};
}

void NetworkImplementation::report(const Attached& attached, Nanos now) {
  const Errno failure = attached.port.link().failure();
  if (link_changes_.size() == kLinkChanges) link_changes_.erase(link_changes_.begin());
  link_changes_.push_back({attached.id, attached.port.url(), failure});
  stack_->set_up(attached.id, failure == Errno::ok, now);
}

// --- links ---

NetworkImplementation::Attached* NetworkImplementation::find(InterfaceId id) {
  for (const std::unique_ptr<Attached>& attached : links_) {
    if (attached->id == id) return attached.get();
  }
  return nullptr;
}

std::string NetworkImplementation::free_interface_name() const {
  const std::vector<InterfaceInfo> present = stack_->interfaces();
  for (unsigned number = 0;; number++) {
    std::string name = "eth" + std::to_string(number);
    const auto has_name = [&](const InterfaceInfo& info) { return info.config.name == name; };
    if (std::none_of(present.begin(), present.end(), has_name)) return name;
  }
}

Failure NetworkImplementation::configure(const LinkSpec& spec, InterfaceId id, Nanos now) {
  for (const Cidr& address : spec.addresses) {
    const Errno error = stack_->add_address(id, address, now);
    if (error != Errno::ok) return {error, "", "address " + address.to_string()};
  }
  for (const IpAddress& gateway : spec.gateways) {
    const RouteConfig route{
        .destination = {IpAddress::any(gateway.family()), 0}, .gateway = gateway, .interface = id};
    const Errno error = stack_->add_route(route);
    if (error != Errno::ok) return {error, "", "gateway " + gateway.to_string()};
  }
  return {};
}

Failure NetworkImplementation::add_link(const LinkSpec& spec, InterfaceId& id) {
  LinkPlan plan;
  Failure failure = plan_link(spec, plan);
  if (failure) return failure;
  InterfaceConfig config{.name = spec.interface_name,
                         .type = LinkType::ethernet,
                         .mac = plan.mac,
                         .mtu = plan.mtu,
                         .offloads = {},
                         .ipv6 = spec.ipv6,
                         .dad_transmits = spec.dad_transmits};

  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return {Errno::bad_descriptor, "", ""};
  std::unique_ptr<Link> link;
  failure = make_link(std::move(plan), *pump_, *this, link);
  if (failure) return failure;
  if (config.name.empty()) config.name = free_interface_name();
  config.type = link->capabilities().type;
  config.offloads = link->capabilities().offloads;

  LinkPort port(config.name, spec.url, std::move(link), *pump_, *this);
  port.impair(spec.impairment);
  recordings_.join(port);
  being_attached_ = &port;
  const Result<InterfaceId> added = stack_->add_interface(config, hold.now());
  being_attached_ = nullptr;
  touch();
  if (!added) return {added.error(), "", "interface '" + config.name + "'"};
  links_.push_back(std::make_unique<Attached>(*stack_, *added, std::move(port)));
  failure = configure(spec, *added, hold.now());
  if (failure) {
    detach(*added, hold.now());
  } else {
    id = *added;
  }
  return failure;
}

void NetworkImplementation::detach(InterfaceId id, Nanos now) {
  stack_->remove_interface(id, now);
  dropped_by_former_links_ += find(id)->port.link().counters().dropped();
  std::erase_if(links_, [id](const auto& attached) { return attached->id == id; });
}

Errno NetworkImplementation::remove_link(InterfaceId id) {
  return change([&](Stack&, Nanos now) {
    if (find(id) == nullptr) return Errno::no_such_device;
    detach(id, now);
    return Errno::ok;
  });
}

std::vector<Network::LinkChange> NetworkImplementation::take_link_changes() {
  Pump::Hold hold(*pump_);
  return std::exchange(link_changes_, {});
}

std::vector<Network::LinkInfo> NetworkImplementation::links() {
  Pump::Hold hold(*pump_);
  std::vector<LinkInfo> all;
  for (const std::unique_ptr<Attached>& attached : links_) {
    const LinkPort& port = attached->port;
    all.push_back({.interface = attached->id,
                   .url = port.url(),
                   .failure = port.link().failure(),
                   .counters = port.counters(),
                   .impairment_in = port.impairment(pcapng::Direction::inbound),
                   .impairment_out = port.impairment(pcapng::Direction::outbound)});
  }
  return all;
}

Errno NetworkImplementation::impair(InterfaceId id, const LinkImpairment& impairment) {
  return change([&](Stack&, Nanos) {
    Attached* attached = find(id);
    if (attached == nullptr) return Errno::no_such_device;
    attached->port.impair(impairment);
    return Errno::ok;
  });
}

Failure NetworkImplementation::check_links(const RecordingSpec& spec) {
  if (stack_ == nullptr) return {Errno::bad_descriptor, "", ""};
  if (!spec.links) return {};
  for (const InterfaceId id : *spec.links) {
    if (find(id) == nullptr) return {Errno::no_such_device, "", "interface " + std::to_string(id)};
  }
  return {};
}

std::shared_ptr<Recording> NetworkImplementation::record(const RecordingSpec& spec,
                                                         Failure& failure) {
  return recordings_.start(
      *pump_, spec, failure, [&] { return check_links(spec); }, each_port());
}

std::shared_ptr<Recording> NetworkImplementation::record_socket(socket::Socket* const& place,
                                                                const RecordingSpec& spec,
                                                                Failure& failure) {
  const auto filter = std::make_shared<SocketFilter>(pump_->pool());
  const auto check = [&]() -> Failure {
    if (place == nullptr) {
      filter->forget();  // closed since the first look
      return {Errno::bad_descriptor, "record", "the socket is closed"};
    }
    if (place->type() == socket::Type::ping) return {Errno::not_supported, "record", ""};
    filter->attach(*place);
    return {};
  };
  return recordings_.start(*pump_, spec, failure, check, each_port(), filter);
}

void NetworkImplementation::stop_recording(const std::shared_ptr<Recording>& recording) {
  recordings_.stop(*pump_, recording, each_port());
}

// --- straight to the stack ---

Errno NetworkImplementation::add_address(InterfaceId id, const Cidr& address) {
  return change([&](Stack& stack, Nanos now) { return stack.add_address(id, address, now); });
}

Errno NetworkImplementation::remove_address(InterfaceId id, const IpAddress& address) {
  return change([&](Stack& stack, Nanos now) { return stack.remove_address(id, address, now); });
}

Errno NetworkImplementation::add_route(const RouteConfig& route) {
  return change([&](Stack& stack, Nanos) { return stack.add_route(route); });
}

Errno NetworkImplementation::remove_route(const RouteConfig& route) {
  return change([&](Stack& stack, Nanos) { return stack.remove_route(route); });
}

Errno NetworkImplementation::advertise(InterfaceId id, const RouterAdvertisementConfig& config) {
  return change([&](Stack& stack, Nanos now) { return stack.advertise(id, config, now); });
}

Errno NetworkImplementation::end_advertising(InterfaceId id) {
  return change([&](Stack& stack, Nanos now) { return stack.end_advertising(id, now); });
}

std::vector<InterfaceInfo> NetworkImplementation::interfaces() {
  return read<std::vector<InterfaceInfo>>([](Stack& stack) { return stack.interfaces(); });
}

std::vector<AddressInfo> NetworkImplementation::addresses() {
  return read<std::vector<AddressInfo>>([](Stack& stack) { return stack.addresses(); });
}

std::vector<RouteConfig> NetworkImplementation::routes() {
  return read<std::vector<RouteConfig>>([](Stack& stack) { return stack.routes(); });
}

std::vector<NeighbourInfo> NetworkImplementation::neighbours() {
  return read<std::vector<NeighbourInfo>>([](Stack& stack) { return stack.neighbours(); });
}

std::vector<socket::SocketInfo> NetworkImplementation::sockets() {
  return read<std::vector<socket::SocketInfo>>([](Stack& stack) { return stack.sockets().list(); });
}

Counters NetworkImplementation::counters() {
  return read<Counters>([this](Stack&) { return counters_with_links(); });
}

Counters NetworkImplementation::counters_with_links() const {
  Counters counters = stack_->counters();
  std::uint64_t& dropped = counters.drops[static_cast<std::size_t>(Drop::link_queue_full)];
  dropped += dropped_by_former_links_;
  for (const auto& attached : links_) dropped += attached->port.link().counters().dropped();
  return counters;
}

std::size_t NetworkImplementation::memory_used() {
  return read<std::size_t>([](Stack& stack) { return stack.memory_used(); });
}

// --- sockets ---

Result<std::shared_ptr<SocketHandle>> NetworkImplementation::socket(socket::Type type) {
  std::shared_ptr<SocketHandle> handle;  // outlives the hold: its destructor takes the lock
  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return Errno::bad_descriptor;
  const Result<socket::Socket*> opened = stack_->sockets().open(type);
  if (!opened) return opened.error();
  handle = std::make_shared<SocketHandleImplementation>(shared_from_this(), **opened);
  return handle;
}

void NetworkImplementation::enlist(SocketHandleImplementation& handle) {
  handle.next_ = handles_;
  if (handles_ != nullptr) handles_->previous_ = &handle;
  handles_ = &handle;
}

void NetworkImplementation::strike(SocketHandleImplementation& handle) {
  (handle.previous_ == nullptr ? handles_ : handle.previous_->next_) = handle.next_;
  if (handle.next_ != nullptr) handle.next_->previous_ = handle.previous_;
  handle.previous_ = handle.next_ = nullptr;
}

void NetworkImplementation::close() {
  {
    Pump::Hold hold(*pump_);
    while (!users_.empty()) {
      NetworkUser* user = users_.back();
      users_.pop_back();
      user->on_network_close(hold.now());
    }
  }
  for (bool done = false; !done;) {
    Pump::Hold hold(*pump_);
    if (stack_ == nullptr) return;
    for (int i = 0; i < kSocketsPerHold && handles_ != nullptr; i++) {
      handles_->reset(hold.now());
    }
    // With the last resets, so that the hold's end carries it away before the links go.
    if (handles_ == nullptr) {
      for (const auto& attached : links_) stack_->end_advertising(attached->id, hold.now());
    }
    touch();
    done = handles_ == nullptr;
  }
  std::vector<std::shared_ptr<Recording>> recordings;  // outlive the hold: their destructors wait
  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return;
  while (handles_ != nullptr) handles_->reset(hold.now());  // opened meanwhile
  links_.clear();
  recordings = recordings_.finish_all();
  pump_->inspector().remove(*this);
  stack_ = nullptr;
  pump_->remove(*this);
}

}  // namespace vpollnet::host
