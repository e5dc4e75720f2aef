// SPDX-License-Identifier: MIT
#include "host/links/pcapng.hpp"

#include <algorithm>
#include <array>

#include "wire/bytes.hpp"
#include "wire/checksum.hpp"

namespace vpollnet::host::pcapng {
namespace {

/// Option codes (draft-ietf-opsawg-pcapng 3.5, 4.1 to 4.6).
enum Option : std::uint16_t {
  kEnd = 0,
  kComment = 1,
  kApplication = 4,            // shb_userappl
  kInterfaceName = 2,          // if_name
  kInterfaceDescription = 3,   // if_description
  kInterfaceResolution = 9,    // if_tsresol
  kPacketFlags = 2,            // epb_flags
  kStatisticsStart = 2,        // isb_starttime
  kStatisticsEnd = 3,          // isb_endtime
  kStatisticsReceived = 4,     // isb_ifrecv
  kStatisticsDropped = 5,      // isb_ifdrop
  kStatisticsSystemDrops = 7,  // isb_osdrop
  kStatisticsDelivered = 8,    // isb_usrdeliv
};

constexpr std::uint8_t kNanoseconds = 9;  // if_tsresol: 10^-9
/// Block type, both lengths, interface, time, captured and original length; flags; end of options.
constexpr std::size_t kPacketOverhead = 32 + 8 + 4;
/// What stands behind the options of a block: opt_endofopt and the block's length.
constexpr std::size_t kTail = 8;
/// The length of an option is 16 bits.
constexpr std::size_t kLongestText = 0xfff0;

constexpr std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

void put16(Bytes& out, std::uint16_t value) {
  out.push_back(static_cast<std::uint8_t>(value));
  out.push_back(static_cast<std::uint8_t>(value >> 8));
}

void put32(Bytes& out, std::uint32_t value) {
  put16(out, static_cast<std::uint16_t>(value));
  put16(out, static_cast<std::uint16_t>(value >> 16));
}

std::uint32_t get32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
         static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}

void set32(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

/// A time is two 32-bit halves, the upper first, whatever the byte order.
void put_time(Bytes& out, std::uint64_t time) {
  put32(out, static_cast<std::uint32_t>(time >> 32));
  put32(out, static_cast<std::uint32_t>(time));
}

void pad(Bytes& out, std::size_t size) { out.resize(out.size() + padded(size) - size); }

void put_text(Bytes& out, Option code, std::string_view text) {
  if (text.empty()) return;
  text = text.substr(0, kLongestText);
  put16(out, code);
  put16(out, static_cast<std::uint16_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
  pad(out, text.size());
}

void put_count(Bytes& out, Option code, std::uint64_t value) {
  put16(out, code);
  put16(out, 8);
  put32(out, static_cast<std::uint32_t>(value));
  put32(out, static_cast<std::uint32_t>(value >> 32));
}

/// Where the block begins; its length is filled in by end_block().
std::size_t begin_block(Bytes& out, Block type) {
  const std::size_t at = out.size();
  put32(out, type);
  put32(out, 0);
  return at;
}

void end_block(Bytes& out, std::size_t at) {
  put32(out, kEnd);
  const auto length = static_cast<std::uint32_t>(out.size() - at + 4);
  put32(out, length);
  set32(&out[at + 4], length);
}

}  // namespace

void append_section(Bytes& out, std::string_view application) {
  const std::size_t at = begin_block(out, kSection);
  put32(out, kByteOrderMagic);
  put16(out, 1);  // version 1.0
  put16(out, 0);
  put32(out, UINT32_MAX);  // a section of unknown length
  put32(out, UINT32_MAX);
  put_text(out, kApplication, application);
  end_block(out, at);
}

void append_interface(Bytes& out, const Interface& interface) {
  const std::size_t at = begin_block(out, kInterface);
  put16(out, interface.type == LinkType::ethernet ? kLinkEthernet : kLinkRaw);
  put16(out, 0);
  put32(out, interface.snap_length);
  put_text(out, kInterfaceName, interface.name);
  put_text(out, kInterfaceDescription, interface.description);
  put16(out, kInterfaceResolution);
  put16(out, 1);
  put32(out, kNanoseconds);
  end_block(out, at);
}

std::size_t packet_block_size(std::size_t size, std::uint32_t snap_length) {
  return kPacketOverhead + padded(std::min<std::size_t>(size, snap_length));
}

void append_packet(Bytes& out, std::uint32_t interface, std::uint64_t time, Direction direction,
                   const Packet& frame, std::uint32_t snap_length) {
  const std::size_t size = frame.size();
  const std::size_t kept = std::min<std::size_t>(size, snap_length);
  const std::size_t at = begin_block(out, kPacket);
  put32(out, interface);
  put_time(out, time);
  put32(out, static_cast<std::uint32_t>(kept));
  put32(out, static_cast<std::uint32_t>(size));
  const std::size_t data = out.size();
  out.resize(data + padded(kept));
  frame.copy_out(0, std::span(out).subspan(data, kept));
  const std::size_t covered = frame.checksum_from_end;
  if (frame.checksum == ChecksumState::partial && covered <= size) {
    const std::size_t field = size - covered + frame.checksum_field;
    if (field + 2 <= kept) {
      wire::Checksum sum;
      sum.add(frame, size - covered, covered);
      // Zero would mean "none" to UDP (RFC 768), and all ones is the same number.
      wire::store16(&out[data + field], sum.finish() == 0 ? 0xffff : sum.finish());
    }
  }
  put16(out, kPacketFlags);
  put16(out, 4);
  put32(out, static_cast<std::uint32_t>(direction));
  end_block(out, at);
}

void add_comment(Bytes& out, std::size_t at, std::string_view comment) {
  Bytes option;
  put_text(option, kComment, comment);
  const std::size_t length = get32(&out[at + 4]);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(at + length - kTail), option.begin(),
             option.end());
  const auto longer = static_cast<std::uint32_t>(length + option.size());
  set32(&out[at + 4], longer);
  set32(&out[at + longer - 4], longer);
}

void append_statistics(Bytes& out, std::uint32_t interface, const Statistics& statistics) {
  const std::size_t at = begin_block(out, kStatistics);
  put32(out, interface);
  put_time(out, statistics.end);
  put_text(out, kComment, statistics.comment);
  for (const auto& [code, time] :
       {std::pair{kStatisticsStart, statistics.start}, std::pair{kStatisticsEnd, statistics.end}}) {
    put16(out, code);
    put16(out, 8);
    put_time(out, time);
  }
  put_count(out, kStatisticsReceived, statistics.received);
  put_count(out, kStatisticsDropped, statistics.dropped_by_link);
  put_count(out, kStatisticsSystemDrops, statistics.dropped_by_record);
  put_count(out, kStatisticsDelivered, statistics.recorded);
  end_block(out, at);
}

std::uint64_t count_packets(std::span<const std::uint8_t> bytes, std::size_t from) {
  std::uint64_t packets = 0;
  for (std::size_t at = 0; at + 8 <= bytes.size();) {
    const std::size_t end = at + get32(&bytes[at + 4]);
    if (end > from && get32(&bytes[at]) == kPacket) packets++;
    at = end;
  }
  return packets;
}

}  // namespace vpollnet::host::pcapng
