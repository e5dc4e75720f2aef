// SPDX-License-Identifier: MIT
#include "ip/fragments.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/bytes.hpp"

namespace vpollnet::ip {

namespace {

constexpr std::size_t kLargestPacket = 65535;
constexpr std::size_t kIpv4TotalLength = 2;
constexpr std::size_t kIpv4FragmentField = 6;
constexpr std::size_t kIpv6PayloadLength = 4;
constexpr std::size_t kTcpHeader = 20;
constexpr std::uint8_t kTcpProtocol = 6;

/// What a datagram and a fragment cost beside their bytes: list and table nodes, a vector entry, a
/// slice and the header of its block.
constexpr std::size_t kDatagramOverhead = 384;
constexpr std::size_t kPieceOverhead = 128;

/// ECN codepoints (RFC 3168 5).
constexpr std::uint8_t kNotEct = 0;
constexpr std::uint8_t kCongestionExperienced = 3;

bool same_bytes(const std::vector<Slice>& pieces, const Packet& packet, std::size_t offset) {
  std::array<std::uint8_t, 256> other;
  for (const Slice& slice : pieces) {
    auto ours = slice.bytes();
    while (!ours.empty()) {
      const std::size_t step = std::min(ours.size(), other.size());
      if (packet.copy_out(offset, std::span(other).first(step)) != step) return false;
      if (std::memcmp(ours.data(), other.data(), step) != 0) return false;
      ours = ours.subspan(step);
      offset += step;
    }
  }
  return true;
}

FragmentResult kept() { return {}; }
FragmentResult dropped(Drop reason) { return {std::nullopt, reason, 0}; }

}  // namespace

std::size_t Fragments::KeyHash::operator()(const Key& value) const {
  std::array<std::uint8_t, 38> bytes{};
  wire::store_address(&bytes[0], value.source);
  wire::store_address(&bytes[16], value.destination);
  wire::store32(&bytes[32], value.identification);
  bytes[36] = value.protocol;
  bytes[37] = static_cast<std::uint8_t>(value.source.family());
  return siphash(key, bytes);
}

Fragments::Fragments(BlockPool& pool, Budget& budget, const SecretKey& key, FragmentLimits limits)
    : pool_(pool), budget_(budget), limits_(limits), index_(16, KeyHash{key}) {}

Fragments::~Fragments() {
  while (!order_.empty()) erase(order_.begin());
}

FragmentResult Fragments::add(const wire::ParsedIpv4& parsed, Packet&& packet, Nanos now) {
  const wire::Ipv4Header& header = parsed.header;
  Fragment fragment;
  fragment.key = {header.source, header.destination, header.identification, header.protocol};
  fragment.offset = header.fragment_offset;
  fragment.more = header.more_fragments;
  fragment.header_length = parsed.length;
  fragment.ecn = header.traffic_class & 3;
  const std::size_t data = header.payload_length;
  if (packet.size() < parsed.length + data) return dropped(Drop::fragment_malformed);
  packet.truncate(parsed.length + data);
  // RFC 791 3.2: all but the last fragment carry a multiple of eight bytes. A fragment of nothing
  // and one that would end beyond the largest packet ("ping of death") come from no honest sender.
  if (data == 0 || (fragment.more && data % 8 != 0) ||
      parsed.length + fragment.offset + data > kLargestPacket) {
    return dropped(Drop::fragment_malformed);
  }
  // RFC 1858 3.1: a TCP header cut in two has no other use than to deceive a filter.
  if (fragment.offset == 0 && header.protocol == kTcpProtocol && data < kTcpHeader)
    return dropped(Drop::fragment_malformed);
  return add(fragment, std::move(packet), now);
}

FragmentResult Fragments::add(const wire::Ipv6Header& header, const wire::Ipv6Chain& chain,
                              Packet&& packet, Nanos now) {
  if (!chain.fragment || packet.size() <= chain.offset) return dropped(Drop::fragment_malformed);
  Fragment fragment;
  fragment.key = {header.source, header.destination, chain.fragment->identification, 0};
  fragment.offset = chain.fragment->offset;
  fragment.more = chain.fragment->more;
  fragment.header_length = chain.offset;
  fragment.fragment_at = chain.fragment_at;
  fragment.fragment_field = chain.fragment_field;
  fragment.ecn = header.traffic_class & 3;
  const std::size_t data = packet.size() - chain.offset;
  if ((fragment.more && data % 8 != 0) ||
      chain.fragment_at - wire::kIpv6Header + fragment.offset + data > kLargestPacket) {
    return dropped(Drop::fragment_malformed);
  }
  return add(fragment, std::move(packet), now);
}

FragmentResult Fragments::add(const Fragment& fragment, Packet&& packet, Nanos now) {
  Datagram* found = find_or_begin(fragment.key, now);
  if (found == nullptr) return dropped(Drop::memory_budget);
  Datagram& datagram = *found;
  // RFC 5722 3: also the constituent fragments that have not been received yet.
  if (datagram.poisoned) return dropped(Drop::fragment_overlap);

  const std::uint32_t begin = fragment.offset;
  const std::uint32_t end =
      begin + static_cast<std::uint32_t>(packet.size() - fragment.header_length);
  const auto next = std::lower_bound(
      datagram.pieces.begin(), datagram.pieces.end(), begin,
      [](const Piece& piece, std::uint32_t offset) { return piece.begin < offset; });
  const bool last_differs =
      fragment.more ? datagram.end && end > *datagram.end
                    : (datagram.end && *datagram.end != end) ||
                          (!datagram.pieces.empty() && datagram.pieces.back().end > end);
  const bool duplicate = next != datagram.pieces.end() && next->begin == begin && next->end == end;
  if (!last_differs && duplicate && same_bytes(next->bytes, packet, fragment.header_length)) {
    return kept();  // RFC 8200 4.5 lets exact duplicates made by the network be ignored
  }
  const bool overlap = (next != datagram.pieces.end() && next->begin < end) ||
                       (next != datagram.pieces.begin() && std::prev(next)->end > begin);
  if (overlap || last_differs) {
    poison(datagram);
    return dropped(Drop::fragment_overlap);
  }
  if (datagram.pieces.size() >= limits_.per_datagram) {
    poison(datagram);
    return dropped(Drop::fragment_limit);
  }

  const std::size_t header_cost = begin == 0 ? fragment.header_length : 0;
  if (!charge(datagram, end - begin + kPieceOverhead + header_cost)) {
    return dropped(Drop::memory_budget);
  }
  if (begin == 0) {
    // RFC 8200 4.5: only the headers of the first fragment are kept.
    datagram.header = pool_.copy(packet.contiguous(fragment.header_length, pool_));
    datagram.fragment_at = fragment.fragment_at;
    datagram.fragment_field = fragment.fragment_field;
  }
  datagram.largest = std::max(datagram.largest, packet.size());
  packet.trim_front(fragment.header_length);
  datagram.pieces.insert(next, Piece{begin, end, packet.take_compact(pool_)});
  datagram.have += end - begin;
  datagram.ecn_seen |= static_cast<std::uint8_t>(1u << fragment.ecn);
  if (!fragment.more) datagram.end = end;
  if (!datagram.end || datagram.have != *datagram.end) return kept();
  return finish(index_.find(fragment.key)->second);
}

/// All bytes from 0 to the end are there, so the fragment with offset 0 and its header are too.
FragmentResult Fragments::finish(Order::iterator datagram) {
  const std::uint32_t length = *datagram->end;
  const bool v4 = datagram->key.source.is_v4();
  Slice header = std::move(datagram->header);
  // A copy that nothing shares, made in add().
  const std::span<std::uint8_t> bytes(header.block()->data() + header.offset(), header.size());
  const bool congestion = (datagram->ecn_seen & 1u << kCongestionExperienced) != 0;
  const std::size_t total =
      length + (v4 ? bytes.size() : datagram->fragment_at - wire::kIpv6Header);
  // RFC 3168 5.3: a mark must survive reassembly, and a mix with Not-ECT is discarded.
  const bool ecn_mixed = congestion && (datagram->ecn_seen & 1u << kNotEct) != 0;
  if (total > kLargestPacket || ecn_mixed) {
    poison(*datagram);
    return dropped(Drop::fragment_malformed);
  }

  if (v4) {
    wire::store16(&bytes[kIpv4TotalLength], static_cast<std::uint16_t>(total));
    wire::store16(&bytes[kIpv4FragmentField], 0);
    if (congestion) bytes[1] |= kCongestionExperienced;
    wire::finish_ipv4(bytes);
  } else {
    // RFC 8200 4.5: the header in front takes the fragment header's next header; the fragment
    // header itself goes.
    wire::store16(&bytes[kIpv6PayloadLength], static_cast<std::uint16_t>(total));
    bytes[datagram->fragment_field] = bytes[datagram->fragment_at];
    if (congestion) bytes[1] |= kCongestionExperienced << 4;
    header.truncate(static_cast<std::uint32_t>(datagram->fragment_at));
  }
  Packet whole{std::move(header)};
  for (Piece& piece : datagram->pieces) {
    for (Slice& slice : piece.bytes) whole.append(std::move(slice));
  }
  const std::size_t largest = datagram->largest;
  erase(datagram);
  return {std::move(whole), std::nullopt, largest};
}

Fragments::Datagram* Fragments::find_or_begin(const Key& key, Nanos now) {
  const auto found = index_.find(key);
  if (found != index_.end()) return &*found->second;
  // Under a flood the oldest go: what an honest peer sends is whole within milliseconds, and
  // refusing new ones would lock everybody out for the time of the timeout.
  if (order_.size() >= limits_.datagrams) erase(order_.begin());
  order_.emplace_back();
  Datagram& datagram = order_.back();
  datagram.key = key;
  datagram.deadline = now + kTimeout;
  index_.emplace(key, std::prev(order_.end()));
  if (!charge(datagram, kDatagramOverhead)) {
    erase(std::prev(order_.end()));
    return nullptr;
  }
  return &datagram;
}

/// Makes room by giving up older datagrams, never `datagram`.
bool Fragments::charge(Datagram& datagram, std::size_t bytes) {
  while (charged_ + bytes > limits_.bytes && &order_.front() != &datagram) erase(order_.begin());
  if (charged_ + bytes > limits_.bytes || !budget_.charge(bytes)) return false;
  charged_ += bytes;
  datagram.charged += bytes;
  return true;
}

void Fragments::poison(Datagram& datagram) {
  const std::size_t freed = datagram.charged - kDatagramOverhead;
  budget_.release(freed);
  charged_ -= freed;
  datagram.charged = kDatagramOverhead;
  datagram.pieces = {};
  datagram.header = {};
  datagram.poisoned = true;
}

void Fragments::erase(Order::iterator datagram) {
  budget_.release(datagram->charged);
  charged_ -= datagram->charged;
  index_.erase(datagram->key);
  order_.erase(datagram);
}

Nanos Fragments::next_deadline() const { return order_.empty() ? kNever : order_.front().deadline; }

std::optional<FragmentTimeout> Fragments::advance(Nanos now) {
  if (next_deadline() > now) return std::nullopt;
  Datagram& oldest = order_.front();
  FragmentTimeout timeout;
  if (!oldest.pieces.empty() && oldest.pieces.front().begin == 0) {
    timeout.first.emplace(std::move(oldest.header));
    for (Slice& slice : oldest.pieces.front().bytes) timeout.first->append(std::move(slice));
  }
  erase(order_.begin());
  return timeout;
}

}  // namespace vpollnet::ip
