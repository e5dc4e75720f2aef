// SPDX-License-Identifier: MIT
// A link as its owner has it: the link, and what is put around any link.
#pragma once

#include <memory>
#include <string>

#include "host/links/link.hpp"

namespace vpollnet::host {

/// What a network and a switch hold for each of their links. All calls come with the pump's lock
/// held.
class LinkPort {
 public:
  LinkPort(std::string url, std::unique_ptr<Link> link)
      : url_(std::move(url)), link_(std::move(link)) {}

  const std::string& url() const { return url_; }
  Link& link() { return *link_; }
  const Link& link() const { return *link_; }

  void transmit(Packet&& frame) { link_->transmit(std::move(frame)); }
  bool deliver(FrameReceiver& receiver, Nanos now, int& budget) {
    return link_->deliver(receiver, now, budget);
  }
  Nanos next_deadline() const { return link_->next_deadline(); }

  /// True once for each change of the link between working and not; which, link().failure() tells.
  bool take_change() {
    const bool down = link_->failure() != Errno::ok;
    return std::exchange(was_down_, down) != down;
  }

 private:
  std::string url_;
  std::unique_ptr<Link> link_;
  bool was_down_ = false;
};

}  // namespace vpollnet::host
