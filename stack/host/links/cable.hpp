// SPDX-License-Identifier: MIT
// Ethernet in memory: a segment joins stacks and switches of one pump. A frame goes from one to the
// other as the packet that it is; its bytes are not touched.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/links/frame_queue.hpp"
#include "host/links/link.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

class CablePort;

/// One shared medium. Made by CableSegments, lives as long as a port is on it. Guarded by the
/// pump's lock, as everything here.
class CableSegment {
 public:
  /// Never back to `from`. Unicast goes to the port that has the address; what no port has, to the
  /// promiscuous ones; groups to all.
  void carry(CablePort& from, Packet&& frame);

  bool has(const MacAddress& mac) const { return by_mac_.contains(key(mac)); }
  /// Whether `owner` has a promiscuous port here. With a second one a switch would hear itself.
  bool has_switch(const PumpMember& owner) const;

 private:
  friend class CablePort;

  static std::uint64_t key(const MacAddress& mac);

  std::vector<CablePort*> ports_;
  std::vector<CablePort*>
      promiscuous_;  ///< those of ports_ without an address: behind them are more
  std::unordered_map<std::uint64_t, CablePort*> by_mac_;
};

/// The segments of a pump, by name.
class CableSegments {
 public:
  /// The segment of that name, made at its first port and gone with its last.
  std::shared_ptr<CableSegment> find_or_make(const std::string& name);

 private:
  std::unordered_map<std::string, std::weak_ptr<CableSegment>> by_name_;
};

/// A network's or a switch's end of a cable.
class CablePort final : public Link {
 public:
  static constexpr std::uint32_t kDefaultMtu = 65535;
  /// What one port keeps at most. Whoever sends also runs the receiver, so that this is reached
  /// only within one burst.
  static constexpr std::size_t kQueueFrames = 4096;
  static constexpr std::size_t kQueueBytes = 32u << 20;

  /// `owner` is touched when a frame comes; it and `pump` must outlive the port. `mac` must not be
  /// on the segment yet (CableSegment::has); zero makes the port promiscuous.
  CablePort(std::shared_ptr<CableSegment> segment, const MacAddress& mac, std::uint32_t mtu,
            bool offloads, Pump& pump, PumpMember& owner);
  ~CablePort() override;
  CablePort(const CablePort&) = delete;
  CablePort& operator=(const CablePort&) = delete;

  const LinkCapabilities& capabilities() const override { return capabilities_; }
  void transmit(Packet&& frame) override;
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) override;

 private:
  friend class CableSegment;
  void take_in(Packet&& frame);

  std::shared_ptr<CableSegment> segment_;
  MacAddress mac_;
  LinkCapabilities capabilities_;
  Pump& pump_;
  PumpMember& owner_;
  FrameQueue arrived_{kQueueFrames, kQueueBytes};
};

}  // namespace vpollnet::host
