// SPDX-License-Identifier: MIT
// IPv6 headers and extension headers: bytes <-> values (RFC 8200).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "wire/address.hpp"

namespace vpollnet::wire {

inline constexpr std::size_t kIpv6Header = 40;
inline constexpr std::size_t kIpv6FragmentHeader = 8;
inline constexpr std::uint32_t kIpv6MinimumMtu = 1280;  ///< RFC 8200 5

/// Values of the Next Header field that the walk knows (RFC 8200 4).
enum NextHeader : std::uint8_t {
  kNextHopByHop = 0,
  kNextRouting = 43,
  kNextFragment = 44,
  kNextNone = 59,
  kNextDestination = 60,
};

struct Ipv6Header {
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;  ///< 20 bits
  std::uint16_t payload_length = 0;
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 64;
  IpAddress source;
  IpAddress destination;
  bool operator==(const Ipv6Header&) const = default;
};

/// `packet_size` is the size of the packet as it came, trailer included. Nothing if there are fewer
/// than 40 bytes, the version is not 6, or the payload is longer than the packet. The caller cuts
/// the packet to 40 + payload_length.
std::optional<Ipv6Header> parse_ipv6(std::span<const std::uint8_t> bytes, std::size_t packet_size);
inline constexpr std::size_t ipv6_size(const Ipv6Header&) { return kIpv6Header; }
void emit_ipv6(const Ipv6Header& header, std::span<std::uint8_t> out);
/// Takes one hop off the hop limit of `header`, which is not 0.
inline void decrement_hop_limit(std::span<std::uint8_t> header) { header[7]--; }

/// ::ffff:0:0/96, which has no business on a wire (RFC 4291 2.5.5.2 is about sockets).
bool is_v4_mapped(const IpAddress& address);

struct Ipv6Fragment {
  std::uint8_t next_header = 0;
  std::uint16_t offset = 0;  ///< in bytes, a multiple of 8
  bool more = false;
  std::uint32_t identification = 0;
  bool operator==(const Ipv6Fragment&) const = default;

  /// A whole packet behind a fragment header (RFC 6946 4): handled on its own.
  bool atomic() const { return offset == 0 && !more; }
};

std::optional<Ipv6Fragment> parse_ipv6_fragment(std::span<const std::uint8_t> bytes);
inline constexpr std::size_t ipv6_fragment_size(const Ipv6Fragment&) { return kIpv6FragmentHeader; }
void emit_ipv6_fragment(const Ipv6Fragment& fragment, std::span<std::uint8_t> out);

/// The Hop-by-Hop header of MLD and the like: Router Alert, value 0 (RFC 2711 2.1), and a PadN.
inline constexpr std::size_t kIpv6RouterAlert = 8;
void emit_ipv6_router_alert(std::uint8_t next_header, std::span<std::uint8_t> out);

/// Codes of an ICMPv6 Parameter Problem (RFC 4443 3.4, RFC 7112 5, RFC 8883 2).
enum ParameterProblem : std::uint8_t {
  kProblemField = 0,
  kProblemNextHeader = 1,
  kProblemOption = 2,
  kProblemFirstFragment = 3,
  kProblemTooManyHeaders = 8,
  kProblemTooManyOptions = 9,
};

/// What is behind the fixed header. Offsets count from the first byte of the fixed header.
struct Ipv6Chain {
  enum class Verdict : std::uint8_t {
    upper,     ///< `protocol` and `offset` are the upper layer's
    fragment,  ///< `fragment` is set and not atomic; `protocol` and `offset` are the fragment's
               ///< data
    drop,      ///< to be discarded silently
    problem,   ///< to be discarded, and a Parameter Problem is due
  };
  Verdict verdict = Verdict::drop;
  std::uint8_t protocol = 0;
  std::size_t offset = 0;
  /// Where the byte stands that names `protocol`: the pointer of a Parameter Problem with
  /// kProblemNextHeader, for who does not know it.
  std::size_t protocol_field = 6;
  /// The fragment header, if there is one, where it begins, and where the byte stands that names it
  /// (reassembly writes fragment->next_header there, RFC 8200 4.5).
  std::optional<Ipv6Fragment> fragment;
  std::size_t fragment_at = 0;
  std::size_t fragment_field = 6;
  std::uint8_t problem_code = 0;
  std::uint32_t problem_pointer = 0;
  /// The problem is reported even if the destination was multicast (RFC 4443 2.4 (e.3)).
  bool problem_to_group = false;
  bool router_alert = false;
};

/// Headers that a packet may have between IPv6 and the upper layer, and options in one header that
/// are no padding (RFC 8504 5.3 lets a host set such limits).
inline constexpr unsigned kMaxExtensionHeaders = 8;
inline constexpr unsigned kMaxOptions = 8;

/// Walks the extension headers of `packet`, which begins with a fixed header that parse_ipv6 took
/// and has been cut to its length. `reassembled`: a fragment header is not looked for again.
///
/// A first fragment has its whole chain checked, upper-layer header included (RFC 7112 5), before
/// it counts as `fragment`.
Ipv6Chain walk_ipv6(std::span<const std::uint8_t> packet, bool reassembled = false);

/// The same for a packet that an ICMPv6 error quotes, which may be cut anywhere: options are not
/// looked at, and a first fragment is walked through to its upper layer.
Ipv6Chain walk_ipv6_quote(std::span<const std::uint8_t> packet);

}  // namespace vpollnet::wire
