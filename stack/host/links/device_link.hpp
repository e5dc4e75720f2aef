// SPDX-License-Identifier: MIT
// A link over a device: waits for it in the pump's epoll set, queues what it has no room for.
#pragma once

#include <memory>
#include <vector>

#include "host/links/device.hpp"
#include "host/links/frame_queue.hpp"
#include "host/links/link.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

class DeviceLink final : public Link, private PumpSource, private HoldEnd {
 public:
  /// What waits for room in the device at most.
  static constexpr std::size_t kQueueFrames = 512;
  static constexpr std::size_t kQueueBytes = 4u << 20;

  /// `owner` is touched when the device has something; it and `pump` must outlive the link.
  /// Errors of epoll_ctl(2).
  static Result<std::unique_ptr<DeviceLink>> open(std::unique_ptr<Device> device, Pump& pump,
                                                  PumpMember& owner);
  ~DeviceLink() override;
  DeviceLink(const DeviceLink&) = delete;
  DeviceLink& operator=(const DeviceLink&) = delete;

  const LinkCapabilities& capabilities() const override { return device_->capabilities(); }
  void transmit(Packet&& frame) override;
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) override;

 private:
  /// Of a device that shows its room by a descriptor of its own.
  class Room final : public PumpSource {
   public:
    explicit Room(DeviceLink& link) : link_(link) {}
    void on_ready(std::uint32_t) override { link_.flush(); }

   private:
    DeviceLink& link_;
  };

  DeviceLink(std::unique_ptr<Device> device, Pump& pump, PumpMember& owner)
      : device_(std::move(device)), pump_(pump), owner_(owner) {}

  void on_ready(std::uint32_t events) override;
  void on_hold_end() override { flush(); }
  Errno watch();
  void unwatch();
  /// Takes notice of a device that waits for its peer, and of one that has it.
  void follow();
  void wait_for_room(bool wanted);
  /// Errno::again: no room now. Counts what it wrote and what it lost.
  Errno write(Packet& frame);
  void flush();
  void fail(Errno error);

  std::unique_ptr<Device> device_;
  Pump& pump_;
  PumpMember& owner_;
  Pump::SourceId source_ = 0;
  int watched_ = -1;  ///< the descriptor that is watched
  Room room_{*this};
  Pump::SourceId room_source_ = 0;
  bool waits_for_room_ = false;
  bool readable_ = false;  ///< the device may have more than was read
  FrameQueue waiting_{kQueueFrames, kQueueBytes};
  std::vector<Packet> batch_;
};

}  // namespace vpollnet::host
