// SPDX-License-Identifier: MIT
// What the inspector tells of a network.
#include "host/inspection.hpp"

#include "host/network_implementation.hpp"

namespace vpollnet::host {

const socket::SocketTable* NetworkImplementation::socket_table() {
  return stack_ == nullptr ? nullptr : &stack_->sockets();
}

void NetworkImplementation::describe(JsonWriter& json) {
  json.field("kind", "stack");
  json.field("name", name_);
  json.field("memory", static_cast<std::uint64_t>(stack_->memory_used()));
  json.field("memoryLimit", static_cast<std::uint64_t>(memory_limit_));
  describe_list(json, "interfaces", "interfacesLeftOut", stack_->interfaces(),
                [&](const InterfaceInfo& interface) {
                  json.field("id", static_cast<std::uint64_t>(interface.id));
                  json.field("name", interface.config.name);
                  json.field("mac", interface.config.mac.to_string());
                  json.field("mtu", static_cast<std::uint64_t>(interface.config.mtu));
                  json.field("up", interface.up);
                  json.field("packetsIn", interface.packets_in);
                  json.field("bytesIn", interface.bytes_in);
                  json.field("packetsOut", interface.packets_out);
                  json.field("bytesOut", interface.bytes_out);
                });
  describe_list(json, "addresses", "addressesLeftOut", stack_->addresses(),
                [&](const AddressInfo& address) {
                  json.field("interface", static_cast<std::uint64_t>(address.interface));
                  json.field("address", address.address.to_string());
                  json.field("state", to_string(address.state));
                });
  describe_list(json, "links", "linksLeftOut", links_, [&](const auto& attached) {
    const Link& link = attached->port.link();
    json.field("interface", static_cast<std::uint64_t>(attached->id));
    json.field("url", attached->port.url());
    json.field("errno", static_cast<std::uint64_t>(link.failure()));
    const LinkCounters counters = attached->port.counters();
    describe_traffic(json, counters);
    json.begin_object("drops");
    describe_drops(json, counters.drops, kLinkDropNames);
    json.end_object();
  });
  const Counters all = counters_with_links();
  json.begin_object("counters");
  json.field("packetsIn", all.packets_in);
  json.field("bytesIn", all.bytes_in);
  json.field("packetsOut", all.packets_out);
  json.field("bytesOut", all.bytes_out);
  json.field("tcpSegmentsIn", all.tcp_segments_in);
  json.field("tcpSegmentsOut", all.tcp_segments_out);
  json.field("tcpRetransmits", all.tcp_retransmits);
  json.field("tcpResetsOut", all.tcp_resets_out);
  json.begin_object("drops");
  describe_drops(json, all.drops, kDropNames);
  json.end_object();
  json.end_object();
}

}  // namespace vpollnet::host
