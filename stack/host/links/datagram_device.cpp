// SPDX-License-Identifier: MIT
#include "host/links/datagram_device.hpp"

#include <algorithm>
#include <cerrno>

#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kMostIpPacket = 65535;

/// The IP packet for which an outer packet of `outer` bytes has room.
std::uint32_t mtu_within(std::uint32_t outer, int family) {
  const auto overhead = udp_overhead(family) + static_cast<std::uint32_t>(wire::kEthernetHeader);
  return std::min(outer, kMostIpPacket) - std::min(outer, overhead);
}

}  // namespace

std::unique_ptr<DatagramDevice> DatagramDevice::open(const Options& options, Failure& failure) {
  std::unique_ptr<DatagramDevice> device(new DatagramDevice);
  device->any_ = options.any;
  if (options.mtu != 0) device->capabilities_.mtu = options.mtu;
  if (options.local.family() != options.remote.family()) {
    failure = {Errno::invalid, "",
               options.local.to_string() + " and " + options.remote.to_string() +
                   " are of different families"};
  } else if (options.remote.family() == AF_UNIX) {
    failure = device->open_unix(options);
  } else if (options.remote.endpoint().address.is_multicast()) {
    failure = device->open_group(options);
  } else {
    failure = device->open_unicast(options);
  }
  if (failure) return nullptr;
  return device;
}

Failure DatagramDevice::open_unix(const Options& options) {
  Failure failure;
  Descriptor input = open_socket(AF_UNIX, SOCK_DGRAM, failure);
  if (!failure) failure = UnixPath::bind(input, options.local, path_);
  // Apart from the first: a connected Unix socket hears its peer alone, and not the one that takes
  // the peer's place; and only a connected one shows by poll(2) that the peer has room.
  Descriptor output;
  if (!failure) output = open_socket(AF_UNIX, SOCK_DGRAM, failure);
  if (failure) return failure;
  input_ = std::make_unique<DatagramSocket>(std::move(input));
  output_ = std::make_unique<DatagramSocket>(std::move(output));
  output_->set_peer(options.remote);
  any_ = true;  // the path's permissions say who may send
  return {};
}

Failure DatagramDevice::open_unicast(const Options& options) {
  PathTo path;
  Failure failure = find_path_to(options.remote, options.local, options.udp.device, path);
  if (failure) return failure;
  Descriptor socket;
  failure = open_udp(options.local, options.udp, socket);
  if (failure) return failure;
  // Not connected: what comes from others is then seen and counted, and the ICMP errors of a peer
  // that is not there (yet) are nobody's.
  input_ = std::make_unique<DatagramSocket>(std::move(socket));
  remote_ = options.remote;
  if (options.mtu == 0) capabilities_.mtu = mtu_within(path.mtu, remote_.family());
  return {};
}

Failure DatagramDevice::open_group(const Options& options) {
  PathTo path;
  Failure failure = find_path_to(options.remote, options.local, options.udp.device, path);
  if (failure) return failure;
  Descriptor input;
  failure = open_udp_group(options.remote, path.own, options.udp, input);
  if (failure) return failure;
  // Its own port tells our frames from those of others on this machine, which share the group's.
  SocketAddress from = path.own;
  from.set_port(0);
  Descriptor output;
  failure = open_udp(from, options.udp, output);
  if (failure) return failure;
  own_ = bound_address(output);
  refuse_input(output);
  input_ = std::make_unique<DatagramSocket>(std::move(input));
  output_ = std::make_unique<DatagramSocket>(std::move(output));
  remote_ = options.remote;
  any_ = true;
  if (options.mtu == 0) capabilities_.mtu = mtu_within(path.mtu, remote_.family());
  return {};
}

bool DatagramDevice::is_peer(const SocketAddress& from) const { return any_ || from == remote_; }

Errno DatagramDevice::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  const auto received = input_->receive(limit);
  if (!received) {
    // The error of a datagram that was sent, not of the socket.
    return received.error() == Errno::again ? Errno::again : Errno::ok;
  }
  for (const auto& [bytes, from] : *received) {
    if (own_.size() > 0 && *from == own_) continue;
    if (!is_peer(*from)) {
      drop(LinkDrop::wrong_peer);
    } else if (bytes.size() < wire::kEthernetHeader) {
      drop(LinkDrop::malformed);
    } else if (bytes.size() > DatagramSocket::kMostBytes) {
      drop(LinkDrop::too_long);  // of a Unix socket: there may be more of it than was read
    } else {
      frames.push_back(Packet(pool.copy(bytes)));
    }
  }
  if (const std::uint32_t lost = input_->take_overflow(); lost > 0) {
    drop(LinkDrop::queue_full, lost);
  }
  return received->size() < limit ? Errno::again : Errno::ok;
}

Errno DatagramDevice::write(Packet& frame, BlockPool& pool) {
  if (frame.size() > DatagramSocket::kMostBytes) return Errno::message_size;
  if (!output().has_room()) flush(pool);
  if (!output().has_room()) return Errno::again;
  output().send(std::move(frame), remote_, pool);
  return Errno::ok;
}

Errno DatagramDevice::flush(BlockPool&) {
  return output().flush([this](LinkDrop reason) { drop(reason); });
}

}  // namespace vpollnet::host
