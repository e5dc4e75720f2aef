// SPDX-License-Identifier: MIT
// A link over a device: waits for it in the pump's epoll set, queues what it has no room for.
#pragma once

#include <memory>
#include <vector>

#include "host/links/device.hpp"
#include "host/links/frame_queue.hpp"
#include "host/links/link.hpp"
#include "host/links/reopening.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

class DeviceLink final : public Link, private PumpSource, private HoldEnd {
 public:
  /// What waits for room in the device at most.
  static constexpr std::size_t kQueueFrames = 512;
  static constexpr std::size_t kQueueBytes = 4u << 20;
  /// From the death of a device, or a failed attempt to open it anew, to the next one.
  static constexpr Nanos kReopenInterval = kSecond;

  /// `owner` is touched when the device has something; it and `pump` must outlive the link.
  /// `reopen`, if there is one, is tried again and again when the device has died: the link is down
  /// meanwhile. Errors of epoll_ctl(2).
  static Result<std::unique_ptr<DeviceLink>> open(std::unique_ptr<Device> device, Pump& pump,
                                                  PumpMember& owner, OpenDevice reopen = nullptr);
  ~DeviceLink() override;
  DeviceLink(const DeviceLink&) = delete;
  DeviceLink& operator=(const DeviceLink&) = delete;

  const LinkCapabilities& capabilities() const override { return capabilities_; }
  void transmit(Packet&& frame) override;
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) override;
  Nanos next_deadline() const override { return reopen_at_; }

 private:
  /// Of a device that shows its room by a descriptor of its own.
  class Room final : public PumpSource {
   public:
    explicit Room(DeviceLink& link) : link_(link) {}
    void on_ready(std::uint32_t) override { link_.flush(); }

   private:
    DeviceLink& link_;
  };

  /// Told when the attempt to open the device anew is over.
  class Return final : public PumpSource {
   public:
    explicit Return(DeviceLink& link) : link_(link) {}
    void on_ready(std::uint32_t) override { link_.end_attempt(); }

   private:
    DeviceLink& link_;
  };

  DeviceLink(std::unique_ptr<Device> device, Pump& pump, PumpMember& owner, OpenDevice reopen)
      : device_(std::move(device)), capabilities_(device_->capabilities()), pump_(pump),
        owner_(owner), reopen_(std::move(reopen)) {}

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
  void begin_attempt(Nanos now);
  void end_attempt();
  void forget_attempt();

  std::unique_ptr<Device> device_;  ///< null while it is opened anew
  LinkCapabilities capabilities_;
  Pump& pump_;
  PumpMember& owner_;
  Pump::SourceId source_ = 0;
  int watched_ = -1;  ///< the descriptor that is watched
  Room room_{*this};
  Pump::SourceId room_source_ = 0;
  int room_watched_ =
      -1;  ///< what shows room, where it is another descriptor, while that is wanted
  bool waits_for_room_ = false;
  bool readable_ = false;  ///< the device may have more than was read
  FrameQueue waiting_{kQueueFrames, kQueueBytes};
  std::vector<Packet> batch_;

  OpenDevice reopen_;         ///< null: a device that died stays dead
  Nanos reopen_at_ = kNever;  ///< when to try next; kNever unless it is dead and nobody tries now
  std::shared_ptr<Reopening> attempt_;
  Return return_{*this};
  Pump::SourceId attempt_source_ = 0;
};

}  // namespace vpollnet::host
