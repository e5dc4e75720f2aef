// SPDX-License-Identifier: MIT
#include "host/links/socket_filter.hpp"

#include <algorithm>
#include <optional>

#include "wire/bytes.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"

namespace vpollnet::host {
namespace {

/// The number that the fragments of one datagram share; nothing for a packet that is whole.
std::optional<std::uint32_t> fragment_number(Packet& packet, BlockPool& pool) {
  const auto bytes =
      packet.contiguous(std::min<std::size_t>(packet.size(), wire::kIpv6MinimumMtu), pool);
  if (const auto length = wire::ipv4_header_length(bytes)) {
    const auto parsed =
        wire::parse_ipv4(bytes.first(std::min(*length, bytes.size())), packet.size());
    if (!parsed || !parsed->header.is_fragment()) return std::nullopt;
    return parsed->header.identification;
  }
  if (!wire::parse_ipv6(bytes, packet.size())) return std::nullopt;
  const wire::Ipv6Chain chain = wire::walk_ipv6_quote(bytes);
  if (!chain.fragment) return std::nullopt;
  return chain.fragment->identification;
}

}  // namespace

void SocketFilter::attach(const socket::Socket& socket) {
  socket_ = &socket;
  protocol_ = socket.type() == socket::Type::tcp ? filter::kProtocolTcp : filter::kProtocolUdp;
  look();
}

void SocketFilter::detach() {
  look();
  socket_ = nullptr;
}

void SocketFilter::look() {
  if (socket_ == nullptr) return;
  local_ = socket_->local();
  remote_ = socket_->remote();
}

bool SocketFilter::fits(const IpAddress& near, std::uint16_t near_port, const IpAddress& far,
                        std::uint16_t far_port) const {
  if (near_port != local_.port) return false;
  const IpAddress& own = local_.address;
  if (own.family() != Family::none && !own.is_unspecified() && own != near) return false;
  if (remote_.address.family() == Family::none) return true;
  return far == remote_.address && far_port == remote_.port;
}

bool SocketFilter::fits(const filter::FlowTuple& tuple) const {
  return tuple.protocol == protocol_ && local_.port != 0 &&
         (fits(tuple.source, tuple.source_port, tuple.destination, tuple.destination_port) ||
          fits(tuple.destination, tuple.destination_port, tuple.source, tuple.source_port));
}

bool SocketFilter::wants(const Packet& frame, std::size_t header) {
  look();
  Packet packet = frame.clone();
  packet.trim_front(header);
  const auto flow = filter::read_flow(packet, pool_);
  if (!flow) return false;
  if (flow->quote) return fits(flow->quote->tuple);
  const bool wanted = !flow->later_fragment && fits(flow->tuple);
  if (!wanted && !flow->later_fragment) return false;
  const auto number = fragment_number(packet, pool_);
  if (!number) return wanted;
  const Fragment fragment{flow->tuple.source, flow->tuple.destination, *number};
  if (!wanted) return std::ranges::find(fragments_, fragment) != fragments_.end();
  fragments_[next_fragment_] = fragment;
  next_fragment_ = (next_fragment_ + 1) % kFragments;
  return true;
}

bool SocketFilter::is_over(const socket::SocketTable& table) {
  look();
  const bool connection =
      protocol_ == filter::kProtocolTcp && remote_.address.family() != Family::none;
  if (connection) return !table.has_connection(local_, remote_);
  return socket_ == nullptr;
}

}  // namespace vpollnet::host
