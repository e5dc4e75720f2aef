// SPDX-License-Identifier: MIT
#include "filter/rewrite.hpp"

#include <algorithm>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"
#include "wire/ipv6.hpp"
#include "wire/tcp.hpp"
#include "wire/udp.hpp"

namespace vpollnet::filter {

namespace {

constexpr std::size_t kIpv4ChecksumField = 10;
constexpr std::size_t kIcmpChecksumField = 2;
constexpr std::size_t kEchoIdentifierField = 4;
constexpr std::uint16_t kMinusZero = 0xffff;

/// What a change of 16-bit fields adds to a one's complement sum over them.
class SumChange {
 public:
  void add(std::uint16_t before, std::uint16_t after) {
    sum_ += static_cast<std::uint16_t>(~before);
    sum_ += after;
  }
  void add(const SumChange& other) { sum_ += other.sum_; }
  /// RFC 1624 3, equation 3: HC' = ~(~HC + ~m + m').
  std::uint16_t of_checksum(std::uint16_t checksum) const {
    return static_cast<std::uint16_t>(~of_sum(static_cast<std::uint16_t>(~checksum)));
  }
  /// A field that holds the folded sum itself, as with ChecksumState::partial.
  std::uint16_t of_sum(std::uint16_t folded) const {
    std::uint64_t sum = sum_ + folded;
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(sum);
  }

 private:
  std::uint64_t sum_ = 0;
};

/// Writes `value` over the bytes at `at`, and returns what that changes.
SumChange replace(std::span<std::uint8_t> at, std::span<const std::uint8_t> value) {
  SumChange change;
  for (std::size_t i = 0; i + 1 < value.size(); i += 2) {
    change.add(wire::load16(&at[i]), wire::load16(&value[i]));
  }
  std::copy(value.begin(), value.end(), at.begin());
  return change;
}

SumChange replace16(std::uint8_t* at, std::uint16_t value) {
  SumChange change;
  change.add(wire::load16(at), value);
  wire::store16(at, value);
  return change;
}

/// `bytes` begins with an IP header and may be cut anywhere behind it; the transport header begins
/// at `transport`, or there is none if that is 0.
void rewrite_headers(std::span<std::uint8_t> bytes, std::size_t transport, const FlowTuple& to,
                     bool partial) {
  const bool v4 = to.source.is_v4();
  const std::size_t address = v4 ? 12 : 8;
  const std::size_t width = v4 ? 4 : 16;
  SumChange addresses = replace(bytes.subspan(address, width), to.source.bytes());
  addresses.add(replace(bytes.subspan(address + width, width), to.destination.bytes()));
  if (v4) {
    std::uint8_t* field = &bytes[kIpv4ChecksumField];
    wire::store16(field, addresses.of_checksum(wire::load16(field)));
  }
  if (transport == 0 || transport >= bytes.size()) return;
  const auto header = bytes.subspan(transport);

  SumChange ports;
  std::size_t field = 0;
  bool pseudo = true;
  if (to.protocol == kProtocolTcp || to.protocol == kProtocolUdp) {
    if (header.size() < 4) return;
    ports.add(replace16(&header[0], to.source_port));
    ports.add(replace16(&header[2], to.destination_port));
    field = to.protocol == kProtocolTcp ? wire::kTcpChecksumOffset : wire::kUdpChecksumOffset;
  } else if (to.protocol == (v4 ? kProtocolIcmp : kProtocolIcmpv6)) {
    if (to.echo != EchoKind::none && header.size() >= kEchoIdentifierField + 2) {
      const std::uint16_t identifier =
          to.echo == EchoKind::request ? to.source_port : to.destination_port;
      ports.add(replace16(&header[kEchoIdentifierField], identifier));
    }
    field = kIcmpChecksumField;
    pseudo = !v4;  // RFC 792 has no pseudo header, RFC 4443 2.3 has
  } else {
    return;
  }
  if (header.size() < field + 2) return;
  const std::uint16_t before = wire::load16(&header[field]);
  if (partial) {
    // The field has the pseudo header alone; the ports are among the bytes still to be summed.
    if (pseudo) wire::store16(&header[field], addresses.of_sum(before));
    return;
  }
  const bool udp = to.protocol == kProtocolUdp;
  if (udp && before == 0) return;  // RFC 768: none was sent
  if (pseudo) ports.add(addresses);
  const std::uint16_t after = ports.of_checksum(before);
  wire::store16(&header[field], udp && after == 0 ? kMinusZero : after);
}

void set_icmp_checksum(Packet& packet, std::size_t at, const FlowTuple& tuple, BlockPool& pool) {
  wire::store16(&packet.writable(at + wire::kIcmpHeader, pool)[at + kIcmpChecksumField], 0);
  const std::size_t length = packet.size() - at;
  wire::Checksum sum;
  if (tuple.source.is_v6()) {
    sum = wire::pseudo_header(tuple.source, tuple.destination, kProtocolIcmpv6,
                              static_cast<std::uint32_t>(length));
  }
  sum.add(packet, at, length);
  wire::store16(&packet.writable(at + wire::kIcmpHeader, pool)[at + kIcmpChecksumField],
                sum.finish());
}

}  // namespace

void rewrite(Packet& packet, const FlowPacket& flow, const FlowTuple& to,
             const std::optional<FlowTuple>& quote, BlockPool& pool) {
  const bool inner = quote && flow.quote;
  if (to == flow.tuple && (!inner || *quote == flow.quote->tuple)) return;
  const bool bare = flow.later_fragment || flow.malformed;
  const std::size_t reach =
      bare ? flow.transport
           : (inner ? flow.quote->transport : flow.transport) + wire::kTcpHeaderMin;
  const auto bytes = packet.writable(std::min(packet.size(), reach), pool);
  rewrite_headers(bytes, bare ? 0 : flow.transport, to, packet.checksum == ChecksumState::partial);
  if (!inner) return;
  const QuotedFlow& place = *flow.quote;
  rewrite_headers(bytes.subspan(place.ip), place.transport - place.ip, *quote, false);
  set_icmp_checksum(packet, flow.transport, to, pool);
  packet.checksum = ChecksumState::unverified;
}

bool icmp_checksum_ok(const Packet& packet, const FlowPacket& flow) {
  if (packet.checksum != ChecksumState::unverified) return true;
  wire::Checksum sum;
  const std::size_t length = packet.size() - flow.transport;
  if (flow.tuple.source.is_v6()) {
    sum = wire::pseudo_header(flow.tuple.source, flow.tuple.destination, kProtocolIcmpv6,
                              static_cast<std::uint32_t>(length));
  }
  sum.add(packet, flow.transport, length);
  return sum.folded() == 0xffff;
}

}  // namespace vpollnet::filter
