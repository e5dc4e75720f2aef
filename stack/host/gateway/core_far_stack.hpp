// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "host/gateway/far_stack.hpp"
#include "host/network_implementation.hpp"
#include "socket/socket.hpp"

namespace vpollnet::host {

/// A connected datagram socket of a network.
class CoreDatagrams final : public DatagramEnd, private socket::ReadinessSink {
 public:
  /// UDP, or echo. `owner` must outlive it, and it must go before its network.
  static Result<std::unique_ptr<CoreDatagrams>> open(NetworkImplementation& network,
                                                     socket::Type type, const Endpoint& to,
                                                     std::uint16_t& local_port, EndOwner& owner,
                                                     Nanos now);
  ~CoreDatagrams() override;
  CoreDatagrams(const CoreDatagrams&) = delete;
  CoreDatagrams& operator=(const CoreDatagrams&) = delete;

  Errno send(Packet&& datagram, Nanos now) override;
  Result<Packet> receive(Nanos now) override;

 private:
  CoreDatagrams(NetworkImplementation& network, socket::Socket& socket, EndOwner& owner)
      : network_(network), socket_(socket), owner_(owner) {
    socket.set_sink(this);
  }
  void on_readiness(socket::Socket&, std::uint32_t) override { owner_.on_end_ready(); }

  NetworkImplementation& network_;
  socket::Socket& socket_;
  EndOwner& owner_;
};

/// A stream to `to` from a network's own address. Errors that are known at once.
Result<std::unique_ptr<StreamEnd>> connect_core(NetworkImplementation& network, const Endpoint& to,
                                                EndOwner& owner, Nanos now);

/// Another network of the same pump as the far side.
class CoreFarStack final : public FarStack {
 public:
  /// `network` must outlive it, and what it made must go before that network is closed.
  explicit CoreFarStack(NetworkImplementation& network) : network_(network) {}

  std::uint8_t reach(const IpAddress& address, Nanos now) override;
  Result<std::unique_ptr<StreamEnd>> connect(const FlowTarget& to, EndOwner& owner,
                                             Nanos now) override;
  Result<std::unique_ptr<DatagramEnd>> open_datagrams(const Endpoint& to, std::uint16_t& local_port,
                                                      EndOwner& owner, Nanos now) override;
  Result<std::unique_ptr<DatagramEnd>> open_echo(const IpAddress& to, EndOwner& owner,
                                                 Nanos now) override;
  Result<std::unique_ptr<ForwardListener>> listen(FlowKind kind, const FlowTarget& at,
                                                  std::uint16_t index, EndOwner& owner,
                                                  Failure& failure) override;

 private:
  NetworkImplementation& network_;
  std::vector<std::uint8_t> no_scratch_;  ///< for listeners at a path, which read no datagrams
};

}  // namespace vpollnet::host
