// SPDX-License-Identifier: MIT
// What a switch does with a frame: a VLAN-aware bridge (IEEE 802.1Q clause 8) without a spanning
// tree. A function of the frames and times that it is given; switch.hpp puts links and a pump
// around it.
//
// Loops. A bridge without a spanning tree must live with them. Three things bound what one does:
// - an address that is in use on one port is not believed on another (MacTable::kMoveHold), so that
//   a frame that comes back from a loop is dropped, and unicast cannot circle;
// - a port may have only so many frames a second flooded (BridgeConfig::storm_limit), so that what
//   comes back by the port that it first came by, as from a device that loops, has an end too;
// - a loop is reported (BridgeSink::on_loop).
// Two cables between two of our switches are such a loop, and harmless: each frame's first copy
// wins.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "host/links/link.hpp"
#include "host/switching/mac_table.hpp"
#include "host/switching/vlan_tag.hpp"
#include "util/packet.hpp"

namespace vpollnet::host {

using PortNumber = MacTable::Port;

/// Why a bridge did not forward a frame. One row a reason; the names below are in the same order.
enum class BridgeDrop : std::uint8_t {
  bad_frame,   ///< too short, a source that is a group or zero, a tag that cannot be
  reserved,    ///< to a group that ends at each bridge: 01-80-C2-00-00-00 to 0F
  vlan,        ///< of a VLAN that the port it came by is not in
  looped,      ///< from an address that is in use on another port
  storm,       ///< over storm_limit
  same_port,   ///< for a host behind the port it came by: it has it already
  no_port,     ///< nobody else is in its VLAN
  egress_mtu,  ///< longer than the MTU of the port it was to leave by, which counts it
  count_,
};

inline constexpr std::size_t kBridgeDropReasons = static_cast<std::size_t>(BridgeDrop::count_);

inline constexpr std::array<std::string_view, kBridgeDropReasons> kBridgeDropNames{
    "bad_frame", "reserved", "vlan", "looped", "storm", "same_port", "no_port", "egress_mtu",
};

/// The VLANs of a port. Frames without a tag (or with VID 0) belong to `untagged`, and its frames
/// leave without a tag; those of `tagged` come and leave with one.
struct PortVlans {
  std::uint16_t untagged = 1;  ///< 0: frames without a tag are dropped
  std::bitset<4096> tagged;
};

struct BridgePort {
  PortVlans vlans;
  std::uint32_t mtu = 1500;  ///< bytes of the largest packet in a frame
  Offloads offloads;         ///< what its link does itself
};

struct BridgeConfig {
  Nanos ageing = 300 * kSecond;        ///< the recommended default of IEEE 802.1Q 8.8.3
  std::size_t table_size = 8192;       ///< addresses
  std::uint32_t storm_limit = 50'000;  ///< frames a second that a port may have flooded; 0: any
};

struct BridgePortCounters {
  std::uint64_t flooded = 0;  ///< frames that came by it and went to all ports of their VLAN
  std::uint64_t moved = 0;    ///< addresses that came to it from another port
  std::array<std::uint64_t, kBridgeDropReasons> drops{};
};

/// An address that is heard on two ports at the same time.
struct BridgeLoop {
  std::uint64_t key = 0;  ///< MacTable::key
  PortNumber port = MacTable::kNoPort;
  PortNumber echo = MacTable::kNoPort;  ///< where it is heard too
};

/// Where frames go. Must not call back into the bridge.
class BridgeSink {
 public:
  virtual void transmit(PortNumber port, Packet&& frame) = 0;
  /// At most one a kLoopReportPause.
  virtual void on_loop(const BridgeLoop& loop) = 0;

 protected:
  ~BridgeSink() = default;
};

class Bridge {
 public:
  static constexpr std::size_t kMostPorts = 256;
  /// So many frames of addresses that are in use elsewhere, within a second, are a loop: one that
  /// moves may leave a few.
  static constexpr unsigned kLoopFrames = 10;
  static constexpr Nanos kLoopReportPause = 10 * kSecond;

  /// `pool` and `sink` must outlive the bridge.
  Bridge(const BridgeConfig& config, const SecretKey& secret, BlockPool& pool, BridgeSink& sink);

  /// The number of the new port, which is up; kNoPort when there are kMostPorts.
  PortNumber add_port(const BridgePort& port);
  void remove_port(PortNumber number);
  /// A port that goes down forgets what was heard on it.
  void set_up(PortNumber number, bool up);

  /// A frame has come by a port that is up.
  void receive(PortNumber number, Packet&& frame, Nanos now);

  /// Why the frame of the last receive() went nowhere; count_ if it went somewhere.
  BridgeDrop last_drop() const { return last_drop_; }
  const BridgePortCounters& counters(PortNumber number) const { return ports_[number]->counters; }
  const MacTable& table() const { return table_; }

 private:
  struct Port {
    BridgePort config;
    bool up = true;
    BridgePortCounters counters;
    Nanos storm_window = 0;
    std::uint32_t storm_frames = 0;  ///< flooded in that window

    bool has(std::uint16_t vid) const {
      return vid == config.vlans.untagged || config.vlans.tagged[vid];
    }
  };
  /// A frame's VLAN, and the tag that it came with.
  struct Membership {
    std::uint16_t vid = 0;
    std::uint16_t control = 0;
    bool tagged = false;
  };

  void drop(Port& port, BridgeDrop reason) {
    port.counters.drops[static_cast<std::size_t>(reason)]++;
    last_drop_ = reason;
  }
  bool allows_flood(Port& port, Nanos now);
  void flood(PortNumber from, Packet&& frame, const Membership& member);
  void send(PortNumber to, Packet&& frame, const Membership& member);
  void finish(PortNumber to, Packet&& frame);
  void note_refused(std::uint64_t key, PortNumber echo, Nanos now);

  BlockPool& pool_;
  BridgeSink& sink_;
  MacTable table_;
  std::uint32_t storm_limit_;
  std::vector<std::unique_ptr<Port>> ports_;  ///< null: a number that is free
  BridgeDrop last_drop_ = BridgeDrop::count_;
  Nanos refused_window_ = 0;
  unsigned refused_ = 0;  ///< in that window
  Nanos next_loop_report_ = 0;
};

}  // namespace vpollnet::host
