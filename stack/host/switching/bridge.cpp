// SPDX-License-Identifier: MIT
#include "host/switching/bridge.hpp"

#include <algorithm>

#include "link/offload.hpp"
#include "wire/bytes.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint64_t kGroup = std::uint64_t{1} << 40;
/// IEEE 802.1Q table 8-1: 01-80-C2-00-00-00 to 0F.
constexpr std::uint64_t kReservedGroups = 0x0180c2000000;
/// storm_limit is shared out to so many windows a second.
constexpr std::uint32_t kStormWindows = 10;
constexpr Nanos kStormWindow = kSecond / kStormWindows;
constexpr std::size_t kTaggedHeader = wire::kEthernetHeader + wire::kVlanTag;

// RFC 9293 3.1, RFC 768.
constexpr std::uint16_t kTcpChecksumField = 16;
constexpr std::size_t kTcpDataOffset = 12;
constexpr std::size_t kUdpHeader = 8;

std::uint64_t load_mac_number(const std::uint8_t* at) {
  return std::uint64_t{wire::load32(at)} << 16 | wire::load16(at + 4);
}

/// Bytes of the longest packet that becomes of the frame: of a large one, a segment's, or the least
/// that can be said of it.
std::size_t packet_size(const Packet& frame, std::size_t link_header) {
  const std::size_t size = frame.size() - link_header;
  if (frame.gso_size == 0) return size;
  if (frame.checksum != ChecksumState::partial || frame.checksum_from_end > size) {
    return std::min<std::size_t>(size, frame.gso_size);
  }
  std::size_t header = kUdpHeader;
  if (frame.checksum_field == kTcpChecksumField) {
    std::array<std::uint8_t, 1> offset{};
    frame.copy_out(frame.size() - frame.checksum_from_end + kTcpDataOffset, offset);
    header = std::size_t{offset[0]} / 16 * 4;
  }
  return std::min(size, size - frame.checksum_from_end + header + frame.gso_size);
}

}  // namespace

Bridge::Bridge(const BridgeConfig& config, const SecretKey& secret, BlockPool& pool,
               BridgeSink& sink)
    : pool_(pool), sink_(sink), table_(config.table_size, config.ageing, secret),
      storm_limit_(config.storm_limit) {}

PortNumber Bridge::add_port(const BridgePort& config) {
  auto free = std::find(ports_.begin(), ports_.end(), nullptr);
  if (free == ports_.end()) {
    if (ports_.size() == kMostPorts) return MacTable::kNoPort;
    free = ports_.emplace(ports_.end());
  }
  *free = std::make_unique<Port>();
  (*free)->config = config;
  return static_cast<PortNumber>(free - ports_.begin());
}

void Bridge::remove_port(PortNumber number) {
  table_.forget_port(number);
  ports_[number] = nullptr;
}

void Bridge::set_up(PortNumber number, bool up) {
  ports_[number]->up = up;
  if (!up) table_.forget_port(number);
}

void Bridge::receive(PortNumber number, Packet&& frame, Nanos now) {
  last_drop_ = BridgeDrop::count_;
  Port& port = *ports_[number];
  const auto bytes = frame.contiguous(std::min(frame.size(), kTaggedHeader), pool_);
  if (bytes.size() < wire::kEthernetHeader) return drop(port, BridgeDrop::bad_frame);
  const std::uint64_t destination = load_mac_number(&bytes[0]);
  const std::uint64_t source = load_mac_number(&bytes[6]);
  if (source == 0 || (source & kGroup) != 0) return drop(port, BridgeDrop::bad_frame);
  if ((destination & ~std::uint64_t{0xf}) == kReservedGroups) {
    return drop(port, BridgeDrop::reserved);
  }

  // IEEE 802.1Q 6.9.1. Only the outer C-TAG counts: an S-TAG, or a tag behind a tag, is payload.
  Membership member;
  if (wire::load16(&bytes[12]) == wire::kEtherVlan) {
    if (bytes.size() < kTaggedHeader) return drop(port, BridgeDrop::bad_frame);
    const std::uint16_t control = wire::load16(&bytes[14]);
    member = {
        .vid = static_cast<std::uint16_t>(control & kVidMask), .control = control, .tagged = true};
    if (member.vid > kMostVid) return drop(port, BridgeDrop::bad_frame);
    // 8.6.2, ingress filtering: an access port takes no tagged frames.
    if (member.vid != 0 && !port.config.vlans.tagged[member.vid]) {
      return drop(port, BridgeDrop::vlan);
    }
  }
  if (member.vid == 0) member.vid = port.config.vlans.untagged;
  if (member.vid == 0) return drop(port, BridgeDrop::vlan);

  const std::uint64_t from = MacTable::key(source, member.vid);
  switch (table_.learn(from, number, now)) {
  case MacTable::Outcome::moved: port.counters.moved++; break;
  case MacTable::Outcome::refused:
    drop(port, BridgeDrop::looped);
    return note_refused(from, number, now);
  case MacTable::Outcome::known:
  case MacTable::Outcome::learned: break;
  }

  if ((destination & kGroup) == 0) {
    const PortNumber to = table_.find(MacTable::key(destination, member.vid), now);
    if (to == number) return drop(port, BridgeDrop::same_port);
    if (to != MacTable::kNoPort) return send(to, std::move(frame), member);
  }
  if (!allows_flood(port, now)) return drop(port, BridgeDrop::storm);
  flood(number, std::move(frame), member);
}

bool Bridge::allows_flood(Port& port, Nanos now) {
  if (storm_limit_ == 0) return true;
  if (now - port.storm_window >= kStormWindow) {
    port.storm_window = now;
    port.storm_frames = 0;
  }
  if (port.storm_frames >= std::max(storm_limit_ / kStormWindows, 1u)) return false;
  port.storm_frames++;
  return true;
}

void Bridge::flood(PortNumber from, Packet&& frame, const Membership& member) {
  Port& origin = *ports_[from];
  // The last one gets the frame itself.
  PortNumber last = MacTable::kNoPort;
  for (std::size_t i = 0; i < ports_.size(); i++) {
    const Port* port = ports_[i].get();
    if (i == from || port == nullptr || !port->up || !port->has(member.vid)) continue;
    if (last != MacTable::kNoPort) send(last, frame.clone(), member);
    last = static_cast<PortNumber>(i);
  }
  if (last == MacTable::kNoPort) return drop(origin, BridgeDrop::no_port);
  origin.counters.flooded++;
  send(last, std::move(frame), member);
  last_drop_ = BridgeDrop::count_;
}

/// IEEE 802.1Q 6.9.2: with the tag that the port wants. The priority of one that it had stays.
void Bridge::send(PortNumber to, Packet&& frame, const Membership& member) {
  const auto control = static_cast<std::uint16_t>((member.control & ~kVidMask) | member.vid);
  if (member.vid == ports_[to]->config.vlans.untagged) {
    if (member.tagged) remove_vlan_tag(frame, pool_);
  } else if (!member.tagged) {
    insert_vlan_tag(frame, control, pool_);
  } else if (member.control != control) {
    rewrite_vlan_tag(frame, control, pool_);
  }
  finish(to, std::move(frame));
}

/// What the port's link cannot do itself is done here, as at the edge of a stack.

void Bridge::finish(PortNumber to, Packet&& frame) {
  Port& port = *ports_[to];
  const BridgePort& config = port.config;
  const bool large = frame.gso_size != 0;
  const bool partial = frame.checksum == ChecksumState::partial;
  std::size_t header = wire::kEthernetHeader;
  if (large || partial || frame.size() > config.mtu + header) {
    const auto front = frame.contiguous(std::min(frame.size(), wire::kEthernetTagged), pool_);
    if (const auto payload = wire::ethernet_payload(front)) header = payload->offset;
    if (packet_size(frame, header) > config.mtu) return drop(port, BridgeDrop::egress_mtu);
  }
  if (large && !config.offloads.segmentation) {
    return link::segment(std::move(frame), header, !config.offloads.checksum, pool_,
                         [&](Packet&& piece) {
                           if (piece.size() - header > config.mtu) {
                             return drop(port, BridgeDrop::egress_mtu);
                           }
                           sink_.transmit(to, std::move(piece));
                         });
  }
  if (partial && !config.offloads.checksum) link::finish_checksum(frame, pool_);
  sink_.transmit(to, std::move(frame));
}

void Bridge::note_refused(std::uint64_t key, PortNumber echo, Nanos now) {
  if (now - refused_window_ >= kSecond) {
    refused_window_ = now;
    refused_ = 0;
  }
  if (++refused_ < kLoopFrames || now < next_loop_report_) return;
  next_loop_report_ = now + kLoopReportPause;
  sink_.on_loop({key, table_.find(key, now), echo});
}

}  // namespace vpollnet::host
