// SPDX-License-Identifier: MIT
#include "filter/nat.hpp"

#include <algorithm>
#include <array>

#include "wire/bytes.hpp"

namespace vpollnet::filter {

namespace {

constexpr std::uint16_t kFirstUserPort = 1024;

bool has_ports(const FlowTuple& tuple) {
  return tuple.protocol == kProtocolTcp || tuple.protocol == kProtocolUdp;
}

/// Where translation has to change something to tell flows apart: ports, or an echo's identifier.
bool has_source_port(const FlowTuple& tuple) {
  return has_ports(tuple) || tuple.echo == EchoKind::request;
}

bool is_for(const DestinationNat& rule, const FlowTuple& tuple) {
  if (rule.protocol && *rule.protocol != tuple.protocol) return false;
  if (rule.ports && (!has_ports(tuple) || !rule.ports->contains(tuple.destination_port))) {
    return false;
  }
  return rule.to.family() == tuple.destination.family() && contains(rule.sources, tuple.source);
}

}  // namespace

std::size_t Nat::EndHash::operator()(const End& end) const {
  std::array<std::uint8_t, 39> bytes{};
  wire::store_address(&bytes[0], end.address);
  wire::store16(&bytes[16], end.port);
  bytes[18] = end.protocol;
  wire::store32(&bytes[19], end.out);
  wire::store_address(&bytes[23], end.as);
  return siphash(key, bytes);
}

Nat::Nat(const NatHost& host, KeyedRandom& random)
    : host_(host), random_(random), pairing_(random.derive()), inner_(16, EndHash{random.derive()}),
      outer_(16, EndHash{random.derive()}) {}

std::optional<Nat::Inward> Nat::inward(const FlowTuple& tuple, InterfaceId in) const {
  for (const DestinationNat& rule : rules_.destinations) {
    const bool hairpin = in != rule.in;
    if (!is_for(rule, tuple) || (hairpin && !rule.hairpin)) continue;
    const bool meant = rule.addresses.empty()
                           ? host_.is_address_of(rule.in, tuple.destination)
                           : std::find(rule.addresses.begin(), rule.addresses.end(),
                                       tuple.destination) != rule.addresses.end();
    if (!meant) continue;
    std::uint16_t port = tuple.destination_port;
    if (rule.ports && rule.to_port != 0) {
      port = static_cast<std::uint16_t>(rule.to_port + (port - rule.ports->first));
    }
    return Inward{rule.to, port, rule.in, hairpin};
  }
  if (!has_ports(tuple)) return std::nullopt;
  const auto found =
      outer_.find(outer_end(tuple.destination, tuple.destination_port, tuple.protocol));
  if (found == outer_.end()) return std::nullopt;
  const Mapping& mapping = *found->second;
  const bool hairpin = in != mapping.out;
  // RFC 4787 REQ-9: between two inner hosts there is nothing to be kept out.
  if (!hairpin && mapping.admission != Admission::endpoint_independent) return std::nullopt;
  return Inward{mapping.inner, mapping.inner_port, mapping.out, hairpin};
}

const SourceNat* Nat::outward(const FlowTuple& tuple, InterfaceId out) const {
  for (const SourceNat& rule : rules_.sources) {
    if (rule.out != out || (rule.protocol && *rule.protocol != tuple.protocol)) continue;
    if (!contains(rule.sources, tuple.source) || !contains(rule.destinations, tuple.destination)) {
      continue;
    }
    const bool same_family =
        rule.addresses.empty() ||
        std::any_of(rule.addresses.begin(), rule.addresses.end(), [&](const IpAddress& address) {
          return address.family() == tuple.source.family();
        });
    if (same_family) return &rule;
  }
  return nullptr;
}

IpAddress Nat::outer_address(const FlowTuple& tuple, const SourceNat* rule, InterfaceId out) const {
  if (rule == nullptr || rule->addresses.empty()) return host_.address_on(out, tuple.destination);
  std::vector<const IpAddress*> fitting;
  for (const IpAddress& address : rule->addresses) {
    if (address.family() == tuple.source.family()) fitting.push_back(&address);
  }
  return *fitting[siphash(pairing_, tuple.source.bytes()) % fitting.size()];  // RFC 4787 REQ-2
}

Nat::End Nat::inner_end(const Mapping& mapping) {
  return {mapping.inner, mapping.inner_port, mapping.protocol, mapping.out, mapping.outer};
}

Nat::End Nat::outer_end(const IpAddress& address, std::uint16_t port, std::uint8_t protocol) {
  return {address, port, protocol, kAnyInterface, {}};
}

bool Nat::is_free(const IpAddress& outer, std::uint8_t protocol, std::uint16_t port) const {
  if (port == 0 && (protocol == kProtocolTcp || protocol == kProtocolUdp)) return false;
  if (outer_.contains(outer_end(outer, port, protocol))) return false;
  if (host_.uses_port(protocol, port)) return false;
  return std::none_of(rules_.destinations.begin(), rules_.destinations.end(),
                      [&](const DestinationNat& rule) {
                        return rule.ports && rule.ports->contains(port) &&
                               (!rule.protocol || *rule.protocol == protocol);
                      });
}

std::optional<std::uint16_t> Nat::choose_port(const IpAddress& outer, std::uint8_t protocol,
                                              std::uint16_t preferred, const SourceNat* rule) {
  PortRange range{kFirstUserPort, 65'535};
  if (rule != nullptr && rule->ports) {
    range = *rule->ports;
  } else if (protocol != kProtocolTcp && protocol != kProtocolUdp) {
    range = {0, 65'535};  // identifiers of echo requests
  } else if (preferred < kFirstUserPort) {
    range = {1, kFirstUserPort - 1};  // RFC 4787 REQ-3 a
  }
  // RFC 4787 REQ-1: preserved where that is possible.
  if (range.contains(preferred) && is_free(outer, protocol, preferred)) return preferred;
  // RFC 6056 3.3: what a port will be must not be easy to guess.
  const std::uint32_t start = random_.below(range.size());
  for (unsigned i = 0; i < std::min<std::uint32_t>(range.size(), kTries); i++) {
    const std::uint32_t offset =
        range.size() <= kTries ? (start + i) % range.size() : random_.below(range.size());
    const auto port = static_cast<std::uint16_t>(range.first + offset);
    if (is_free(outer, protocol, port)) return port;
  }
  return std::nullopt;
}

Mapping* Nat::map(const FlowTuple& tuple, const SourceNat* rule, InterfaceId out,
                  const IpAddress& outer) {
  const IpAddress address =
      outer.family() != Family::none ? outer : outer_address(tuple, rule, out);
  if (address.family() != tuple.source.family()) return nullptr;
  const auto known = inner_.find({tuple.source, tuple.source_port, tuple.protocol, out, address});
  if (known != inner_.end()) {
    known->second->flows++;
    return known->second.get();
  }
  std::uint16_t port = 0;
  if (has_source_port(tuple)) {
    const auto chosen = choose_port(address, tuple.protocol, tuple.source_port, rule);
    if (!chosen) return nullptr;
    port = *chosen;
  }
  auto made = std::make_unique<Mapping>();
  *made = {.protocol = tuple.protocol,
           .inner = tuple.source,
           .inner_port = tuple.source_port,
           .outer = address,
           .outer_port = port,
           .out = out,
           .admission = rule != nullptr ? rule->admission : Admission::address_and_port,
           .flows = 1};
  Mapping* mapping = made.get();
  if (has_source_port(tuple)) outer_[outer_end(address, port, tuple.protocol)] = mapping;
  inner_.emplace(inner_end(*mapping), std::move(made));
  return mapping;
}

void Nat::release(Mapping& mapping) {
  if (--mapping.flows != 0) return;
  const auto outer = outer_.find(outer_end(mapping.outer, mapping.outer_port, mapping.protocol));
  if (outer != outer_.end() && outer->second == &mapping) outer_.erase(outer);
  inner_.erase(inner_.find(inner_end(mapping)));
}

}  // namespace vpollnet::filter
