// SPDX-License-Identifier: MIT
// Frames in a byte stream, each after its length in four bytes, the highest first: what QEMU's
// `-netdev stream` speaks, and passt and others with it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "util/result.hpp"

namespace vpollnet::host {

inline constexpr std::size_t kFramePrefix = 4;

/// Cuts the bytes that come into frames. Keeps one frame and what came with it, never more.
class FrameParser {
 public:
  /// The longest frame: 64 KiB and 4 KiB of headers, which is QEMU's own bound.
  static constexpr std::size_t kMostFrame = 68 * 1024;

  FrameParser() : bytes_(new Bytes) {}

  /// Where the next bytes go; never empty once next() has returned none.
  std::span<std::uint8_t> room();
  /// That many came there.
  void filled(std::size_t count) { end_ += count; }

  /// The next frame, none if it is not whole yet. It lives until room() is called. Errno::protocol
  /// for a length of 0 or above kMostFrame: there is no telling where the next frame begins.
  Result<std::optional<std::span<const std::uint8_t>>> next();

  void clear() { begin_ = end_ = 0; }

 private:
  struct Bytes {
    std::array<std::uint8_t, 2 * (kFramePrefix + kMostFrame)> all;
  };

  std::unique_ptr<Bytes> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace vpollnet::host
