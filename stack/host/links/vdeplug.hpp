// SPDX-License-Identifier: MIT
// A connection of libvdeplug: to a VDE switch, and to whatever else its modules reach.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/failure.hpp"
#include "host/links/device.hpp"
#include "host/links/vdeplug_library.hpp"

namespace vpollnet::host {

/// The data descriptor of most modules does not tell when a call would wait, and their calls take
/// no flag for it. Where it is a local datagram socket, as with a switch, it is set to non-blocking
/// and used directly. Any other connection belongs to a thread that may wait (vdeplug_relay.hpp).
class VdePlug final : public Device {
 public:
  static constexpr std::uint32_t kDefaultMtu = 1500;

  /// `locator` goes to libvdeplug as it is: "vde:///run/switch", "vxvde://239.1.2.3", or a path.
  /// `mtu` is at most VdeLibrary::kMaxMtu. May wait. Null and `failure` filled in if it is refused:
  /// EPROTONOSUPPORT where libvdeplug has no module of that name.
  static std::unique_ptr<VdePlug> open(const std::string& locator, std::uint32_t mtu,
                                       Failure& failure);
  /// Over a connection of `library` that is open, and closed with it; on failure it is closed too.
  static std::unique_ptr<VdePlug> over(const VdeLibrary& library, VdeConnection* connection,
                                       std::uint32_t mtu, Failure& failure);
  ~VdePlug() override;
  VdePlug(const VdePlug&) = delete;
  VdePlug& operator=(const VdePlug&) = delete;

  int fd() const override { return ready_fd_; }
  int room_fd() const override { return data_fd_; }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool is_gone(Errno error) const override;

 private:
  VdePlug(const VdeLibrary& library, std::uint32_t mtu);

  bool connect(VdeConnection* connection, Failure& failure);
  ssize_t receive();
  bool peer_left() const;

  const VdeLibrary& library_;
  VdeConnection* connection_ = nullptr;  ///< null where a relay has it
  int data_fd_ = -1;                     ///< the connection's own, or our end of the relay
  int control_fd_ = -1;                  ///< the connection's; -1: none
  int ready_fd_ = -1;                    ///< epoll over both
  LinkCapabilities capabilities_;
  std::size_t largest_;  ///< frame, in bytes
  std::vector<std::uint8_t> buffer_;
};

}  // namespace vpollnet::host
