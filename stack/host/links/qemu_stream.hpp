// SPDX-License-Identifier: MIT
// QEMU's `-netdev stream`, over TCP or a Unix socket; either side may be the one that connects.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "host/failure.hpp"
#include "host/links/descriptor.hpp"
#include "host/links/device.hpp"
#include "host/links/frame_stream.hpp"
#include "host/links/socket_address.hpp"
#include "host/links/unix_path.hpp"

namespace vpollnet::host {

class QemuStream final : public Device {
 public:
  /// Frames that are gathered for one system call.
  static constexpr std::size_t kBatch = 64;
  /// What connecting may take.
  static constexpr int kConnectMs = 3000;

  /// Connects to a QEMU that listens. ECONNREFUSED, ENOENT, ETIMEDOUT and the like; a connection
  /// that ends is the end of the device.
  static std::unique_ptr<QemuStream> connect(const SocketAddress& peer, Failure& failure);
  /// Listens for a QEMU that connects; absence() while none has. One at a time: the next one is
  /// taken when the one before has ended. Errors of bind(2).
  static std::unique_ptr<QemuStream> listen(const SocketAddress& local, Failure& failure);

  int fd() const override { return connection_ ? connection_.get() : listener_.get(); }
  const LinkCapabilities& capabilities() const override { return capabilities_; }
  Errno read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) override;
  Errno write(Packet& frame, BlockPool& pool) override;
  bool gathers() const override { return true; }
  Errno flush(BlockPool& pool) override;
  Errno absence() const override { return absence_; }
  bool is_gone(Errno error) const override { return error == gone_; }

 private:
  QemuStream() = default;
  Errno accept();
  /// Of the connection, for that reason. What read() or flush() says of it: Errno::ok where another
  /// one may come.
  Errno end(Errno reason);

  UnixPath path_;
  Descriptor listener_;
  Descriptor connection_;
  FrameParser parser_;
  std::array<Packet, kBatch> outgoing_;
  std::size_t gathered_ = 0;
  Errno absence_ = Errno::ok;
  Errno gone_ = Errno::bad_descriptor;  ///< the error after which the device never works again
  LinkCapabilities capabilities_;
};

}  // namespace vpollnet::host
