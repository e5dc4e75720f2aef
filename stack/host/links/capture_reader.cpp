// SPDX-License-Identifier: MIT
#include "host/links/capture_reader.hpp"

#include <algorithm>

#include "util/time.hpp"

namespace vpollnet::host {
namespace {

using pcapng::Direction;

constexpr std::uint32_t kPcapMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kPcapNanoseconds = 0xa1b23c4d;
constexpr std::size_t kPcapHeader = 24;
constexpr std::size_t kPcapRecord = 16;

// Lengths of blocks without their options.
constexpr std::size_t kLeastBlock = 12;
constexpr std::size_t kLeastSection = 28;
constexpr std::size_t kLeastInterface = 20;
constexpr std::size_t kLeastPacket = 32;
constexpr std::size_t kLeastSimplePacket = 16;

constexpr std::uint16_t kOptionEnd = 0;
constexpr std::uint16_t kOptionResolution = 9;  // if_tsresol
constexpr std::uint16_t kOptionOffset = 14;     // if_tsoffset
constexpr std::uint16_t kOptionFlags = 2;       // epb_flags, pack_flags

constexpr std::uint64_t kPerSecond = static_cast<std::uint64_t>(kSecond);

std::uint32_t swapped(std::uint32_t value) { return __builtin_bswap32(value); }

/// 10^exponent; 0 if that is more than 64 bits hold.
std::uint64_t power_of_ten(unsigned exponent) {
  if (exponent > 19) return 0;
  std::uint64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

/// `time` in units of 10^-resolution, or 2^-resolution, seconds. Out of range it is wrong, and no
/// worse.
std::uint64_t to_nanoseconds(std::uint64_t time, std::uint8_t resolution) {
  const unsigned exponent = resolution & 0x7fu;
  if ((resolution & 0x80) == 0) {
    if (exponent <= 9) return time * power_of_ten(9 - exponent);
    const std::uint64_t divisor = power_of_ten(exponent - 9);
    return divisor == 0 ? 0 : time / divisor;
  }
  if (exponent >= 64) return 0;
  const std::uint64_t seconds = time >> exponent;
  std::uint64_t fraction = time & ((std::uint64_t{1} << exponent) - 1);
  // The upper 32 bits of the fraction are a quarter of a nanosecond apart.
  const unsigned kept = std::min(exponent, 32u);
  fraction >>= exponent - kept;
  return seconds * kPerSecond + (fraction * kPerSecond >> kept);
}

Direction direction_of(std::uint32_t flags) {
  const std::uint32_t bits = flags & 3;
  return bits == 3 ? Direction::unknown : static_cast<Direction>(bits);
}

std::string number(std::size_t value) { return std::to_string(value); }

}  // namespace

bool CaptureReader::fail(std::size_t at, const std::string& what) {
  if (error_.empty()) error_ = "byte " + number(at) + ": " + what;
  return false;
}

std::uint16_t CaptureReader::get16(std::size_t at) const {
  const unsigned first = file_[at];
  const unsigned second = file_[at + 1];
  return static_cast<std::uint16_t>(big_endian_ ? first << 8 | second : second << 8 | first);
}

std::uint32_t CaptureReader::get32(std::size_t at) const {
  const std::uint32_t first = get16(at);
  const std::uint32_t second = get16(at + 2);
  return big_endian_ ? first << 16 | second : second << 16 | first;
}

std::optional<CapturedFrame> CaptureReader::next() {
  if (!error_.empty()) return std::nullopt;
  if (format_ == Format::unknown && !begin()) return std::nullopt;
  auto frame = format_ == Format::pcap ? next_record() : next_packet();
  if (!error_.empty()) return std::nullopt;
  return frame;
}

bool CaptureReader::begin() {
  if (file_.size() < 4)
    return fail(0, "no capture file: it has " + number(file_.size()) + " bytes");
  const std::uint32_t magic = get32(0);
  if (magic == pcapng::kSection) {
    format_ = Format::pcapng;
    return true;
  }
  for (const std::uint32_t candidate : {magic, swapped(magic)}) {
    if (candidate != kPcapMicroseconds && candidate != kPcapNanoseconds) continue;
    big_endian_ = candidate != magic;
    return begin_pcap(candidate);
  }
  return fail(0, "neither pcapng nor pcap: a file of those begins otherwise");
}

// --- classic pcap ---

bool CaptureReader::begin_pcap(std::uint32_t magic) {
  if (!has(kPcapHeader)) return fail(file_.size(), "the file ends within its header");
  if (get16(4) != 2) return fail(4, "pcap of version " + number(get16(4)) + ", not 2");
  format_ = Format::pcap;
  nanoseconds_ = magic == kPcapNanoseconds;
  // The upper half says how long a frame check sequence is.
  link_type_ = static_cast<std::uint16_t>(get32(20));
  at_ = kPcapHeader;
  return true;
}

std::optional<CapturedFrame> CaptureReader::next_record() {
  if (at_ == file_.size()) return std::nullopt;
  if (!has(kPcapRecord)) {
    fail(at_, "the file ends within the header of a frame");
    return std::nullopt;
  }
  CapturedFrame frame{.offset = at_ + kPcapRecord,
                      .length = get32(at_ + 8),
                      .original = get32(at_ + 12),
                      .time = get32(at_) * kPerSecond +
                              std::uint64_t{get32(at_ + 4)} * (nanoseconds_ ? 1 : 1000),
                      .link_type = link_type_};
  if (frame.length > file_.size() - frame.offset) {
    fail(at_, "the file ends within a frame of " + number(frame.length) + " bytes");
    return std::nullopt;
  }
  at_ = frame.offset + frame.length;
  return frame;
}

// --- pcapng ---

std::optional<CapturedFrame> CaptureReader::next_packet() {
  while (at_ != file_.size() && error_.empty()) {
    if (!has(kLeastBlock)) {
      fail(at_, "the file ends within the header of a block");
      break;
    }
    // A section says in which byte order it is, its length included.
    if (get32(at_) == pcapng::kSection) {
      big_endian_ = false;
      const std::uint32_t magic = get32(at_ + 8);
      if (magic != pcapng::kByteOrderMagic && swapped(magic) != pcapng::kByteOrderMagic) {
        fail(at_ + 8, "a section without the byte-order magic");
        break;
      }
      big_endian_ = magic != pcapng::kByteOrderMagic;
    }
    const std::uint32_t type = get32(at_);
    const std::size_t length = get32(at_ + 4);
    if (length < kLeastBlock || length % 4 != 0) {
      fail(at_ + 4, "a block cannot have a length of " + number(length));
      break;
    }
    if (!has(length)) {
      fail(at_, "the file ends within a block of " + number(length) + " bytes");
      break;
    }
    if (get32(at_ + length - 4) != length) {
      fail(at_ + length - 4, "a block of " + number(length) + " bytes that ends with the length " +
                                 number(get32(at_ + length - 4)));
      break;
    }
    std::optional<CapturedFrame> frame;
    switch (type) {
    case pcapng::kSection: read_section(length); break;
    case pcapng::kInterface: read_interface(length); break;
    case pcapng::kPacket: frame = read_packet(length, false); break;
    case pcapng::kOldPacket: frame = read_packet(length, true); break;
    case pcapng::kSimplePacket: frame = read_simple_packet(length); break;
    default: break;
    }
    at_ += length;
    if (frame) return frame;
  }
  return std::nullopt;
}

bool CaptureReader::read_section(std::size_t length) {
  if (length < kLeastSection) return fail(at_, "a section header of " + number(length) + " bytes");
  if (get16(at_ + 12) != 1) {
    return fail(at_ + 12, "pcapng of version " + number(get16(at_ + 12)) + ", not 1");
  }
  interfaces_.clear();
  return true;
}

std::optional<CaptureReader::Option> CaptureReader::take_option(std::size_t& at, std::size_t end) {
  if (end - at < 4) return std::nullopt;  // opt_endofopt may be left out
  const Option option{get16(at), {}};
  const std::size_t length = get16(at + 2);
  if (option.code == kOptionEnd) return std::nullopt;
  if (length > end - at - 4) {
    fail(at, "an option of " + number(length) + " bytes is longer than its block");
    return std::nullopt;
  }
  const std::size_t value = at + 4;
  at = std::min(end, value + (length + 3) / 4 * 4);
  return Option{option.code, file_.subspan(value, length)};
}

bool CaptureReader::read_interface(std::size_t length) {
  if (length < kLeastInterface) {
    return fail(at_, "an interface description of " + number(length) + " bytes");
  }
  Interface interface { .link_type = get16(at_ + 8), .snap_length = get32(at_ + 12) };
  std::size_t at = at_ + 16;
  while (const auto option = take_option(at, at_ + length - 4)) {
    const auto place = static_cast<std::size_t>(option->value.data() - file_.data());
    if (option->code == kOptionResolution && option->value.size() == 1) {
      interface.resolution = option->value[0];
    } else if (option->code == kOptionOffset && option->value.size() == 8) {
      const std::uint64_t first = get32(place);
      const std::uint64_t second = get32(place + 4);
      interface.offset = big_endian_ ? first << 32 | second : second << 32 | first;
    }
  }
  interfaces_.push_back(interface);
  return error_.empty();
}

std::optional<CapturedFrame> CaptureReader::read_packet(std::size_t length, bool old) {
  if (length < kLeastPacket) {
    fail(at_, "a packet block of " + number(length) + " bytes");
    return std::nullopt;
  }
  const std::size_t from = old ? get16(at_ + 8) : get32(at_ + 8);
  if (from >= interfaces_.size()) {
    fail(at_ + 8, "a frame of interface " + number(from) + ", where " + number(interfaces_.size()) +
                      " are described");
    return std::nullopt;
  }
  const Interface& interface = interfaces_[from];
  const std::uint64_t time = std::uint64_t{get32(at_ + 12)} << 32 | get32(at_ + 16);
  CapturedFrame frame{.offset = at_ + 28,
                      .length = get32(at_ + 20),
                      .original = get32(at_ + 24),
                      .time = to_nanoseconds(time, interface.resolution) +
                              interface.offset * kPerSecond,
                      .link_type = interface.link_type};
  const std::size_t end = at_ + length - 4;
  if (frame.length > end - frame.offset) {
    fail(at_ + 20, "a frame of " + number(frame.length) + " bytes in a block of " + number(length));
    return std::nullopt;
  }
  std::size_t at = std::min(end, frame.offset + (std::size_t{frame.length} + 3) / 4 * 4);
  while (const auto option = take_option(at, end)) {
    if (option->code != kOptionFlags || option->value.size() != 4) continue;
    frame.direction =
        direction_of(get32(static_cast<std::size_t>(option->value.data() - file_.data())));
  }
  last_time_ = frame.time;
  return frame;
}

/// Of the first interface, and without a time: that of the frame before is taken.
std::optional<CapturedFrame> CaptureReader::read_simple_packet(std::size_t length) {
  if (length < kLeastSimplePacket) {
    fail(at_, "a packet block of " + number(length) + " bytes");
    return std::nullopt;
  }
  if (interfaces_.empty()) {
    fail(at_, "a frame before any interface is described");
    return std::nullopt;
  }
  const std::uint32_t original = get32(at_ + 8);
  const std::uint32_t most = interfaces_[0].snap_length;
  const std::uint32_t kept = most == 0 ? original : std::min(original, most);
  if (kept > length - kLeastSimplePacket) {
    fail(at_ + 8, "a frame of " + number(kept) + " bytes in a block of " + number(length));
    return std::nullopt;
  }
  return CapturedFrame{.offset = at_ + 12,
                       .length = kept,
                       .original = original,
                       .time = last_time_,
                       .link_type = interfaces_[0].link_type};
}

}  // namespace vpollnet::host
