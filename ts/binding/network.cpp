// SPDX-License-Identifier: MIT
#include "network.hpp"

#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "addon_data.hpp"
#include "forwarding.hpp"
#include "links.hpp"
#include "recording.hpp"
#include "router.hpp"
#include "socket.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

std::string text(const Napi::CallbackInfo& info, std::size_t index) {
  return info[index].As<Napi::String>().Utf8Value();
}

std::uint32_t whole(const Napi::CallbackInfo& info, std::size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

/// [destination, gateway ("" for none), interface id, metric]; none if an address is malformed.
std::optional<RouteConfig> to_route(const Napi::CallbackInfo& info) {
  RouteConfig route;
  const auto destination = Cidr::parse(text(info, 0));
  if (!destination) return std::nullopt;
  route.destination = *destination;
  if (const std::string gateway = text(info, 1); !gateway.empty()) {
    const auto address = IpAddress::parse(gateway);
    if (!address) return std::nullopt;
    route.gateway = *address;
  }
  route.interface = whole(info, 2);
  route.metric = whole(info, 3);
  return route;
}

/// The networks of the process that other threads may have too. Each environment has its own
/// NativeNetwork of one.
struct SharedNetworks {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<host::Network>> by_key;
  std::uint64_t next = 1;
};

SharedNetworks& shared_networks() {
  static SharedNetworks all;
  return all;
}

std::shared_ptr<host::Network> find_shared(const std::string& key) {
  SharedNetworks& all = shared_networks();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_key.find(key);
  return found == all.by_key.end() ? nullptr : found->second.lock();
}

}  // namespace

Napi::Function NativeNetwork::define(Napi::Env env) {
  return DefineClass(
      env, "NativeNetwork",
      {
          InstanceMethod<&NativeNetwork::add_link>("addLink"),
          InstanceMethod<&NativeNetwork::remove_link>("removeLink"),
          InstanceMethod<&NativeNetwork::add_address>("addAddress"),
          InstanceMethod<&NativeNetwork::remove_address>("removeAddress"),
          InstanceMethod<&NativeNetwork::add_route>("addRoute"),
          InstanceMethod<&NativeNetwork::remove_route>("removeRoute"),
          InstanceMethod<&NativeNetwork::advertise>("advertise"),
          InstanceMethod<&NativeNetwork::end_advertising>("endAdvertising"),
          InstanceMethod<&NativeNetwork::set_forwarding>("setForwarding"),
          InstanceMethod<&NativeNetwork::forwarding>("forwarding"),
          InstanceMethod<&NativeNetwork::set_filter>("setFilter"),
          InstanceMethod<&NativeNetwork::filter_info>("filterInfo"),
          InstanceMethod<&NativeNetwork::take_filter_log>("takeFilterLog"),
          InstanceMethod<&NativeNetwork::set_nat>("setNat"),
          InstanceMethod<&NativeNetwork::connections>("connections"),
          InstanceMethod<&NativeNetwork::set_connection_limits>("setConnectionLimits"),
          InstanceMethod<&NativeNetwork::socket>("socket"),
          InstanceMethod<&NativeNetwork::interfaces>("interfaces"),
          InstanceMethod<&NativeNetwork::addresses>("addresses"),
          InstanceMethod<&NativeNetwork::routes>("routes"),
          InstanceMethod<&NativeNetwork::neighbours>("neighbours"),
          InstanceMethod<&NativeNetwork::sockets>("sockets"),
          InstanceMethod<&NativeNetwork::counters>("counters"),
          InstanceMethod<&NativeNetwork::memory_used>("memoryUsed"),
          InstanceMethod<&NativeNetwork::links>("links"),
          InstanceMethod<&NativeNetwork::take_link_changes>("takeLinkChanges"),
          InstanceMethod<&NativeNetwork::impair>("impair"),
          InstanceMethod<&NativeNetwork::record>("record"),
          InstanceMethod<&NativeNetwork::share>("share"),
          InstanceMethod<&NativeNetwork::close>("close"),
      });
}

NativeNetwork::NativeNetwork(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeNetwork>(info), resources_(addon_data(info.Env()).resources) {
  if (info[0].IsString()) {
    owns_ = false;
    network_ = find_shared(text(info, 0));
    if (network_ == nullptr) {
      set_open_failure(info, std::system_error(ENOENT, std::generic_category(), "no such stack"));
    }
    return;
  }
  const auto limit = info[0].As<Napi::Number>().Int64Value();
  try {
    network_ = host::Network::open(
        host::default_pump(), static_cast<std::size_t>(limit < 0 ? 0 : limit), text(info, 1),
        tcp::algorithm_named(text(info, 2)).value_or(tcp::Algorithm::cubic));
    resources_->add(network_);
  } catch (const std::system_error& error) {
    set_open_failure(info, error);
  }
}

NativeNetwork::~NativeNetwork() {
  if (network_ == nullptr || !owns_) return;
  network_->close();
  resources_->remove(network_);
}

/// share(): a key by which another thread's `new NativeNetwork(key)` has this network too.
Napi::Value NativeNetwork::share(const Napi::CallbackInfo& info) {
  SharedNetworks& all = shared_networks();
  const std::lock_guard lock(all.mutex);
  std::erase_if(all.by_key, [](const auto& entry) { return entry.second.expired(); });
  const std::string key = std::to_string(all.next++);
  all.by_key[key] = network_;
  return Napi::String::New(info.Env(), key);
}

/// addLink(spec): the interface's id, or [errno, syscall, detail].
Napi::Value NativeNetwork::add_link(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  host::LinkSpec spec;
  InterfaceId id = kAnyInterface;
  host::Failure failure = to_link_spec(info[0].As<Napi::Object>(), spec);
  if (!failure) failure = network_->add_link(spec, id);
  if (failure) return failure_value(env, failure);
  return number_value(env, id);
}

Napi::Value NativeNetwork::remove_link(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(), network_->remove_link(whole(info, 0)));
}

Napi::Value NativeNetwork::add_address(const Napi::CallbackInfo& info) {
  const auto address = Cidr::parse(text(info, 1));
  return errno_value(info.Env(),
                     address ? network_->add_address(whole(info, 0), *address) : Errno::invalid);
}

Napi::Value NativeNetwork::remove_address(const Napi::CallbackInfo& info) {
  const auto address = IpAddress::parse(text(info, 1));
  return errno_value(info.Env(),
                     address ? network_->remove_address(whole(info, 0), *address) : Errno::invalid);
}

Napi::Value NativeNetwork::add_route(const Napi::CallbackInfo& info) {
  const auto route = to_route(info);
  return errno_value(info.Env(), route ? network_->add_route(*route) : Errno::invalid);
}

Napi::Value NativeNetwork::remove_route(const Napi::CallbackInfo& info) {
  const auto route = to_route(info);
  return errno_value(info.Env(), route ? network_->remove_route(*route) : Errno::invalid);
}

/// advertise(id, what): NativeAdvertisement of ts/native.ts.
Napi::Value NativeNetwork::advertise(const Napi::CallbackInfo& info) {
  const auto config = to_router_advertisement(info[1].As<Napi::Object>());
  return errno_value(info.Env(),
                     config ? network_->advertise(whole(info, 0), *config) : Errno::invalid);
}

Napi::Value NativeNetwork::end_advertising(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(), network_->end_advertising(whole(info, 0)));
}

Napi::Value NativeNetwork::set_forwarding(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(),
                     network_->set_forwarding(to_forwarding(info[0].As<Napi::Object>())));
}

Napi::Value NativeNetwork::forwarding(const Napi::CallbackInfo& info) {
  return forwarding_value(info.Env(), network_->forwarding());
}

/// setFilter(rules): null for none.
Napi::Value NativeNetwork::set_filter(const Napi::CallbackInfo& info) {
  if (info[0].IsNull()) return errno_value(info.Env(), network_->set_filter(std::nullopt));
  auto rules = to_rule_set(info[0].As<Napi::Object>());
  return errno_value(info.Env(), rules ? network_->set_filter(std::move(rules)) : Errno::invalid);
}

Napi::Value NativeNetwork::filter_info(const Napi::CallbackInfo& info) {
  return filter_info_value(info.Env(), network_->filter_info());
}

Napi::Value NativeNetwork::take_filter_log(const Napi::CallbackInfo& info) {
  return filter_log_value(info.Env(), network_->take_filter_log());
}

Napi::Value NativeNetwork::set_nat(const Napi::CallbackInfo& info) {
  auto rules = to_nat_rules(info[0].As<Napi::Object>());
  return errno_value(info.Env(), rules ? network_->set_nat(std::move(*rules)) : Errno::invalid);
}

Napi::Value NativeNetwork::connections(const Napi::CallbackInfo& info) {
  return connections_value(info.Env(), network_->connections());
}

Napi::Value NativeNetwork::set_connection_limits(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(), network_->set_connection_limits({whole(info, 0), whole(info, 1)}));
}

Napi::Value NativeNetwork::socket(const Napi::CallbackInfo& info) {
  const auto type = to_socket_type(info[0]);
  if (!type) return errno_value(info.Env(), Errno::invalid);
  auto opened = network_->socket(*type);
  if (!opened) return errno_value(info.Env(), opened.error());
  return NativeSocket::make(info.Env(), std::move(*opened));
}

Napi::Value NativeNetwork::interfaces(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(env, network_->interfaces(),
                      [&](Napi::Object& object, const InterfaceInfo& interface) {
                        object["id"] = number_value(env, interface.id);
                        object["name"] = interface.config.name;
                        object["mac"] = interface.config.mac.to_string();
                        object["mtu"] = number_value(env, interface.config.mtu);
                        object["up"] = interface.up;
                        object["packetsIn"] = number_value(env, interface.packets_in);
                        object["bytesIn"] = number_value(env, interface.bytes_in);
                        object["packetsOut"] = number_value(env, interface.packets_out);
                        object["bytesOut"] = number_value(env, interface.bytes_out);
                      });
}

Napi::Value NativeNetwork::addresses(const Napi::CallbackInfo& info) {
  return object_array(info.Env(), network_->addresses(),
                      [&](Napi::Object& object, const AddressInfo& address) {
                        object["interface"] = number_value(info.Env(), address.interface);
                        object["address"] = address.address.address.to_string();
                        object["prefix"] = number_value(info.Env(), address.address.prefix);
                        object["state"] = to_string(address.state);
                      });
}

Napi::Value NativeNetwork::routes(const Napi::CallbackInfo& info) {
  return object_array(info.Env(), network_->routes(),
                      [&](Napi::Object& object, const RouteConfig& route) {
                        const bool on_link = route.gateway.family() == Family::none;
                        object["destination"] = route.destination.to_string();
                        if (!on_link) object["gateway"] = route.gateway.to_string();
                        object["interface"] = number_value(info.Env(), route.interface);
                        object["metric"] = number_value(info.Env(), route.metric);
                      });
}

Napi::Value NativeNetwork::neighbours(const Napi::CallbackInfo& info) {
  return object_array(info.Env(), network_->neighbours(),
                      [&](Napi::Object& object, const NeighbourInfo& neighbour) {
                        object["interface"] = number_value(info.Env(), neighbour.interface);
                        object["address"] = neighbour.address.to_string();
                        object["mac"] = neighbour.mac.to_string();
                        object["state"] = neighbour.state;
                      });
}

Napi::Value NativeNetwork::sockets(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(env, network_->sockets(),
                      [&](Napi::Object& object, const socket::SocketInfo& socket) {
                        object["type"] = socket::type_name(socket.type);
                        object["state"] = socket.state;
                        object["local"] = endpoint_value(env, socket.local);
                        object["remote"] = endpoint_value(env, socket.peer);
                        object["receiveQueue"] = number_value(env, socket.receive_queue);
                        object["sendQueue"] = number_value(env, socket.send_queue);
                      });
}

Napi::Value NativeNetwork::counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Counters counters = network_->counters();
  Napi::Object result = Napi::Object::New(env);
  result["packetsIn"] = number_value(env, counters.packets_in);
  result["bytesIn"] = number_value(env, counters.bytes_in);
  result["packetsOut"] = number_value(env, counters.packets_out);
  result["bytesOut"] = number_value(env, counters.bytes_out);
  result["tcpSegmentsIn"] = number_value(env, counters.tcp_segments_in);
  result["tcpSegmentsOut"] = number_value(env, counters.tcp_segments_out);
  result["tcpRetransmits"] = number_value(env, counters.tcp_retransmits);
  result["tcpResetsOut"] = number_value(env, counters.tcp_resets_out);
  Napi::Object drops = Napi::Object::New(env);
  for (std::size_t i = 0; i < kDropReasons; i++) {
    drops.Set(std::string(kDropNames[i]), number_value(env, counters.drops[i]));
  }
  result["drops"] = drops;
  return result;
}

Napi::Value NativeNetwork::memory_used(const Napi::CallbackInfo& info) {
  return number_value(info.Env(), network_->memory_used());
}

Napi::Value NativeNetwork::links(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(
      env, network_->links(), [&](Napi::Object& object, const host::Network::LinkInfo& link) {
        object["interface"] = number_value(env, link.interface);
        object["url"] = link.url;
        object["errno"] = number_value(env, static_cast<unsigned>(link.failure));
        object["counters"] = link_counters_value(env, link.counters);
        object["impairment"] = impairment_value(env, link.impairment_in, link.impairment_out);
      });
}

Napi::Value NativeNetwork::take_link_changes(const Napi::CallbackInfo& info) {
  return object_array(info.Env(), network_->take_link_changes(),
                      [&](Napi::Object& object, const host::Network::LinkChange& change) {
                        object["interface"] = number_value(info.Env(), change.interface);
                        object["url"] = change.url;
                        object["errno"] =
                            number_value(info.Env(), static_cast<unsigned>(change.error));
                      });
}

Napi::Value NativeNetwork::impair(const Napi::CallbackInfo& info) {
  return errno_value(info.Env(),
                     network_->impair(whole(info, 0), to_impairment(info[1].As<Napi::Object>())));
}

/// record(spec): a NativeRecording, or [errno, syscall, detail].
Napi::Value NativeNetwork::record(const Napi::CallbackInfo& info) {
  return NativeRecording::start(info, network_);
}

Napi::Value NativeNetwork::close(const Napi::CallbackInfo& info) {
  if (owns_) {
    network_->close();
    resources_->remove(network_);
  }
  return info.Env().Undefined();
}

}  // namespace vpollnet::binding
