// SPDX-License-Identifier: MIT
#include "host/links/replay.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>

#include "host/links/capture_reader.hpp"
#include "host/links/link_url.hpp"

namespace vpollnet::host {
namespace {

/// An Ethernet header with a VLAN tag.
constexpr std::size_t kLargestHeader = 18;

std::optional<LinkType> link_type_of(std::uint16_t number) {
  switch (number) {
  case pcapng::kLinkEthernet: return LinkType::ethernet;
  case pcapng::kLinkRaw:
  case pcapng::kLinkIpv4:
  case pcapng::kLinkIpv6: return LinkType::ip;
  default: return std::nullopt;
  }
}

bool is_wanted(pcapng::Direction direction, Recorded::Frames wanted) {
  const bool outbound = direction == pcapng::Direction::outbound;
  return wanted == Recorded::Frames::all || outbound == (wanted == Recorded::Frames::outgoing);
}

/// All bytes of a file of `size` bytes.
Errno read_all(int fd, std::vector<std::uint8_t>& bytes, std::size_t size) {
  bytes.resize(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, &bytes[done], size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno(errno);
    if (got == 0) break;  // it has become shorter: the check finds out
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return Errno::ok;
}

}  // namespace

Failure Recorded::read(const std::string& path, Frames wanted, Recorded& recorded) {
  // O_NONBLOCK: a FIFO would wait for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {Errno(errno), "open", path};
  struct stat status {};
  Failure failure;
  if (fstat(fd, &status) != 0) {
    failure = {Errno(errno), "fstat", path};
  } else if (!S_ISREG(status.st_mode)) {
    failure = invalid_link("'" + path + "' is no file");
  } else if (status.st_size > static_cast<off_t>(kLargestFile)) {
    failure = {Errno(EFBIG), "open", path + " has more than 1 GiB: cut it, as with editcap(1)"};
  } else {
    const Errno error = read_all(fd, recorded.file, static_cast<std::size_t>(status.st_size));
    if (error != Errno::ok) failure = {error, "read", path};
  }
  ::close(fd);
  if (failure) return failure;
  failure = recorded.check(wanted);
  if (failure) failure.detail = path + ", " + failure.detail;
  return failure;
}

Failure Recorded::check(Frames wanted) {
  CaptureReader reader(file);
  std::size_t others = 0;
  std::set<std::uint16_t> types;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  while (const auto frame = reader.next()) {
    if (!is_wanted(frame->direction, wanted)) {
      others++;
      continue;
    }
    types.insert(frame->link_type);
    if (frames.empty()) first = last = frame->time;
    // Recordings of several interfaces may be a little out of order: the order of the file holds.
    last = std::max(last, frame->time);
    frames.push_back({.after = last - first,
                      .offset = static_cast<std::uint32_t>(frame->offset),
                      .length = frame->length,
                      .whole = frame->length == frame->original});
  }
  if (!reader.error().empty()) return invalid_link(reader.error());
  if (frames.empty()) {
    return invalid_link(others == 0
                            ? "it has no frame"
                            : "it has no frame of that direction, and " + std::to_string(others) +
                                  " of the other: see the parameter 'direction'");
  }
  for (const std::uint16_t number : types) {
    const auto one = link_type_of(number);
    if (!one) {
      return invalid_link("it has frames of link type " + std::to_string(number) +
                          ", which is neither Ethernet (1) nor IP (101)");
    }
    if (number != *types.begin() && *one != type) {
      return invalid_link("it has frames with and without an Ethernet header: split it");
    }
    type = *one;
  }
  return {};
}

Replay::Replay(Recorded&& recorded, double speed, BlockPool& pool)
    : recorded_(std::move(recorded)), speed_(speed), pool_(pool) {
  capabilities_.type = recorded_.type;
  capabilities_.mtu = kMtu;
  // Nobody sees the checksums of what goes out.
  capabilities_.offloads = {.segmentation = true, .checksum = true};
}

void Replay::transmit(Packet&& frame) {
  Packet(std::move(frame));
  counters_.drop(LinkDrop::receive_only);
}

Nanos Replay::due() const {
  if (speed_ == 0) return start_;
  const double after = static_cast<double>(recorded_.frames[next_].after) / speed_;
  // Centuries are for ever.
  return after < 1e18 ? start_ + static_cast<Nanos>(after) : kNever;
}

Nanos Replay::next_deadline() const {
  if (next_ == recorded_.frames.size()) return kNever;
  return start_ == kNotStarted ? 0 : due();
}

bool Replay::deliver(FrameReceiver& receiver, Nanos now, int& budget) {
  if (start_ == kNotStarted) start_ = now;
  while (next_ < recorded_.frames.size() && due() <= now) {
    if (budget <= 0) return false;
    budget--;
    const Recorded::Frame& frame = recorded_.frames[next_++];
    if (!frame.whole || frame.length == 0) {
      counters_.drop(LinkDrop::malformed);
    } else if (frame.length > kMtu + kLargestHeader) {
      counters_.drop(LinkDrop::too_long);
    } else {
      counters_.frames_in++;
      counters_.bytes_in += frame.length;
      const auto bytes = std::span(recorded_.file).subspan(frame.offset, frame.length);
      receiver.receive(Packet(pool_.copy(bytes)), now);
    }
  }
  return true;
}

}  // namespace vpollnet::host
