// SPDX-License-Identifier: MIT
#include "ip/fragment_output.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/bytes.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"

namespace vpollnet::ip {

namespace {

constexpr std::size_t kIpv4TotalLength = 2;
constexpr std::size_t kIpv4FragmentField = 6;
constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
constexpr std::size_t kIpv6PayloadLength = 4;
constexpr std::size_t kIpv6NextHeader = 6;
/// Largest unfragmentable part: the fixed header and a small Hop-by-Hop header.
constexpr std::size_t kUnfragmentableMax = 64;

std::vector<Packet> only(Packet&& packet) {
  std::vector<Packet> result;
  result.push_back(std::move(packet));
  return result;
}

}  // namespace

std::vector<Packet> fragment_ipv4(Packet&& packet, std::size_t mtu, BlockPool& pool) {
  const auto length = wire::ipv4_header_length(
      packet.contiguous(std::min(packet.size(), wire::kIpv4HeaderMin), pool));
  if (!length || *length > packet.size()) return {};
  const auto parsed = wire::parse_ipv4(packet.contiguous(*length, pool), packet.size());
  if (!parsed) return {};
  if (packet.size() <= mtu) return only(std::move(packet));
  if (parsed->header.dont_fragment || mtu < *length + 8) return {};

  std::array<std::uint8_t, wire::kIpv4HeaderMax> header;
  packet.copy_out(0, std::span(header).first(*length));
  const std::size_t step = (mtu - *length) / 8 * 8;
  const std::size_t data = packet.size() - *length;
  std::vector<Packet> fragments;
  fragments.reserve(data / step + 1);
  for (std::size_t at = 0; at < data; at += step) {
    const std::size_t count = std::min(step, data - at);
    const bool more = at + count < data || parsed->header.more_fragments;
    Packet fragment = packet.range(*length + at, count, pool);
    const auto out = fragment.prepend(*length);
    std::memcpy(out.data(), header.data(), *length);
    wire::store16(&out[kIpv4TotalLength], static_cast<std::uint16_t>(*length + count));
    wire::store16(&out[kIpv4FragmentField],
                  static_cast<std::uint16_t>((more ? kIpv4MoreFragments : 0) |
                                             (parsed->header.fragment_offset + at) / 8));
    wire::finish_ipv4(out);
    fragments.push_back(std::move(fragment));
    if (at == 0) wire::blank_uncopied_options(std::span(header).first(*length));
  }
  return fragments;
}

std::vector<Packet> fragment_ipv6(Packet&& packet, std::size_t mtu, std::uint32_t identification,
                                  BlockPool& pool) {
  const std::size_t front = std::min(packet.size(), kUnfragmentableMax);
  const auto bytes = packet.contiguous(front, pool);
  if (!wire::parse_ipv6(bytes, packet.size())) return {};
  if (packet.size() <= mtu) return only(std::move(packet));

  // RFC 8200 4.5: the unfragmentable part is the headers up to and including Hop-by-Hop.
  std::size_t length = wire::kIpv6Header;
  std::size_t next_field = kIpv6NextHeader;
  if (bytes[kIpv6NextHeader] == wire::kNextHopByHop) {
    if (bytes.size() < length + 8) return {};
    next_field = length;
    length += (bytes[length + 1] + std::size_t{1}) * 8;
    if (length > bytes.size()) return {};
  }
  const std::size_t in_front = length + wire::kIpv6FragmentHeader;
  if (mtu < in_front + 8) return {};

  std::array<std::uint8_t, kUnfragmentableMax> header;
  std::copy_n(bytes.begin(), length, header.begin());
  wire::Ipv6Fragment fragment{header[next_field], 0, false, identification};
  header[next_field] = wire::kNextFragment;
  const std::size_t step = (mtu - in_front) / 8 * 8;
  const std::size_t data = packet.size() - length;
  std::vector<Packet> fragments;
  fragments.reserve(data / step + 1);
  for (std::size_t at = 0; at < data; at += step) {
    const std::size_t count = std::min(step, data - at);
    fragment.offset = static_cast<std::uint16_t>(at);
    fragment.more = at + count < data;
    Packet part = packet.range(length + at, count, pool);
    const auto out = part.prepend(in_front);
    std::memcpy(out.data(), header.data(), length);
    wire::store16(&out[kIpv6PayloadLength],
                  static_cast<std::uint16_t>(in_front - wire::kIpv6Header + count));
    wire::emit_ipv6_fragment(fragment, out.subspan(length));
    fragments.push_back(std::move(part));
  }
  return fragments;
}

}  // namespace vpollnet::ip
