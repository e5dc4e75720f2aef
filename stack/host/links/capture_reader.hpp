// SPDX-License-Identifier: MIT
// Capture files, read: pcapng (draft-ietf-opsawg-pcapng) and classic pcap
// (draft-ietf-opsawg-pcap), of either byte order. Bytes that nobody vouches for: every length is
// checked against what is there before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/links/pcapng.hpp"

namespace vpollnet::host {

/// A frame, by its place in the file.
struct CapturedFrame {
  std::size_t offset = 0;
  std::uint32_t length = 0;    ///< bytes that are there
  std::uint32_t original = 0;  ///< bytes that the frame had
  std::uint64_t time = 0;      ///< nanoseconds since 1970, or since whatever the writer chose
  std::uint16_t link_type = 0;
  pcapng::Direction direction = pcapng::Direction::unknown;
};

/// Goes through a file once. Blocks of no known type are skipped.
class CaptureReader {
 public:
  /// `file` must outlive the reader.
  explicit CaptureReader(std::span<const std::uint8_t> file) : file_(file) {}

  /// None at the end of the file, or of what can be read: then error() says why.
  std::optional<CapturedFrame> next();
  /// Empty, or what is wrong and at which byte.
  const std::string& error() const { return error_; }

 private:
  enum class Format : std::uint8_t { unknown, pcap, pcapng };
  struct Interface {
    std::uint16_t link_type = 0;
    std::uint32_t snap_length = 0;
    std::uint8_t resolution = 6;  ///< if_tsresol: a power of ten, or of two with the upper bit set
    std::uint64_t offset = 0;     ///< if_tsoffset, seconds
  };
  /// One option of a block.
  struct Option {
    std::uint16_t code = 0;
    std::span<const std::uint8_t> value;
  };

  bool begin();
  bool begin_pcap(std::uint32_t magic);
  std::optional<CapturedFrame> next_record();
  std::optional<CapturedFrame> next_packet();
  bool read_section(std::size_t length);
  bool read_interface(std::size_t length);
  std::optional<CapturedFrame> read_packet(std::size_t length, bool old);
  std::optional<CapturedFrame> read_simple_packet(std::size_t length);
  /// Takes the option at `at` of a block whose body ends at `end`; none at the end, or for an
  /// error.
  std::optional<Option> take_option(std::size_t& at, std::size_t end);

  bool fail(std::size_t at, const std::string& what);
  bool has(std::size_t count) const { return count <= file_.size() - at_; }
  std::uint16_t get16(std::size_t at) const;
  std::uint32_t get32(std::size_t at) const;

  std::span<const std::uint8_t> file_;
  std::size_t at_ = 0;
  Format format_ = Format::unknown;
  bool big_endian_ = false;
  bool nanoseconds_ = false;  ///< pcap
  std::uint16_t link_type_ = 0;
  std::uint64_t last_time_ = 0;
  std::vector<Interface> interfaces_;  ///< of the present section
  std::string error_;
};

}  // namespace vpollnet::host
