// SPDX-License-Identifier: MIT
// TCP segments: bytes <-> values (RFC 9293 3.1, 3.2; options of RFC 7323 and RFC 2018).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace vpollnet::wire {

inline constexpr std::size_t kTcpHeaderMin = 20;
inline constexpr std::size_t kTcpHeaderMax = 60;
inline constexpr std::size_t kTcpChecksumOffset = 16;

/// Control bits, as they stand in byte 13 of the header.
enum TcpFlag : std::uint8_t {
  kFin = 0x01,
  kSyn = 0x02,
  kRst = 0x04,
  kPsh = 0x08,
  kAck = 0x10,
  kUrg = 0x20,
  kEce = 0x40,
  kCwr = 0x80,
};

/// A range of sequence numbers, [begin, end).
struct SackBlock {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const SackBlock&) const = default;
};

struct TcpTimestamps {
  std::uint32_t value = 0;
  std::uint32_t echo = 0;
  bool operator==(const TcpTimestamps&) const = default;
};

/// Everything in a TCP header but the ports' owner: ports, numbers, flags and known options.
struct TcpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;  ///< meaningful with kAck
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  ///< as on the wire, not scaled
  std::uint16_t urgent = 0;  ///< offset from `sequence`, meaningful with kUrg
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t>
      window_scale;  ///< as on the wire; values over 14 count as 14 (RFC 7323 2.3)
  bool sack_permitted = false;
  std::optional<TcpTimestamps> timestamps;
  std::array<SackBlock, 4> sack{};
  std::uint8_t sack_count = 0;

  bool has(TcpFlag flag) const { return (flags & flag) != 0; }
};

/// A header that was read, and its length in bytes with options.
struct ParsedTcp {
  TcpHeader header;
  std::size_t length = 0;
};

/// The header length that the data offset of `bytes` claims, for pulling that many bytes together;
/// nothing if there are fewer than 20 bytes or the offset is below 5.
std::optional<std::size_t> tcp_header_length(std::span<const std::uint8_t> bytes);

/// Reads a header with its options; `bytes` begins with it and may go on behind it. Nothing if it
/// does not fit in `bytes`. An option of illegal length ends the list (MUST-7); options of a wrong
/// length for their kind, and unknown ones, are passed over. Does not verify the checksum.
std::optional<ParsedTcp> parse_tcp(std::span<const std::uint8_t> bytes);

/// Bytes that `header` needs with its options, a multiple of 4, at most kTcpHeaderMax.
std::size_t tcp_size(const TcpHeader& header);

/// Writes `header` to `out`, of tcp_size(header) bytes, with a checksum of 0. Timestamps come as
/// NOP NOP TS and SACK as NOP NOP SACK (RFC 7323 appendix A), as many blocks as fit in 40 bytes of
/// options.
void emit_tcp(const TcpHeader& header, std::span<std::uint8_t> out);

}  // namespace vpollnet::wire
