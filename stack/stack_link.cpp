// SPDX-License-Identifier: MIT
// ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861, RFC 4862 5.4): reads the messages,
// asks the caches what follows, and sends that.
//
// Advertisements of other routers are checked and counted, not acted upon: all addresses and routes
// are static as yet (no RFC 4862 5.5). Redirects are ignored: a host may (RFC 4861 8.3 is a
// SHOULD), and one that is forged moves traffic (security case L08).
#include <algorithm>

#include "ip/interface_identifier.hpp"
#include "stack_implementation.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet {

using socket::IpMeta;

namespace {

constexpr std::uint8_t kNdpHopLimit = 255;  // RFC 4861 3.1: proof that no router has touched it

}  // namespace

bool Stack::Implementation::is_on_link(const Interface& in, const IpAddress& address) const {
  if (address.is_v6() && address.is_link_local()) return true;
  return routes_.find_on_link(address, in.id) != nullptr;
}

// --- ARP
// ------------------------------------------------------------------------------------------

void Stack::Implementation::receive_arp(Interface& in, Packet&& frame, Nanos now) {
  const auto arp = wire::parse_arp(frame.contiguous(std::min(frame.size(), wire::kArpSize), pool_));
  if (!arp) return drop(Drop::arp_malformed);
  const IpAddress& sender = arp->sender;
  // Security case L02. A multicast MAC would turn unicast into broadcast.
  if (arp->sender_mac.is_multicast() || arp->sender_mac.is_zero() ||
      arp->sender_mac == in.config.mac || sender.is_multicast() || sender.is_loopback() ||
      sender.is_limited_broadcast() || addresses_.is_directed_broadcast(sender, in.id)) {
    return drop(Drop::arp_ignored);
  }
  if (ip::Address* own = addresses_.find_on(in.id, sender)) {
    // RFC 5227 2.4: a conflict. One announcement, and silence for ten seconds (security case L03).
    drop(Drop::arp_ignored);
    if (addresses_.defend(*own, now)) {
      send_arp(in, {wire::kArpRequest, in.config.mac, sender, {}, sender}, MacAddress::broadcast());
    }
    return;
  }
  const bool for_us = addresses_.find_on(in.id, arp->target) != nullptr;
  const bool request = arp->operation == wire::kArpRequest;
  if (!sender.is_unspecified()) {  // otherwise a probe (RFC 5227 2.1.1), which tells nothing
    const bool may_create = for_us && request && is_on_link(in, sender);
    link::NeighbourActions actions = in.neighbours->on_arp(*arp, may_create, now);
    const bool ignored = actions.ignored && !(for_us && request);
    perform(in, std::move(actions), now);
    if (ignored) return drop(Drop::arp_ignored);
  }
  if (for_us && request) {
    send_arp(in, {wire::kArpReply, in.config.mac, arp->target, arp->sender_mac, sender},
             arp->sender_mac);
  }
}

void Stack::Implementation::send_arp(Interface& out, const wire::ArpPacket& arp,
                                     const MacAddress& to) {
  if (!out.up) return;
  Packet packet;
  wire::emit_arp(arp, packet.prepend(wire::kArpSize));
  transmit_frame(out, to, wire::kEtherArp, std::move(packet));
}

// --- neighbour discovery
// --------------------------------------------------------------------------

void Stack::Implementation::receive_ndp(const Arrival& arrival, const IpMeta& meta,
                                        std::uint8_t type, Packet&& message, Nanos now) {
  Interface* in = find(arrival.interface);
  if (in == nullptr || arrival.looped || in->ipv6_off) return drop(Drop::ndp_ignored);
  const auto bytes = message.linear(pool_);
  const wire::NdpEnvelope envelope{meta.source, meta.destination, meta.hop_limit};
  switch (type) {
  case wire::kIcmpv6NeighbourSolicitation:
    if (const auto parsed = wire::parse_neighbour_solicitation(bytes, envelope)) {
      return receive_solicitation(*in, meta, *parsed, now);
    }
    break;
  case wire::kIcmpv6NeighbourAdvertisement:
    if (const auto parsed = wire::parse_neighbour_advertisement(bytes, envelope)) {
      return receive_advertisement(*in, *parsed, now);
    }
    break;
  case wire::kIcmpv6RouterAdvertisement:
    if (wire::parse_router_advertisement(bytes, envelope)) return drop(Drop::icmp_ignored);
    break;
  case wire::kIcmpv6Redirect:
    if (wire::parse_redirect(bytes, envelope)) return drop(Drop::icmp_ignored);
    break;
  case wire::kIcmpv6RouterSolicitation:
    // RFC 4861 6.2.6: solicitations are for routers.
    if (in->advertising == nullptr) return drop(Drop::icmp_ignored);
    if (const auto parsed = wire::parse_router_solicitation(bytes, envelope)) {
      return receive_router_solicitation(*in, meta, *parsed, now);
    }
    break;
  default: return drop(Drop::icmp_ignored);
  }
  drop(Drop::ndp_malformed);
}

void Stack::Implementation::receive_solicitation(Interface& in, const IpMeta& meta,
                                                 const wire::NeighbourSolicitation& message,
                                                 Nanos now) {
  ip::Address* own = addresses_.find_on(in.id, message.target);
  if (own == nullptr || own->state == ip::Address::State::duplicated) {
    return drop(Drop::ndp_ignored);
  }
  const bool from_nobody = meta.source.is_unspecified();
  if (!own->usable()) {
    // RFC 4862 5.4.3: somebody resolves the address of another; or detects duplicates as we do,
    // unless what came is our own message (RFC 7527 4.2).
    const bool ours =
        message.nonce && *message.nonce == own->nonce && own->probes_left < own->transmits;
    if (!from_nobody || ours) return drop(Drop::ndp_ignored);
    return duplicate_found(in, *own, now);
  }
  if (!from_nobody && message.source_mac && in.ethernet()) {
    perform(in,
            in.neighbours->on_solicitation(meta.source, *message.source_mac,
                                           is_on_link(in, meta.source), now),
            now);
  }
  // RFC 4861 7.2.4.
  const wire::NeighbourAdvertisement answer{
      .target = message.target,
      .router = forwards(in) || in.advertising != nullptr,
      .solicited = !from_nobody,
      .override_entry = true,
      .target_mac = in.ethernet() ? std::optional(in.config.mac) : std::nullopt};
  Packet packet;
  wire::emit_neighbour_advertisement(answer,
                                     packet.prepend(wire::neighbour_advertisement_size(answer)));
  send_ndp(in, message.target, from_nobody ? IpAddress::all_nodes() : meta.source,
           std::move(packet), now);
}

void Stack::Implementation::receive_advertisement(Interface& in,
                                                  const wire::NeighbourAdvertisement& message,
                                                  Nanos now) {
  if (ip::Address* own = addresses_.find_on(in.id, message.target)) {
    // RFC 4862 5.4.4. For an address in use there is nothing to be done: it stays.
    if (own->state != ip::Address::State::tentative) return drop(Drop::ndp_ignored);
    return duplicate_found(in, *own, now);
  }
  if (!in.ethernet()) return drop(Drop::ndp_ignored);
  link::NeighbourActions actions = in.neighbours->on_advertisement(message, now);
  if (actions.ignored) drop(Drop::ndp_ignored);
  perform(in, std::move(actions), now);
}

/// RFC 4862 5.4.5, RFC 7217 6.
void Stack::Implementation::duplicate_found(Interface& in, ip::Address& address, Nanos now) {
  generation_++;
  if (!address.formed) return addresses_.mark_duplicated(address);
  if (in.link_local_tries < ip::kIdgenRetries) {
    in.link_local_tries++;
    in.link_local_counter++;
    const IpAddress old = address.cidr.address;
    addresses_.remove(in.id, old);
    return form_link_local(in, now);
  }
  // Security case L09: whoever answers each attempt gets no further ones. Without a link-local
  // address an interface has no IPv6 (RFC 4291 2.8).
  in.ipv6_off = true;
  std::vector<IpAddress> lost;
  for (const auto& own : addresses_.all()) {
    if (own->interface != in.id || !own->cidr.address.is_v6()) continue;
    if (own->usable()) lost.push_back(own->cidr.address);
    addresses_.mark_duplicated(*own);
  }
  for (const IpAddress& gone : lost) sockets_->on_address_removed(gone, now);
}

/// `to`: the frame's destination, if that is known already.
void Stack::Implementation::send_ndp(Interface& out, const IpAddress& source,
                                     const IpAddress& destination, Packet&& message, Nanos now,
                                     const MacAddress* to) {
  if (!out.up) return;
  wire::store16(&message.writable(wire::kIcmpHeader, pool_)[2],
                wire::transport_checksum(message, source, destination, socket::kIcmpv6));
  if (to == nullptr && !destination.is_multicast()) {
    send_ip({.source = source,
             .destination = destination,
             .interface = out.id,
             .protocol = socket::kIcmpv6,
             .hop_limit = kNdpHopLimit},
            std::move(message), now);
    return;
  }
  const auto length = static_cast<std::uint16_t>(message.size());
  wire::emit_ipv6({.payload_length = length,
                   .next_header = socket::kIcmpv6,
                   .hop_limit = kNdpHopLimit,
                   .source = source,
                   .destination = destination},
                  message.prepend(wire::kIpv6Header));
  if (!out.ethernet()) return transmit(out, 0, std::move(message));
  transmit_frame(out, to != nullptr ? *to : destination.multicast_mac(), wire::kEtherIpv6,
                 std::move(message));
}

// --- what the caches want
// -------------------------------------------------------------------------

void Stack::Implementation::solicit(Interface& out, const link::Solicitation& wanted, Nanos now) {
  // RFC 4861 7.2.2: the source of the packet that is waiting, if it is an address of this
  // interface.
  const ip::Address* source = addresses_.find_on(out.id, wanted.source);
  if (source == nullptr || !source->usable()) {
    source = ip::select_source(addresses_, wanted.target, out.id, wanted.target);
  }
  if (wanted.target.is_v4()) {
    const IpAddress from = source != nullptr ? source->cidr.address : IpAddress::any(Family::ipv4);
    return send_arp(out, {wire::kArpRequest, out.config.mac, from, {}, wanted.target},
                    wanted.to.value_or(MacAddress::broadcast()));
  }
  if (source == nullptr) return;  // "::" is for duplicate address detection alone
  const wire::NeighbourSolicitation message{
      .target = wanted.target, .source_mac = out.config.mac, .nonce = std::nullopt};
  Packet packet;
  wire::emit_neighbour_solicitation(message,
                                    packet.prepend(wire::neighbour_solicitation_size(message)));
  send_ndp(out, source->cidr.address, wanted.to ? wanted.target : wanted.target.solicited_node(),
           std::move(packet), now, wanted.to ? &*wanted.to : nullptr);
}

void Stack::Implementation::perform(Interface& on, link::NeighbourActions&& actions, Nanos now) {
  for (const link::Solicitation& wanted : actions.solicitations) solicit(on, wanted, now);
  for (Packet& packet : actions.ready) {
    const bool v6 = packet.contiguous(1, pool_)[0] >> 4 == 6;
    transmit_frame(on, actions.mac, v6 ? wire::kEtherIpv6 : wire::kEtherIpv4, std::move(packet));
  }
  for (Packet& packet : actions.failed) report_unreachable(on.id, std::move(packet), now);
}

void Stack::Implementation::perform(const ip::AddressEvent& event, Nanos now) {
  Interface* on = find(event.interface);
  if (on == nullptr) return;
  switch (event.kind) {
  case ip::AddressEvent::Kind::assigned: generation_++; return;
  case ip::AddressEvent::Kind::announce:
    // RFC 5227 2.3: an ARP request with the address as sender and as target.
    if (!on->ethernet()) return;
    return send_arp(*on, {wire::kArpRequest, on->config.mac, event.address, {}, event.address},
                    MacAddress::broadcast());
  case ip::AddressEvent::Kind::probe: {
    // RFC 4862 5.4.2: from "::", hence without a link-layer address (RFC 4861 4.3).
    const wire::NeighbourSolicitation message{
        .target = event.address, .source_mac = std::nullopt, .nonce = event.nonce};
    Packet packet;
    wire::emit_neighbour_solicitation(message,
                                      packet.prepend(wire::neighbour_solicitation_size(message)));
    return send_ndp(*on, IpAddress::any(Family::ipv6), event.address.solicited_node(),
                    std::move(packet), now);
  }
  }
}

}  // namespace vpollnet
