// SPDX-License-Identifier: MIT
#include "link/offload.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::link {

namespace {

constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::size_t kIpv4TotalLength = 2;
constexpr std::size_t kIpv4Identification = 4;
constexpr std::size_t kIpv6PayloadLength = 4;
constexpr std::size_t kTcpSequence = 4;
constexpr std::size_t kTcpFlags = 13;
constexpr std::size_t kUdpLength = 4;

/// Where the headers of a packet begin and end, from its first byte.
struct Layout {
  bool v4 = false;
  std::uint8_t protocol = 0;
  std::size_t ip = 0;
  std::size_t transport = 0;
  std::size_t payload = 0;
  IpAddress source;
  IpAddress destination;
};

/// The first `count` bytes, or as many as there are.
std::span<const std::uint8_t> front(Packet& packet, std::size_t count, BlockPool& pool) {
  return packet.contiguous(std::min(count, packet.size()), pool);
}

std::optional<Layout> read_layout(Packet& packet, std::size_t link_header, BlockPool& pool) {
  Layout layout;
  layout.ip = link_header;
  auto bytes = front(packet, link_header + wire::kIpv6Header, pool);
  if (bytes.size() <= link_header) return std::nullopt;
  bytes = bytes.subspan(link_header);
  const auto length = wire::ipv4_header_length(bytes);
  layout.v4 = length.has_value();
  if (layout.v4) {
    layout.protocol = bytes[9];
    layout.source = IpAddress::from_bytes(bytes.subspan(12, 4));
    layout.destination = IpAddress::from_bytes(bytes.subspan(16, 4));
    layout.transport = link_header + *length;
  } else {
    const auto header = wire::parse_ipv6(bytes, SIZE_MAX);
    if (!header) return std::nullopt;
    layout.protocol = header->next_header;
    layout.source = header->source;
    layout.destination = header->destination;
    layout.transport = link_header + wire::kIpv6Header;
  }
  if (layout.protocol == kUdpProtocol) {
    layout.payload = layout.transport + wire::kUdpHeader;
  } else if (layout.protocol == kTcpProtocol) {
    bytes = front(packet, layout.transport + wire::kTcpHeaderMin, pool);
    if (bytes.size() < layout.transport) return std::nullopt;
    const auto header = wire::tcp_header_length(bytes.subspan(layout.transport));
    if (!header) return std::nullopt;
    layout.payload = layout.transport + *header;
  } else {
    return std::nullopt;
  }
  if (layout.payload > packet.size() || layout.payload > Packet::kHeadCapacity) return std::nullopt;
  return layout;
}

void write_ip(const Layout& layout, std::span<std::uint8_t> headers, std::size_t payload,
              std::size_t index) {
  const std::size_t end = layout.payload + payload;
  const auto ip = headers.subspan(layout.ip, layout.transport - layout.ip);
  if (!layout.v4) {
    wire::store16(&ip[kIpv6PayloadLength], static_cast<std::uint16_t>(end - layout.transport));
    return;
  }
  wire::store16(&ip[kIpv4TotalLength], static_cast<std::uint16_t>(end - layout.ip));
  // RFC 6864 4: distinct for packets that may be fragmented, of no meaning for the others.
  wire::store16(&ip[kIpv4Identification],
                static_cast<std::uint16_t>(wire::load16(&ip[kIpv4Identification]) + index));
  wire::finish_ipv4(ip);
}

void write_tcp(std::span<std::uint8_t> header, std::size_t offset, bool first, bool last) {
  wire::store32(&header[kTcpSequence],
                wire::load32(&header[kTcpSequence]) + static_cast<std::uint32_t>(offset));
  // RFC 3168 6.1.2: CWR is on the first new data packet after the cut of the window.
  if (!first) header[kTcpFlags] &= static_cast<std::uint8_t>(~wire::kCwr);
  // PSH and FIN belong to the last byte (RFC 9293 3.9.1.2, 3.6).
  if (!last) header[kTcpFlags] &= static_cast<std::uint8_t>(~(wire::kFin | wire::kPsh));
}

}  // namespace

void finish_checksum(Packet& packet, BlockPool& pool) {
  if (packet.checksum != ChecksumState::partial) return;
  packet.checksum = ChecksumState::unverified;
  const std::size_t size = packet.size();
  const std::size_t covered = packet.checksum_from_end;
  if (covered > size || packet.checksum_field + std::size_t{2} > covered) return;
  const std::size_t from = size - covered;
  // The field is summed too: it holds the pseudo header.
  wire::Checksum sum;
  sum.add(packet, from, covered);
  // Zero and all ones are the same number in one's complement, and zero means "none" to UDP.
  const std::uint16_t value = sum.finish() == 0 ? 0xffff : sum.finish();
  const std::size_t field = from + packet.checksum_field;
  wire::store16(&packet.writable(field + 2, pool)[field], value);
}

std::size_t segment_size(Packet& packet, BlockPool& pool) {
  const auto layout = packet.gso_size == 0 ? std::nullopt : read_layout(packet, 0, pool);
  return layout ? std::min(packet.size(), layout->payload + packet.gso_size) : packet.size();
}

void segment(Packet&& whole, std::size_t link_header, bool finish, BlockPool& pool,
             const std::function<void(Packet&&)>& emit) {
  Packet packet(std::move(whole));  // so that nothing is held in it when this returns
  const std::size_t step = packet.gso_size;
  packet.gso_size = 0;
  const auto layout = step == 0 ? std::nullopt : read_layout(packet, link_header, pool);
  if (!layout || packet.size() - layout->payload <= step) {
    if (finish) finish_checksum(packet, pool);
    emit(std::move(packet));
    return;
  }

  std::array<std::uint8_t, Packet::kHeadCapacity> headers;
  packet.copy_out(0, std::span(headers).first(layout->payload));
  const bool tcp = layout->protocol == kTcpProtocol;
  const std::size_t field = tcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset;
  const std::size_t data = packet.size() - layout->payload;
  std::size_t index = 0;
  for (std::size_t at = 0; at < data; at += step, index++) {
    const std::size_t count = std::min(step, data - at);
    Packet piece = packet.range(layout->payload + at, count, pool);
    const auto out = piece.prepend(layout->payload);
    std::memcpy(out.data(), headers.data(), layout->payload);
    write_ip(*layout, out, count, index);
    const auto transport = out.subspan(layout->transport);
    const std::size_t length = transport.size() + count;
    if (tcp) {
      write_tcp(transport, at, at == 0, at + count == data);
    } else {
      wire::store16(&transport[kUdpLength], static_cast<std::uint16_t>(length));
    }
    const wire::Checksum pseudo = wire::pseudo_header(
        layout->source, layout->destination, layout->protocol, static_cast<std::uint32_t>(length));
    wire::store16(&transport[field], pseudo.folded());
    piece.checksum = ChecksumState::partial;
    piece.checksum_from_end = static_cast<std::uint32_t>(length);
    piece.checksum_field = static_cast<std::uint16_t>(field);
    if (finish) finish_checksum(piece, pool);
    emit(std::move(piece));
  }
}

}  // namespace vpollnet::link
