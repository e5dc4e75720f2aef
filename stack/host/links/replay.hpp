// SPDX-License-Identifier: MIT
// A capture file as a link: its frames come in, what goes out is dropped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/failure.hpp"
#include "host/links/link.hpp"
#include "util/block.hpp"

namespace vpollnet::host {

/// What is played: a checked file, and which of its frames.
struct Recorded {
  /// The file is held in memory: the pump's lock is no place to wait for a disk.
  static constexpr std::size_t kLargestFile = 1u << 30;

  enum class Frames : std::uint8_t {
    incoming,  ///< all but those that are marked as outbound
    outgoing,  ///< those that are
    all,
  };
  struct Frame {
    std::uint64_t after = 0;  ///< nanoseconds behind the first, as recorded
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    bool whole = true;  ///< false: the recording has only a part of the frame
  };

  std::vector<std::uint8_t> file;
  std::vector<Frame> frames;
  LinkType type = LinkType::ethernet;

  /// Reads the whole file. Errors of open(2) and read(2), EFBIG, and those of check().
  static Failure read(const std::string& path, Frames wanted, Recorded& recorded);
  /// Fills in the frames of `file`. EINVAL, with the byte, where it is truncated or corrupt; where
  /// it has no frame to play; and where frames have several link types, or one that is not
  /// Ethernet or IP.
  Failure check(Frames wanted);
};

class Replay final : public Link {
 public:
  static constexpr std::uint32_t kMtu = 65535;

  /// `speed`: 1 as it was recorded, 2 twice as fast, 0 as fast as the frames are taken.
  Replay(Recorded&& recorded, double speed, BlockPool& pool);

  const LinkCapabilities& capabilities() const override { return capabilities_; }
  void transmit(Packet&& frame) override;
  /// The first frame comes at the first call.
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) override;
  Nanos next_deadline() const override;

 private:
  /// When the next frame comes.
  Nanos due() const;

  Recorded recorded_;
  double speed_;
  BlockPool& pool_;
  std::size_t next_ = 0;
  Nanos start_ = kNotStarted;
  LinkCapabilities capabilities_;

  static constexpr Nanos kNotStarted = -1;
};

}  // namespace vpollnet::host
