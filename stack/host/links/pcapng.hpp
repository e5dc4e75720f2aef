// SPDX-License-Identifier: MIT
// Blocks of the pcapng capture file format (draft-ietf-opsawg-pcapng), as bytes. No file here: each
// function appends one whole block to a buffer. Numbers are little-endian, times are nanoseconds
// since 1970.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "stack.hpp"
#include "util/packet.hpp"

namespace vpollnet::host::pcapng {

using Bytes = std::vector<std::uint8_t>;

/// Block types (draft-ietf-opsawg-pcapng 4).
enum Block : std::uint32_t {
  kSection = 0x0a0d0d0a,
  kInterface = 1,
  kOldPacket = 2,
  kSimplePacket = 3,
  kStatistics = 5,
  kPacket = 6,
};

inline constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;

/// Link types of the tcpdump registry (https://www.tcpdump.org/linktypes.html).
enum LinkTypeNumber : std::uint16_t {
  kLinkEthernet = 1,
  kLinkRaw = 101,
  kLinkIpv4 = 228,
  kLinkIpv6 = 229,
};

/// Bits 0 and 1 of epb_flags.
enum class Direction : std::uint8_t { unknown = 0, inbound = 1, outbound = 2 };

struct Interface {
  std::string_view name;
  std::string_view description;
  LinkType type = LinkType::ethernet;
  std::uint32_t snap_length = 0;  ///< bytes of a frame that are kept
};

struct Statistics {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t received = 0;           ///< isb_ifrecv: frames that passed
  std::uint64_t dropped_by_link = 0;    ///< isb_ifdrop
  std::uint64_t dropped_by_record = 0;  ///< isb_osdrop: passed, and had no room in the recording
  std::uint64_t recorded = 0;           ///< isb_usrdeliv
  std::string_view comment;
};

/// What begins a file.
void append_section(Bytes& out, std::string_view application);
/// Interfaces are numbered in the order of their blocks, from 0.
void append_interface(Bytes& out, const Interface& interface);
/// Up to `snap_length` bytes of `frame`. A partial checksum is completed in what is written, so
/// that no reader takes it for a wrong one; the packet stays as it is.
void append_packet(Bytes& out, std::uint32_t interface, std::uint64_t time, Direction direction,
                   const Packet& frame, std::uint32_t snap_length);
/// Adds a comment to the packet block that begins at `at` in `out`.
void add_comment(Bytes& out, std::size_t at, std::string_view comment);
void append_statistics(Bytes& out, std::uint32_t interface, const Statistics& statistics);

/// Packet blocks among the whole blocks of `bytes` that end after byte `from`.
std::uint64_t count_packets(std::span<const std::uint8_t> bytes, std::size_t from);

/// The most that append_packet() appends for a frame of `size` bytes.
std::size_t packet_block_size(std::size_t size, std::uint32_t snap_length);

}  // namespace vpollnet::host::pcapng
