// SPDX-License-Identifier: MIT
// Ethernet frames as datagrams, one frame each and nothing else: Ethernet in UDP, as QEMU's
// `-netdev dgram` and VDE's udp plug speak it, and QEMU's `dgram` over Unix sockets.
#pragma once

#include <memory>

#include "host/failure.hpp"
#include "host/links/datagram_socket.hpp"
#include "host/links/device.hpp"
#include "host/links/udp_socket.hpp"
#include "host/links/unix_path.hpp"

namespace vpollnet::host {

class DatagramDevice final : public Device {
 public:
  struct Options {
    SocketAddress local;
    SocketAddress remote;  ///< may be a group
    UdpOptions udp;
    bool any = false;  ///< frames from others than `remote` are taken too
    /// Largest IP packet in bytes; 0: what fits the path without fragments.
    std::uint32_t mtu = 0;
  };

  /// Null and `failure` filled in: a family that differs, or what the system calls say.
  static std::unique_ptr<DatagramDevice> open(const Options& options, Failure& failure);

  int fd() const override { return input_->fd(); }
  int room_fd() const override { return output().fd(); }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool gathers() const override { return true; }
  Errno flush(BlockPool& pool) override;
  /// Nothing that comes back from the network is the end of a socket.
  bool is_gone(Errno) const override { return false; }

 private:
  DatagramDevice() = default;
  Failure open_unix(const Options& options);
  Failure open_unicast(const Options& options);
  Failure open_group(const Options& options);

  DatagramSocket& output() const { return output_ == nullptr ? *input_ : *output_; }
  bool is_peer(const SocketAddress& from) const;

  UnixPath path_;
  std::unique_ptr<DatagramSocket> input_;
  std::unique_ptr<DatagramSocket> output_;  ///< null: input_ sends too
  SocketAddress remote_;                    ///< of no family: output_ is connected
  SocketAddress own_;  ///< where frames to a group come from: a group's sockets hear themselves
  bool any_ = false;
  LinkCapabilities capabilities_;
};

}  // namespace vpollnet::host
