// SPDX-License-Identifier: MIT
// A link as its owner has it: the link, and what is put around any link.
//
//   owner <-> recording <-> impairment <-> link
//
// A recording shows what the owner sends and gets, with the owner's times, as tcpdump does on a
// host whose network is bad: a frame that the impairment loses is in it, and says so.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host/links/impairment.hpp"
#include "host/links/link.hpp"
#include "host/links/recorder.hpp"
#include "host/links/socket_filter.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

/// A change of a link's impairment, each direction apart. None: it stays as it is. One that is not
/// active(): frames go as they are.
struct LinkImpairment {
  std::optional<ImpairmentConfig> in = {};
  std::optional<ImpairmentConfig> out = {};
};

/// What an impairment does now.
struct ImpairmentInfo {
  ImpairmentConfig config;  ///< with the seed in use
  ImpairmentCounters counters;
  std::size_t waiting = 0;
};

/// What a network and a switch hold for each of their links. All calls come with the pump's lock
/// held. Costs one comparison a frame where there is neither recording nor impairment.
class LinkPort {
 public:
  /// `name` is the interface's, or the port's. `pump`, and `owner`, which is touched when a frame
  /// of the impairment is due, must outlive it.
  LinkPort(std::string name, std::string url, std::unique_ptr<Link> link, Pump& pump,
           PumpMember& owner);
  ~LinkPort();
  LinkPort(LinkPort&&) noexcept;
  LinkPort& operator=(LinkPort&&) = delete;

  const std::string& name() const { return name_; }
  const std::string& url() const { return url_; }
  Link& link() { return *link_; }
  const Link& link() const { return *link_; }
  /// The link's, and what the impairment dropped.
  LinkCounters counters() const;

  void transmit(Packet&& frame) {
    if (around_ == nullptr) return link_->transmit(std::move(frame));
    transmit_around(std::move(frame));
  }
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) {
    if (around_ == nullptr) return link_->deliver(receiver, now, budget);
    return deliver_around(receiver, now, budget);
  }
  Nanos next_deadline() const {
    return around_ == nullptr ? link_->next_deadline() : next_deadline_around();
  }

  /// True once for each change of the link between working and not; which, link().failure() tells.
  bool take_change() {
    const bool down = link_->failure() != Errno::ok;
    return std::exchange(was_down_, down) != down;
  }

  /// Frames that wait keep their times, or follow at once where there is no impairment in their
  /// direction any more.
  void impair(const LinkImpairment& impairment);
  std::optional<ImpairmentInfo> impairment(pcapng::Direction direction) const;

  /// With a filter, the frames that it wants alone.
  void record(std::shared_ptr<Recording> recording, std::shared_ptr<SocketFilter> filter = nullptr);
  /// Writes the link's statistics to it. Does nothing if it does not record this link.
  void stop_recording(const Recording& recording);

 private:
  struct Around;
  class Tap;

  void transmit_around(Packet&& frame);
  bool deliver_around(FrameReceiver& receiver, Nanos now, int& budget);
  Nanos next_deadline_around() const;
  Around& around();

  std::string name_;
  std::string url_;
  std::unique_ptr<Link> link_;
  Pump* pump_;
  PumpMember* owner_;
  std::unique_ptr<Around> around_;  ///< null: nothing is around the link
  LinkCounters impairment_drops_;
  bool was_down_ = false;
};

}  // namespace vpollnet::host
