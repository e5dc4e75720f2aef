// SPDX-License-Identifier: MIT
#include "wire/ipv6.hpp"

#include <algorithm>

#include "wire/bytes.hpp"

namespace vpollnet::wire {

namespace {

constexpr std::size_t kPayloadLengthField = 4;
constexpr std::size_t kNextHeaderField = 6;
constexpr std::size_t kDestinationField = 24;
constexpr std::size_t kLargestPayload = 65535;

/// Options that the walk knows (RFC 8200 4.2, RFC 2711 2.1).
constexpr std::uint8_t kPad1 = 0;
constexpr std::uint8_t kPadN = 1;
constexpr std::uint8_t kRouterAlertOption = 5;

/// Upper layers whose header length is checked in a first fragment.
constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::uint8_t kIcmpv6Protocol = 58;

bool upper_header_whole(std::uint8_t protocol, std::span<const std::uint8_t> bytes) {
  switch (protocol) {
  case kTcpProtocol: return bytes.size() >= 20 && bytes.size() >= (bytes[12] >> 4) * 4u;
  case kUdpProtocol:
  case kIcmpv6Protocol: return bytes.size() >= 8;
  default: return true;
  }
}

class Walk {
 public:
  enum class Mode : std::uint8_t { packet, reassembled, quote };

  Walk(std::span<const std::uint8_t> packet, Mode mode) : packet_(packet), mode_(mode) {}

  Ipv6Chain run() {
    if (packet_.size() < kIpv6Header) return chain_;
    next_ = packet_[kNextHeaderField];
    while (step()) {
    }
    return chain_;
  }

 private:
  /// Looks at the header at `at_`. False when the walk is over and chain_ says how.
  bool step() {
    switch (next_) {
    case kNextHopByHop:
      // RFC 8200 4: zero anywhere but in the fixed header is an unrecognized next header.
      if (at_ != kIpv6Header) return problem(kProblemNextHeader, field_);
      break;
    case kNextFragment:
      // Fragments of fragments are no packet that any node makes (RFC 8200 4.1: at most once).
      if (mode_ == Mode::reassembled || chain_.fragment) return problem(kProblemNextHeader, field_);
      break;
    case kNextRouting:
    case kNextDestination: break;
    default: return upper();
    }
    if (headers_++ == kMaxExtensionHeaders) return problem(kProblemTooManyHeaders, at_);

    // No multiplication in eight bits, no addition to `at_` before the comparison.
    const std::size_t left = packet_.size() - at_;
    if (left < 8) return truncated();
    const std::size_t length = next_ == kNextFragment ? 8 : (packet_[at_ + 1] + std::size_t{1}) * 8;
    if (length > left) return truncated();

    if (next_ == kNextFragment) {
      if (!fragment()) return false;
    } else if (mode_ != Mode::quote && !in_first_fragment_) {
      // Headers behind the fragment header are processed after reassembly (RFC 8200 4.5).
      if (next_ == kNextRouting ? !routing() : !options(packet_.subspan(at_, length))) return false;
    }
    next_ = packet_[at_];
    field_ = at_;
    at_ += length;
    return true;
  }

  bool upper() {
    if (in_first_fragment_) {
      if (!upper_header_whole(next_, packet_.subspan(at_))) return truncated();
      chain_.verdict = Ipv6Chain::Verdict::fragment;
      return false;
    }
    chain_.verdict = Ipv6Chain::Verdict::upper;
    chain_.protocol = next_;
    chain_.offset = at_;
    chain_.protocol_field = field_;
    return false;
  }

  bool fragment() {
    chain_.fragment = parse_ipv6_fragment(packet_.subspan(at_));
    chain_.fragment_at = at_;
    chain_.fragment_field = field_;
    const Ipv6Fragment& found = *chain_.fragment;
    if (found.atomic() || (mode_ == Mode::quote && found.offset == 0)) return true;
    chain_.protocol = found.next_header;
    chain_.protocol_field = at_;
    chain_.offset = at_ + kIpv6FragmentHeader;
    if (mode_ == Mode::quote) return drop();
    const std::size_t data = packet_.size() - chain_.offset;
    // RFC 8200 4.5: two errors that are reported with code 0 at the field concerned.
    if (found.more && data % 8 != 0) return problem(kProblemField, kPayloadLengthField);
    if (at_ - kIpv6Header + found.offset + data > kLargestPayload)
      return problem(kProblemField, at_ + 2);
    if (found.offset == 0) {
      in_first_fragment_ = true;
      return true;
    }
    chain_.verdict = Ipv6Chain::Verdict::fragment;
    return false;
  }

  bool routing() {
    // No type is known here, type 0 least of all (RFC 5095 3): with segments left the packet is
    // refused, without any the header is passed over (RFC 8200 4.4).
    return packet_[at_ + 3] == 0 || problem(kProblemField, at_ + 2);
  }

  bool options(std::span<const std::uint8_t> header) {
    unsigned count = 0;
    std::size_t at = 2;
    while (at < header.size()) {
      const std::uint8_t type = header[at];
      if (type == kPad1) {
        at++;
        continue;
      }
      if (header.size() - at < 2 || header[at + 1] > header.size() - at - 2) return drop();
      const std::size_t length = header[at + 1];
      if (type != kPadN) {
        if (count++ == kMaxOptions) return problem(kProblemTooManyOptions, at_ + at);
        if (type == kRouterAlertOption && length == 2 && next_ == kNextHopByHop) {
          chain_.router_alert = true;
        } else if (!unknown_option(type, at_ + at)) {
          return false;
        }
      }
      at += 2 + length;
    }
    return true;
  }

  /// RFC 8200 4.2: the two highest bits say what to do with an option that is not known.
  bool unknown_option(std::uint8_t type, std::size_t at) {
    switch (type >> 6) {
    case 0: return true;
    case 1: return drop();
    case 2:
      problem(kProblemOption, at);
      chain_.problem_to_group = true;
      return false;
    default: return packet_[kDestinationField] == 0xff ? drop() : problem(kProblemOption, at);
    }
  }

  bool truncated() {
    // RFC 8200 4.5: Code 3 with the pointer set to zero, for a first fragment alone.
    return in_first_fragment_ ? problem(kProblemFirstFragment, 0) : drop();
  }
  bool drop() {
    chain_.verdict = Ipv6Chain::Verdict::drop;
    return false;
  }
  bool problem(std::uint8_t code, std::size_t pointer) {
    chain_.verdict = Ipv6Chain::Verdict::problem;
    chain_.problem_code = code;
    chain_.problem_pointer = static_cast<std::uint32_t>(pointer);
    return false;
  }

  std::span<const std::uint8_t> packet_;
  Mode mode_;
  Ipv6Chain chain_;
  std::size_t at_ = kIpv6Header;
  std::size_t field_ = kNextHeaderField;
  std::uint8_t next_ = kNextNone;
  unsigned headers_ = 0;
  bool in_first_fragment_ = false;
};

}  // namespace

std::optional<Ipv6Header> parse_ipv6(std::span<const std::uint8_t> bytes, std::size_t packet_size) {
  if (bytes.size() < kIpv6Header || bytes[0] >> 4 != 6) return std::nullopt;
  const std::uint32_t first = load32(&bytes[0]);
  Ipv6Header header;
  header.traffic_class = static_cast<std::uint8_t>(first >> 20);
  header.flow_label = first & 0xfffff;
  header.payload_length = load16(&bytes[kPayloadLengthField]);
  if (packet_size < kIpv6Header || header.payload_length > packet_size - kIpv6Header)
    return std::nullopt;
  header.next_header = bytes[kNextHeaderField];
  header.hop_limit = bytes[7];
  header.source = IpAddress::from_bytes(bytes.subspan(8, 16));
  header.destination = IpAddress::from_bytes(bytes.subspan(kDestinationField, 16));
  return header;
}

void emit_ipv6(const Ipv6Header& header, std::span<std::uint8_t> out) {
  store32(&out[0], 6u << 28 | static_cast<std::uint32_t>(header.traffic_class) << 20 |
                       (header.flow_label & 0xfffff));
  store16(&out[kPayloadLengthField], header.payload_length);
  out[kNextHeaderField] = header.next_header;
  out[7] = header.hop_limit;
  store_address(&out[8], header.source);
  store_address(&out[kDestinationField], header.destination);
}

bool is_v4_mapped(const IpAddress& address) {
  const auto bytes = address.bytes();
  return bytes.size() == 16 && bytes[10] == 0xff && bytes[11] == 0xff &&
         std::all_of(bytes.begin(), bytes.begin() + 10,
                     [](std::uint8_t byte) { return byte == 0; });
}

std::optional<Ipv6Fragment> parse_ipv6_fragment(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kIpv6FragmentHeader) return std::nullopt;
  const std::uint16_t field = load16(&bytes[2]);
  return Ipv6Fragment{bytes[0], static_cast<std::uint16_t>(field & 0xfff8), (field & 1) != 0,
                      load32(&bytes[4])};
}

void emit_ipv6_fragment(const Ipv6Fragment& fragment, std::span<std::uint8_t> out) {
  out[0] = fragment.next_header;
  out[1] = 0;
  store16(&out[2],
          static_cast<std::uint16_t>((fragment.offset & 0xfff8) | (fragment.more ? 1 : 0)));
  store32(&out[4], fragment.identification);
}

void emit_ipv6_router_alert(std::uint8_t next_header, std::span<std::uint8_t> out) {
  out[0] = next_header;
  out[1] = 0;  // eight bytes in all
  out[2] = kRouterAlertOption;
  out[3] = 2;
  store16(&out[4], 0);  // RFC 2711 2.1: the packet contains a MLD message
  out[6] = kPadN;
  out[7] = 0;
}

Ipv6Chain walk_ipv6(std::span<const std::uint8_t> packet, bool reassembled) {
  return Walk(packet, reassembled ? Walk::Mode::reassembled : Walk::Mode::packet).run();
}

Ipv6Chain walk_ipv6_quote(std::span<const std::uint8_t> packet) {
  return Walk(packet, Walk::Mode::quote).run();
}

}  // namespace vpollnet::wire
