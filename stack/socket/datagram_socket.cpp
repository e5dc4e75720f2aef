// SPDX-License-Identifier: MIT
#include "socket/datagram_socket.hpp"

#include <algorithm>

#include "socket/datagram_sockets.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv6.hpp"
#include "wire/udp.hpp"

namespace vpollnet::socket {

namespace {

/// An IP packet has 65,535 bytes, header included for IPv4 alone (RFC 791 3.1, RFC 8200 3).
std::size_t largest_payload(Family family) {
  const std::size_t ip = family == Family::ipv4 ? 20 : 0;
  static_assert(wire::kUdpHeader == wire::kIcmpHeader);
  return 65535 - ip - wire::kUdpHeader;
}

bool is_any(const IpAddress& address) {
  return address.family() == Family::none || address.is_unspecified();
}

}  // namespace

DatagramSocket::DatagramSocket(Type type, DatagramSockets& table, IpService& ip)
    : Socket(type), table_(table), ip_(ip), queue_(ip.budget(), kDefaultBuffer) {
  update();
}

void DatagramSocket::update() {
  std::uint32_t mask = kOut;  // a datagram goes at once or not at all: there is nothing to wait for
  if (!queue_.empty() || read_shut_) mask |= kIn;
  if (read_shut_) mask |= kRdHup;
  if (read_shut_ && write_shut_) mask |= kHup;
  if (error_ != Errno::ok) mask |= kErr;
  publish(mask);
}

Errno DatagramSocket::take_error() {
  const Errno error = std::exchange(error_, Errno::ok);
  if (error != Errno::ok) update();
  return error;
}

void DatagramSocket::fail(Errno error) {
  error_ = error;
  update();
}

bool DatagramSocket::takes(Family family) const {
  if (local_.address.family() == family) return true;
  if (family == Family::none || !is_any(local_.address)) return false;
  // "::" and none stand for both families, unless told otherwise.
  return !local_.address.is_v4() && (family == Family::ipv6 || !ipv6_only_);
}

bool DatagramSocket::family_allowed(Family family) const {
  if (family == Family::ipv4 && ipv6_only_) return false;
  return is_any(bound_) ? bound_.family() != Family::ipv4 || family == Family::ipv4
                        : bound_.family() == family;
}

unsigned DatagramSocket::match(const IpAddress& destination, InterfaceId from_interface) const {
  if (from_interface != kAnyInterface) {
    if (bind_interface_ != kAnyInterface && bind_interface_ != from_interface) return 0;
    if (local_.scope != kAnyInterface && local_.scope != from_interface) return 0;
  }
  unsigned score = bind_interface_ != kAnyInterface ? 2 : 1;
  if (!is_any(local_.address)) return local_.address == destination ? score + 4 : 0;
  if (!takes(destination.family())) return 0;
  // Bound to one family is more than to both.
  return local_.address.family() == destination.family() ? score + 2 : score;
}

bool DatagramSocket::accepts_from(const IpAddress& source, std::uint16_t port,
                                  InterfaceId from_interface) const {
  if (!is_connected()) return true;
  if (peer_.scope != kAnyInterface && from_interface != kAnyInterface &&
      peer_.scope != from_interface) {
    return false;
  }
  return peer_.address == source && (type() == Type::ping || peer_.port == port);
}

bool DatagramSocket::deliver(const Endpoint& from, Packet&& payload) {
  const Drop full = type() == Type::ping ? Drop::ping_queue_full : Drop::udp_queue_full;
  if (read_shut_) {
    ip_.counters().drop(full);
    return false;
  }
  const auto refused = queue_.push(from, std::move(payload), ip_.pool());
  if (refused) {
    ip_.counters().drop(*refused == Drop::udp_queue_full ? full : *refused);
    return false;
  }
  update();
  return true;
}

void DatagramSocket::stand_between(const Endpoint& local, const Endpoint& peer,
                                   InterfaceId interface) {
  local_ = local;
  bound_ = source_ = local.address;
  peer_ = peer;
  bind_interface_ = interface;
  stands_between_ = true;
}

Errno DatagramSocket::bind(const Endpoint& local, Nanos) {
  if (is_bound()) return Errno::invalid;
  const IpAddress& address = local.address;
  if (address.is_v4() && ipv6_only_) return Errno::invalid;
  const InterfaceId scope = local.scope != kAnyInterface ? local.scope : bind_interface_;
  const bool group = address.is_multicast() || ip_.is_broadcast(address);
  if (!is_any(address) && !group && !ip_.is_local(address, scope))
    return Errno::address_not_available;
  const auto port = table_.claim(*this, local);
  if (!port) return port.error();
  local_ = local;
  local_.port = *port;
  bound_ = address;
  group_bound_ = group;
  if (!is_any(address) && !group) source_ = address;
  table_.enter(*this);
  return Errno::ok;
}

Errno DatagramSocket::connect(const Endpoint& peer, Nanos now) {
  if (peer.address.family() == Family::none) {
    if (!is_connected()) return Errno::ok;
    table_.leave(*this);
    peer_ = {};
    local_.address = bound_;
    table_.enter(*this);
    return Errno::ok;
  }
  if (!family_allowed(peer.address.family())) return Errno::family_not_supported;
  if (type() == Type::udp && peer.port == 0) return Errno::invalid;
  const auto path = find_path(peer, source_);
  if (!path) return path.error();
  if (path->broadcast && !broadcast_) return Errno::access_denied;
  if (!is_bound()) {
    const Errno error = bind({IpAddress(), 0, local_.scope}, now);
    if (error != Errno::ok) return error;
  }
  table_.leave(*this);
  peer_ = peer;
  if (type() == Type::ping) peer_.port = 0;
  if (!group_bound_) local_.address = path->source;
  table_.enter(*this);
  return Errno::ok;
}

Errno DatagramSocket::listen(int, Nanos) { return Errno::not_supported; }

Result<Socket*> DatagramSocket::accept(Nanos) { return Errno::not_supported; }

Result<std::size_t> DatagramSocket::send(std::span<const std::uint8_t> data, std::uint32_t flags,
                                         Nanos now) {
  if (!is_connected()) return Errno::destination_required;
  return send_to(data, peer_, flags, now);
}

Result<std::size_t> DatagramSocket::send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                                            std::uint32_t flags, Nanos now) {
  if (flags != 0) return Errno::not_supported;
  if (const Errno error = take_error(); error != Errno::ok) return error;
  if (write_shut_) return Errno::broken_pipe;
  if (to.address.family() == Family::none) return Errno::destination_required;
  if (type() == Type::udp && to.port == 0) return Errno::invalid;
  if (!family_allowed(to.address.family())) return Errno::family_not_supported;
  if (data.size() > largest_payload(to.address.family())) return Errno::message_size;
  if (!is_bound()) {
    const Errno error = bind({}, now);
    if (error != Errno::ok) return error;
  }
  const bool to_peer = is_connected() && !group_bound_ && to.address == peer_.address;
  const auto path = find_path(to, to_peer ? local_.address : source_);
  if (!path) return path.error();
  // RFC 1122 3.3.6: broadcasts are not sent by accident.
  if (path->broadcast && !broadcast_) return Errno::access_denied;
  const Errno error = transmit(data, to, *path, now);
  if (error != Errno::ok) return error;
  return data.size();
}

Result<Path> DatagramSocket::find_path(const Endpoint& to, const IpAddress& source) {
  const InterfaceId interface = bind_interface_ != kAnyInterface ? bind_interface_
                                : to.scope != kAnyInterface      ? to.scope
                                : local_.scope != kAnyInterface  ? local_.scope
                                : to.address.is_multicast()      ? multicast_interface_
                                                                 : kAnyInterface;
  const std::uint64_t generation = ip_.path_generation();
  if (cached_ && cached_->generation == generation && cached_->destination == to.address &&
      cached_->source == source && cached_->interface == interface) {
    return cached_->path;
  }
  const auto path = ip_.find_path(to.address, source, interface);
  if (path) cached_ = CachedPath{to.address, source, interface, generation, *path};
  return path;
}

Errno DatagramSocket::transmit(std::span<const std::uint8_t> data, const Endpoint& to,
                               const Path& path, Nanos now) {
  const bool v4 = to.address.is_v4();
  IpMeta meta;
  meta.source = path.source;
  meta.destination = to.address;
  meta.interface = path.interface;
  meta.protocol = type() == Type::udp ? kUdp : v4 ? kIcmp : kIcmpv6;
  meta.hop_limit = to.address.is_multicast() ? multicast_hop_limit_ : hop_limit_;
  meta.traffic_class = traffic_class_;
  meta.dont_fragment = dont_fragment_;
  meta.loops = multicast_loop_;
  return ip_.send_ip(meta, path,
                     type() == Type::udp ? build_udp(data, to, path) : build_echo(data, to, path),
                     now);
}

Packet DatagramSocket::build_udp(std::span<const std::uint8_t> data, const Endpoint& to,
                                 const Path& path) {
  Packet packet(ip_.pool().copy(data));
  const auto out = packet.prepend(wire::kUdpHeader);
  const auto length = static_cast<std::uint16_t>(packet.size());
  const std::uint16_t pseudo = wire::pseudo_header(path.source, to.address, kUdp, length).folded();
  wire::emit_udp({local_.port, to.port, length, pseudo}, out);
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = length;
  packet.checksum_field = wire::kUdpChecksumOffset;
  return packet;
}

Packet DatagramSocket::build_echo(std::span<const std::uint8_t> data, const Endpoint& to,
                                  const Path& path) {
  const bool v4 = to.address.is_v4();
  const std::uint8_t echo =
      v4 ? std::uint8_t{wire::kIcmpv4EchoRequest} : std::uint8_t{wire::kIcmpv6EchoRequest};
  std::uint16_t sequence = next_sequence_++;
  if (echo_sequence_ && data.size() >= sizeof sequence) {
    sequence = wire::load16(data.data());
    data = data.subspan(sizeof sequence);
  }
  Packet packet(ip_.pool().copy(data));
  const auto out = packet.prepend(wire::kIcmpHeader);
  wire::emit_icmpv4(wire::IcmpHeader::echo(echo, local_.port, sequence), out);
  // ICMPv6 has a pseudo header (RFC 4443 2.3), ICMP has none (RFC 792).
  wire::Checksum sum;
  if (!v4) {
    sum = wire::pseudo_header(path.source, to.address, kIcmpv6,
                              static_cast<std::uint32_t>(packet.size()));
  }
  sum.add(packet, 0, packet.size());
  wire::store16(&out[2], sum.finish());
  return packet;
}

Result<Received> DatagramSocket::receive(std::span<std::uint8_t> buffer, std::uint32_t flags,
                                         Nanos) {
  if ((flags & ~std::uint32_t{kPeek}) != 0) return Errno::not_supported;
  if (const Errno error = take_error(); error != Errno::ok) return error;
  if (queue_.empty()) {
    if (read_shut_) return Received{};
    return Errno::again;
  }
  Received received;
  received.copied = queue_.copy_front(buffer);
  received.size = queue_.front().size;
  received.from = queue_.front().from;
  if ((flags & kPeek) == 0) {
    queue_.pop();
    update();
  }
  return received;
}

Errno DatagramSocket::shutdown(Shutdown how, Nanos) {
  if (!is_connected()) return Errno::not_connected;
  read_shut_ = read_shut_ || how != Shutdown::write;
  write_shut_ = write_shut_ || how != Shutdown::read;
  update();
  return Errno::ok;
}

void DatagramSocket::close(Nanos now) {
  for (const Membership& each : memberships_) leave(each, now);
  table_.erase(*this);
}

bool DatagramSocket::Membership::names(const IpAddress& source) const {
  return std::find(sources.begin(), sources.end(), source) != sources.end();
}

DatagramSocket::Hearing DatagramSocket::hears(const IpAddress& source, const IpAddress& destination,
                                              InterfaceId from_interface) const {
  if (!destination.is_multicast()) return Hearing::yes;
  const auto found =
      std::find_if(memberships_.begin(), memberships_.end(), [&](const Membership& each) {
        return each.group == destination && each.interface == from_interface;
      });
  if (found != memberships_.end()) {
    // RFC 3376 3.2, RFC 3810 4.2: what the interface lets in may be for others.
    return found->sources.empty() || found->names(source) ? Hearing::yes : Hearing::other_source;
  }
  const bool everybodys = destination == IpAddress::all_nodes() ||
                          destination == IpAddress::v4(224, 0, 0, 1);  // RFC 1112 4
  return everybodys ? Hearing::yes : Hearing::no_member;
}

DatagramSocket::Memberships::iterator DatagramSocket::find_membership(const IpAddress& group,
                                                                      InterfaceId interface) {
  return std::find_if(memberships_.begin(), memberships_.end(), [&](const Membership& each) {
    return each.group == group && (interface == kAnyInterface || each.interface == interface);
  });
}

void DatagramSocket::leave(const Membership& membership, Nanos now) {
  const auto& [group, interface, sources] = membership;
  if (sources.empty()) ip_.leave_group(group, {}, interface, now);
  for (const IpAddress& source : sources) ip_.leave_group(group, source, interface, now);
}

Errno DatagramSocket::set_membership(const IpAddress& group, InterfaceId interface, bool member,
                                     Nanos now) {
  if (type() != Type::udp) return Errno::not_supported;
  if (!group.is_multicast()) return Errno::invalid;
  if (!member) {
    const auto found = find_membership(group, interface);
    if (found == memberships_.end()) return Errno::address_not_available;
    leave(*found, now);
    memberships_.erase(found);
    return Errno::ok;
  }
  const auto on =
      ip_.group_interface(group, interface != kAnyInterface ? interface : bind_interface_);
  if (!on) return on.error();
  if (find_membership(group, *on) != memberships_.end()) return Errno::address_in_use;
  if (memberships_.size() >= kMaxMemberships) return Errno::no_buffers;
  const Errno error = ip_.join_group(group, {}, *on, now);
  if (error == Errno::ok) memberships_.push_back({group, *on});
  return error;
}

Errno DatagramSocket::set_source_membership(const IpAddress& group, const IpAddress& source,
                                            InterfaceId interface, bool member, Nanos now) {
  if (type() != Type::udp) return Errno::not_supported;
  if (!group.is_multicast() || source.family() != group.family()) return Errno::invalid;
  return member ? add_source(group, source, interface, now)
                : drop_source(group, source, interface, now);
}

Errno DatagramSocket::add_source(const IpAddress& group, const IpAddress& source,
                                 InterfaceId interface, Nanos now) {
  const auto on =
      ip_.group_interface(group, interface != kAnyInterface ? interface : bind_interface_);
  if (!on) return on.error();
  const auto found = find_membership(group, *on);
  const bool added = found == memberships_.end();
  if (added && memberships_.size() >= kMaxMemberships) return Errno::no_buffers;
  if (!added && found->names(source)) return Errno::address_not_available;
  if (!added && found->sources.size() >= (group.is_v4() ? kMaxSources4 : kMaxSources6))
    return Errno::no_buffers;
  const Errno error = ip_.join_group(group, source, *on, now);
  if (error != Errno::ok) return error;
  if (added) {
    memberships_.push_back({group, *on, {source}});
    return Errno::ok;
  }
  const bool had_any = found->sources.empty();
  found->sources.push_back(source);
  // Behind the join: routers hear of one change, and not that the group was left.
  if (had_any) ip_.leave_group(group, {}, *on, now);
  return Errno::ok;
}

Errno DatagramSocket::drop_source(const IpAddress& group, const IpAddress& source,
                                  InterfaceId interface, Nanos now) {
  if (find_membership(group, interface) == memberships_.end()) return Errno::invalid;
  const auto found =
      std::find_if(memberships_.begin(), memberships_.end(), [&](const Membership& each) {
        const bool there = interface == kAnyInterface || each.interface == interface;
        return there && each.group == group && each.names(source);
      });
  if (found == memberships_.end()) return Errno::address_not_available;
  ip_.leave_group(group, source, found->interface, now);
  std::erase(found->sources, source);
  // RFC 3376 3.1: INCLUDE({}) is no membership.
  if (found->sources.empty()) memberships_.erase(found);
  return Errno::ok;
}

Result<Endpoint> DatagramSocket::peer() const {
  if (!is_connected()) return Errno::not_connected;
  return peer_;
}

Errno DatagramSocket::set_option(Option option, std::int64_t value, Nanos) {
  const auto in = [value](std::int64_t low, std::int64_t high) {
    return value >= low && value <= high;
  };
  const auto flag = [&](bool& where) {
    where = value != 0;
    return Errno::ok;
  };
  const auto byte = [&](std::uint8_t& where, std::int64_t low) {
    if (!in(low, 255)) return Errno::invalid;
    where = static_cast<std::uint8_t>(value);
    return Errno::ok;
  };
  const auto buffer_size = [value] {
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(value, kBufferMin, std::int64_t{kBufferMax}));
  };
  switch (option) {
  case Option::reuse_address: return flag(reuse_address_);
  case Option::dont_fragment: return flag(dont_fragment_);
  case Option::echo_sequence:
    return type() == Type::ping ? flag(echo_sequence_) : Errno::no_protocol_option;
  case Option::broadcast: return type() == Type::udp ? flag(broadcast_) : Errno::no_protocol_option;
  case Option::ipv6_only: return is_bound() ? Errno::invalid : flag(ipv6_only_);
  case Option::hop_limit: return byte(hop_limit_, 1);
  case Option::multicast_hop_limit: return byte(multicast_hop_limit_, 0);
  case Option::traffic_class: return byte(traffic_class_, 0);
  case Option::send_buffer:
    if (value < 0) return Errno::invalid;
    send_buffer_ = buffer_size();
    return Errno::ok;
  case Option::receive_buffer:
    if (value < 0) return Errno::invalid;
    queue_.set_limit(buffer_size());
    return Errno::ok;
  case Option::bind_interface:
    if (!in(0, UINT32_MAX)) return Errno::invalid;
    bind_interface_ = static_cast<InterfaceId>(value);
    return Errno::ok;
  case Option::multicast_loop: return flag(multicast_loop_);
  case Option::multicast_interface:
    if (!in(0, UINT32_MAX)) return Errno::invalid;
    multicast_interface_ = static_cast<InterfaceId>(value);
    return Errno::ok;
  default: return Errno::no_protocol_option;
  }
}

Result<std::int64_t> DatagramSocket::option(Option option) {
  const auto number = [](auto value) {
    return Result<std::int64_t>(static_cast<std::int64_t>(value));
  };
  switch (option) {
  case Option::reuse_address: return number(reuse_address_);
  case Option::dont_fragment: return number(dont_fragment_);
  case Option::echo_sequence:
    if (type() != Type::ping) return Errno::no_protocol_option;
    return number(echo_sequence_);
  case Option::broadcast:
    if (type() != Type::udp) return Errno::no_protocol_option;
    return number(broadcast_);
  case Option::ipv6_only: return number(ipv6_only_);
  case Option::hop_limit: return number(hop_limit_);
  case Option::multicast_hop_limit: return number(multicast_hop_limit_);
  case Option::traffic_class: return number(traffic_class_);
  case Option::send_buffer: return number(send_buffer_);
  case Option::receive_buffer: return number(queue_.limit());
  case Option::bind_interface: return number(bind_interface_);
  case Option::error: return number(static_cast<int>(take_error()));
  case Option::type: return number(static_cast<int>(type()));
  case Option::unread: return number(queue_.empty() ? 0 : queue_.front().size);
  case Option::multicast_loop: return number(multicast_loop_);
  case Option::multicast_interface: return number(multicast_interface_);
  default: return Errno::no_protocol_option;
  }
}

}  // namespace vpollnet::socket
