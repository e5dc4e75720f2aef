// SPDX-License-Identifier: MIT
#include "wire/tcp.hpp"

#include <algorithm>

#include "wire/bytes.hpp"

namespace vpollnet::wire {

namespace {

/// RFC 9293 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3.
enum OptionKind : std::uint8_t {
  kEndOfList = 0,
  kNoOperation = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

constexpr std::size_t kOptionsMax = kTcpHeaderMax - kTcpHeaderMin;
constexpr std::uint8_t kWindowScaleMax = 14;

// What each takes with the NOPs that align it.
constexpr std::size_t kMssSpace = 4;
constexpr std::size_t kWindowScaleSpace = 4;
constexpr std::size_t kSackPermittedSpace = 4;
constexpr std::size_t kTimestampsSpace = 12;
constexpr std::size_t kSackSpace = 4;
constexpr std::size_t kSackBlockSpace = 8;

/// One option of a length that is within the header. A length that is wrong for the kind makes it
/// one that is not known.
void read_option(std::span<const std::uint8_t> option, TcpHeader& header) {
  switch (option[0]) {
  case kMss:
    if (option.size() == 4) header.mss = load16(&option[2]);
    break;
  case kWindowScale:
    // RFC 7323 2.3: a shift above 14 MUST be taken as 14.
    if (option.size() == 3) header.window_scale = std::min(option[2], kWindowScaleMax);
    break;
  case kSackPermitted:
    if (option.size() == 2) header.sack_permitted = true;
    break;
  case kTimestamps:
    if (option.size() == 10) header.timestamps = {load32(&option[2]), load32(&option[6])};
    break;
  case kSack:
    if (option.size() < 10 || option.size() % 8 != 2) break;
    header.sack_count = 0;
    for (std::size_t at = 2; at < option.size() && header.sack_count < header.sack.size(); at += 8)
      header.sack[header.sack_count++] = {load32(&option[at]), load32(&option[at + 4])};
    break;
  default: break;  // RFC 9293 3.2 MUST-6: unknown options are ignored
  }
}

void read_options(std::span<const std::uint8_t> options, TcpHeader& header) {
  std::size_t at = 0;
  while (at < options.size() && options[at] != kEndOfList) {
    if (options[at] == kNoOperation) {
      at++;
      continue;
    }
    // RFC 9293 3.1 MUST-7: be prepared for an illegal option length. No option behind it can be
    // found, so the list ends here.
    const std::size_t left = options.size() - at;
    if (left < 2 || options[at + 1] < 2 || options[at + 1] > left) return;
    read_option(options.subspan(at, options[at + 1]), header);
    at += options[at + 1];
  }
}

/// Bytes of options without SACK.
std::size_t plain_options_size(const TcpHeader& header) {
  return (header.mss ? kMssSpace : 0) + (header.window_scale ? kWindowScaleSpace : 0) +
         (header.sack_permitted ? kSackPermittedSpace : 0) +
         (header.timestamps ? kTimestampsSpace : 0);
}

std::size_t sack_blocks_that_fit(const TcpHeader& header, std::size_t used) {
  if (kOptionsMax - used < kSackSpace) return 0;
  return std::min<std::size_t>(
      {header.sack_count, header.sack.size(), (kOptionsMax - used - kSackSpace) / kSackBlockSpace});
}

}  // namespace

std::optional<std::size_t> tcp_header_length(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kTcpHeaderMin) return std::nullopt;
  const std::size_t length = (bytes[12] >> 4) * std::size_t{4};
  if (length < kTcpHeaderMin) return std::nullopt;
  return length;
}

std::optional<ParsedTcp> parse_tcp(std::span<const std::uint8_t> bytes) {
  const auto length = tcp_header_length(bytes);
  if (!length || *length > bytes.size()) return std::nullopt;
  ParsedTcp parsed;
  parsed.length = *length;
  TcpHeader& header = parsed.header;
  header.source_port = load16(&bytes[0]);
  header.destination_port = load16(&bytes[2]);
  header.sequence = load32(&bytes[4]);
  header.acknowledgment = load32(&bytes[8]);
  header.flags = bytes[13];
  header.window = load16(&bytes[14]);
  header.urgent = load16(&bytes[18]);
  read_options(bytes.subspan(kTcpHeaderMin, *length - kTcpHeaderMin), header);
  return parsed;
}

std::size_t tcp_size(const TcpHeader& header) {
  const std::size_t plain = plain_options_size(header);
  const std::size_t blocks = sack_blocks_that_fit(header, plain);
  return kTcpHeaderMin + plain + (blocks > 0 ? kSackSpace + blocks * kSackBlockSpace : 0);
}

void emit_tcp(const TcpHeader& header, std::span<std::uint8_t> out) {
  store16(&out[0], header.source_port);
  store16(&out[2], header.destination_port);
  store32(&out[4], header.sequence);
  store32(&out[8], header.acknowledgment);
  out[12] = static_cast<std::uint8_t>(tcp_size(header) / 4 << 4);
  out[13] = header.flags;
  store16(&out[14], header.window);
  store16(&out[kTcpChecksumOffset], 0);
  store16(&out[18], header.urgent);

  std::uint8_t* at = &out[0] + kTcpHeaderMin;
  if (header.mss) {
    at[0] = kMss;
    at[1] = 4;
    store16(at + 2, *header.mss);
    at += kMssSpace;
  }
  if (header.sack_permitted) {
    at[0] = at[1] = kNoOperation;
    at[2] = kSackPermitted;
    at[3] = 2;
    at += kSackPermittedSpace;
  }
  if (header.timestamps) {
    at[0] = at[1] = kNoOperation;
    at[2] = kTimestamps;
    at[3] = 10;
    store32(at + 4, header.timestamps->value);
    store32(at + 8, header.timestamps->echo);
    at += kTimestampsSpace;
  }
  if (header.window_scale) {
    at[0] = kNoOperation;
    at[1] = kWindowScale;
    at[2] = 3;
    at[3] = *header.window_scale;
    at += kWindowScaleSpace;
  }
  const std::size_t blocks = sack_blocks_that_fit(header, plain_options_size(header));
  if (blocks == 0) return;
  at[0] = at[1] = kNoOperation;
  at[2] = kSack;
  at[3] = static_cast<std::uint8_t>(2 + blocks * kSackBlockSpace);
  at += kSackSpace;
  for (std::size_t i = 0; i < blocks; i++, at += kSackBlockSpace) {
    store32(at, header.sack[i].begin);
    store32(at + 4, header.sack[i].end);
  }
}

}  // namespace vpollnet::wire
