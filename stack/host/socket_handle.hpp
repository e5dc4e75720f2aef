// SPDX-License-Identifier: MIT
// The SocketHandle behind the interface: a core socket, its readiness, and who closes what.
#pragma once

#include <memory>
#include <string>

#include "host/network.hpp"
#include "host/network_implementation.hpp"
#include "host/pump.hpp"
#include "host/readiness.hpp"
#include "host/ready_queue.hpp"

namespace vpollnet::host {

class SocketHandleImplementation final : public SocketHandle,
                                         private socket::ReadinessSink,
                                         private HoldEnd {
 public:
  /// With the pump's lock held; takes over `socket`, which is closed with the handle.
  SocketHandleImplementation(std::shared_ptr<NetworkImplementation> network,
                             socket::Socket& socket);
  ~SocketHandleImplementation() override { close(); }
  SocketHandleImplementation(const SocketHandleImplementation&) = delete;
  SocketHandleImplementation& operator=(const SocketHandleImplementation&) = delete;

  Errno bind(const Endpoint& local) override;
  Errno connect(const Endpoint& peer) override;
  Errno listen(int backlog) override;
  Result<std::shared_ptr<SocketHandle>> accept() override;
  Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags) override;
  Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                              std::uint32_t flags) override;
  Result<socket::Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags) override;
  Errno shutdown(socket::Shutdown how) override;
  Errno set_membership(const IpAddress& group, InterfaceId interface, bool member) override;
  Errno set_source_membership(const IpAddress& group, const IpAddress& source,
                              InterfaceId interface, bool member) override;
  Errno set_option(socket::Option option, std::int64_t value) override;
  Result<std::int64_t> option(socket::Option option) override;
  Errno set_text_option(socket::Option option, std::string_view value) override;
  Result<std::string> text_option(socket::Option option) override;
  Result<Endpoint> local() override;
  Result<Endpoint> peer() override;
  Errno info(socket::TcpInfo& out) override;
  std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) override;
  void stop_recording(const std::shared_ptr<Recording>& recording) override;
  std::string state() override;
  void close() override;
  bool closed() const override { return (readiness_->mask() & Readiness::kInvalid) != 0; }
  std::uint32_t readiness() const override { return readiness_->mask(); }
  Result<int> fd() override;
  Errno serve(std::shared_ptr<ReadyQueue> queue, std::uint64_t id) override;
  void want(std::uint32_t events) override;
  std::uint32_t wanted() const override;
  std::uint32_t take_ready() override;
  void rearm() override;
  void unserve() override { ready_.detach(); }

  /// With the pump's lock held: close, with a reset to the peer.
  void reset(Nanos now);

 private:
  friend class NetworkImplementation;

  void on_readiness(socket::Socket& socket, std::uint32_t mask) override;
  void on_hold_end() override;
  void close_locked(Nanos now);

  /// Calls `operation(socket, now)` with the lock held and has the stack run what it set off.
  template <class Operation>
  auto with_socket(Operation operation);
  /// The same for a look that sets nothing off.
  template <class Operation>
  auto look_at_socket(Operation operation);

  const std::shared_ptr<NetworkImplementation> network_;
  const std::shared_ptr<Readiness> readiness_;
  ReadyEntry ready_;
  // Guarded by the pump's lock.
  socket::Socket* socket_;                          ///< null once closed
  SocketHandleImplementation* previous_ = nullptr;  ///< in the network's list
  SocketHandleImplementation* next_ = nullptr;
};

}  // namespace vpollnet::host
