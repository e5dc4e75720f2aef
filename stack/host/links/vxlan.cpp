// SPDX-License-Identifier: MIT
#include "host/links/vxlan.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "host/clock.hpp"
#include "host/links/flow_hash.hpp"
#include "host/links/headroom.hpp"
#include "host/links/vxlan_header.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kMostIpPacket = 65535;

SocketAddress with_port(SocketAddress address, std::uint16_t port) {
  address.set_port(port);
  return address;
}

/// A segment is one network, whatever tags its frames have (RFC 7348 6.1).
std::uint64_t table_key(const MacAddress& mac) {
  const std::uint8_t* bytes = mac.bytes.data();
  const std::uint64_t number = std::uint64_t{wire::load16(bytes)} << 32 | wire::load32(bytes + 2);
  return MacTable::key(number, 1);
}

}  // namespace

std::unique_ptr<Vxlan> Vxlan::open(const Options& options, Failure& failure) {
  std::unique_ptr<Vxlan> vxlan(new Vxlan(options.vni));
  failure = vxlan->open_sockets(options);
  if (failure) return nullptr;
  return vxlan;
}

Failure Vxlan::open_sockets(const Options& options) {
  remotes_ = end_points_ = options.remotes;
  any_ = options.any;
  own_port_ = options.local.endpoint().port;
  port_ = remotes_.front().endpoint().port;
  const int family = options.local.family();
  std::uint32_t outer = kMostIpPacket;
  for (const SocketAddress& remote : remotes_) {
    if (remote.family() != family) {
      return {Errno::invalid, "",
              options.local.to_string() + " and " + remote.to_string() +
                  " are of different families"};
    }
    PathTo path;
    Failure failure = find_path_to(remote, options.local, options.udp.device, path);
    if (failure) return failure;
    outer = std::min(outer, path.mtu);
    own_ = path.own;
    if (remote.endpoint().address.is_multicast()) {
      if (group_ != nullptr) return {Errno::invalid, "", "a segment has one multicast group"};
      group_ = &remote;
      any_ = true;
    }
  }
  const auto overhead =
      udp_overhead(family) + static_cast<std::uint32_t>(kVxlanHeader + wire::kEthernetHeader);
  capabilities_.mtu = options.mtu != 0 ? options.mtu : outer - std::min(outer, overhead);

  Descriptor socket;
  Failure failure = open_udp(options.local, options.udp, socket);
  if (failure) return failure;
  accept_zero_checksum(socket);
  const bool hears_all = options.local.endpoint().address.is_unspecified();
  if (group_ != nullptr && hears_all) failure = join_group(socket, *group_, own_, options.udp);
  if (failure) return failure;
  input_ = std::make_unique<DatagramSocket>(std::move(socket));
  full_ = input_.get();
  if (group_ != nullptr && !hears_all) failure = open_group(options);
  if (!failure && options.ports > 1) failure = open_senders(options);
  return failure;
}

/// A socket that is bound to an address hears what is sent to that alone.
Failure Vxlan::open_group(const Options& options) {
  Descriptor socket;
  const SocketAddress group = with_port(*group_, own_port_);
  Failure failure = open_udp_group(group, own_, options.udp, socket);
  if (failure) return failure;
  accept_zero_checksum(socket);
  group_input_ = std::make_unique<DatagramSocket>(std::move(socket));
  both_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!both_) return {Errno(errno), "epoll_create1", ""};
  for (const DatagramSocket* one : {input_.get(), group_input_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(both_.get(), EPOLL_CTL_ADD, one->fd(), &event) != 0) {
      return {Errno(errno), "epoll_ctl", ""};
    }
  }
  return {};
}

/// RFC 7348 5, "Source Port": a hash of the inner frame chooses it, so that routers of equal cost
/// and the receiver's queues spread the flows. A UDP socket has one source port, so that each port
/// is a socket.
Failure Vxlan::open_senders(const Options& options) {
  for (std::size_t i = 0; i < options.ports; i++) {
    Descriptor socket;
    Failure failure = open_udp(with_port(options.local, 0), options.udp, socket);
    if (failure) return failure;
    refuse_input(socket);
    sender_ports_.push_back(bound_address(socket).endpoint().port);
    senders_.push_back(std::make_unique<DatagramSocket>(std::move(socket)));
  }
  return {};
}

bool Vxlan::is_own(const SocketAddress& from) const {
  if (group_ == nullptr || !from.same_host(own_)) return false;
  const std::uint16_t port = from.endpoint().port;
  if (senders_.empty()) return port == own_port_;
  return std::find(sender_ports_.begin(), sender_ports_.end(), port) != sender_ports_.end();
}

MacTable::Port Vxlan::known(const SocketAddress& from) const {
  // The source port is a hash of the flow (RFC 7348 5): it says who it is only where several end
  // points share an address.
  MacTable::Port same_host = MacTable::kNoPort;
  for (std::size_t i = 0; i < remotes_.size(); i++) {
    if (from == remotes_[i]) return static_cast<MacTable::Port>(i);
    if (same_host == MacTable::kNoPort && from.same_host(remotes_[i])) {
      same_host = static_cast<MacTable::Port>(i);
    }
  }
  if (same_host != MacTable::kNoPort) return same_host;
  const auto found = others_.find(from.endpoint().address);
  return found == others_.end() ? MacTable::kNoPort : found->second;
}

MacTable::Port Vxlan::add(const SocketAddress& from) {
  std::size_t number = end_points_.size();
  if (number < kMostEndPoints) {
    end_points_.emplace_back();
  } else {
    number = remotes_.size() + next_other_++ % (kMostEndPoints - remotes_.size());
    others_.erase(end_points_[number].endpoint().address);
    learned_.forget_port(static_cast<MacTable::Port>(number));
  }
  end_points_[number] = with_port(from, port_);
  return others_[from.endpoint().address] = static_cast<MacTable::Port>(number);
}

Errno Vxlan::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  bool all = read_from(*input_, limit, pool, frames);
  if (group_input_ != nullptr && frames.size() < limit) {
    all &= read_from(*group_input_, limit - frames.size(), pool, frames);
  } else if (group_input_ != nullptr) {
    all = false;
  }
  return all ? Errno::again : Errno::ok;
}

bool Vxlan::read_from(DatagramSocket& socket, std::size_t limit, BlockPool& pool,
                      std::vector<Packet>& frames) {
  const auto received = socket.receive(limit);
  if (!received) return received.error() == Errno::again;
  const Nanos now = monotonic_now();
  for (const auto& [bytes, from] : *received) {
    if (is_own(*from)) continue;
    MacTable::Port sender = known(*from);
    if (sender == MacTable::kNoPort && !any_) {
      drop(LinkDrop::wrong_peer);
      continue;
    }
    const auto vni = parse_vxlan(bytes);
    const auto frame = bytes.subspan(std::min(bytes.size(), kVxlanHeader));
    const auto header = wire::parse_ethernet(frame);
    if (!vni || !header) {
      drop(LinkDrop::malformed);
      continue;
    }
    if (*vni != vni_) {
      drop(LinkDrop::not_for_us);
      continue;
    }
    // RFC 7348 4.1: the inner source address is where the outer one is.
    if (!header->source.is_multicast()) {
      if (sender == MacTable::kNoPort) sender = add(*from);
      learned_.learn(table_key(header->source), sender, now);
    }
    frames.push_back(Packet(pool.copy(frame)));
  }
  if (const std::uint32_t lost = socket.take_overflow(); lost > 0) {
    drop(LinkDrop::queue_full, lost);
  }
  return received->size() < limit;
}

DatagramSocket& Vxlan::sender_for(Packet& frame, BlockPool& pool) {
  if (senders_.empty()) return *input_;
  return *senders_[flow_hash(frame, pool) % senders_.size()];
}

Errno Vxlan::write(Packet& frame, BlockPool& pool) {
  const auto header = wire::parse_ethernet(frame.contiguous(wire::kEthernetHeader, pool));
  if (!header) return Errno::invalid;
  if (frame.size() + kVxlanHeader > DatagramSocket::kMostBytes) return Errno::message_size;
  MacTable::Port at = MacTable::kNoPort;
  if (!header->destination.is_multicast()) {
    at = learned_.find(table_key(header->destination), monotonic_now());
  }
  const std::span<const SocketAddress> to =
      at != MacTable::kNoPort ? std::span<const SocketAddress>(&end_points_[at], 1)
                              : std::span<const SocketAddress>(remotes_);

  DatagramSocket& sender = sender_for(frame, pool);
  if (!sender.has_room(to.size())) flush(pool);
  if (!sender.has_room(to.size())) return Errno::again;
  make_headroom(frame, kVxlanHeader, pool);
  emit_vxlan(vni_, frame.prepend(kVxlanHeader));
  for (const SocketAddress& remote : to.first(to.size() - 1)) {
    sender.send(frame.clone(), remote, pool);
  }
  sender.send(std::move(frame), to.back(), pool);
  return Errno::ok;
}

Errno Vxlan::flush(BlockPool&) {
  const auto lose = [this](LinkDrop reason) { drop(reason); };
  Errno result = input_->flush(lose);
  if (result == Errno::again) full_ = input_.get();
  for (const auto& sender : senders_) {
    if (sender->flush(lose) != Errno::again) continue;
    full_ = sender.get();
    result = Errno::again;
  }
  return result;
}

}  // namespace vpollnet::host
