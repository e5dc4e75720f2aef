// SPDX-License-Identifier: MIT
// TAP and TUN devices of Linux (the kernel's Documentation/networking/tuntap.rst), with
// IFF_VNET_HDR: checksums and segmentation are left to the other side where it can.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "host/failure.hpp"
#include "host/links/device.hpp"

namespace vpollnet::host {

class Tap final : public Device {
 public:
  enum class Mode : std::uint8_t {
    ethernet,  ///< TAP: frames with an Ethernet header
    ip,        ///< TUN: bare IP packets
  };

  /// Attaches to the device `name`, or makes it where the process may (CAP_NET_ADMIN); one made
  /// here goes with the last descriptor. The host's own side of it, its addresses and whether it
  /// is up, are left alone. Null and `failure` filled in if that is not possible.
  static std::unique_ptr<Tap> open(const std::string& name, Mode mode, bool offloads,
                                   Failure& failure);
  /// On the TUN or TAP that `descriptor` is attached to already, of whichever network namespace.
  /// The descriptor is duplicated and stays the caller's; what it is attached to becomes
  /// non-blocking, and its offloads are set. Without IFF_VNET_HDR there are none. Null and
  /// `failure` filled in if it is no such descriptor, or one of another mode.
  static std::unique_ptr<Tap> adopt(int descriptor, Mode mode, bool offloads, Failure& failure);
  ~Tap() override;
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  int fd() const override { return fd_; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool is_gone(Errno error) const override;

 private:
  explicit Tap(int fd) : fd_(fd) {}

  Failure set_up(Mode mode, std::uint32_t mtu, bool offloads);

  int fd_;
  bool has_header_ = true;  ///< IFF_VNET_HDR: a VnetHeader stands before each frame
  LinkCapabilities capabilities_;
};

}  // namespace vpollnet::host
