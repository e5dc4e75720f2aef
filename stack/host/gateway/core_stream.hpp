// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "host/gateway/stream_end.hpp"
#include "host/network_implementation.hpp"
#include "socket/socket.hpp"

namespace vpollnet::host {

/// A TCP socket of a network. What comes is shared with the stack, not copied; what goes, too.
class CoreStream final : public StreamEnd, private socket::ReadinessSink {
 public:
  /// Takes over `socket`, which must be closed before its network is. `owner` must outlive it.
  CoreStream(NetworkImplementation& network, socket::Socket& socket, EndOwner& owner);
  ~CoreStream() override;
  CoreStream(const CoreStream&) = delete;
  CoreStream& operator=(const CoreStream&) = delete;

  Errno progress(Nanos now) override;
  Errno failure(Nanos now) override;
  std::size_t room() override;
  bool starved() override {
    return (socket_->readiness() & socket::kOut) != 0 && socket_->send_room() == 0;
  }
  Result<std::size_t> peek(std::size_t limit, std::vector<Slice>& out, Nanos now) override;
  void consume(std::size_t count, Nanos now) override;
  Result<std::size_t> write(std::vector<Slice>& slices, Nanos now) override;
  void finish(Nanos now) override;
  void reset(Nanos now) override;

 private:
  void on_readiness(socket::Socket&, std::uint32_t) override { owner_.on_end_ready(); }

  NetworkImplementation& network_;
  socket::Socket* socket_;  ///< null once reset
  EndOwner& owner_;
};

}  // namespace vpollnet::host
