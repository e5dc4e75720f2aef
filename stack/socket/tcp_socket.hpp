// SPDX-License-Identifier: MIT
// A TCP socket: the BSD calls over a connection or a listener.
#pragma once

#include <deque>
#include <memory>

#include "socket/socket.hpp"
#include "socket/tcp_flow.hpp"
#include "tcp/connection.hpp"

namespace vpollnet::socket {

class TcpSockets;

class TcpSocket final : public Socket {
 public:
  /// Half-open connections that a listener keeps; more SYNs are answered with cookies.
  static constexpr std::size_t kMaxHalfOpen = 256;
  /// listen(2) backlogs above this count as this, as /proc/sys/net/core/somaxconn has it.
  static constexpr int kMaxBacklog = 4096;

  TcpSocket(TcpSockets& table, const tcp::Settings& settings)
      : Socket(Type::tcp), table_(table), settings_(settings) {
    refresh();
  }
  ~TcpSocket() override = default;

  Errno bind(const Endpoint& local, Nanos now) override;
  Errno connect(const Endpoint& peer, Nanos now) override;
  Errno listen(int backlog, Nanos now) override;
  Result<Socket*> accept(Nanos now) override;
  Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags,
                           Nanos now) override;
  Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                              std::uint32_t flags, Nanos now) override;
  Result<Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags, Nanos now) override;
  Result<std::size_t> peek_slices(std::size_t limit, std::vector<Slice>& out) override;
  void consume(std::size_t count, Nanos now) override;
  std::size_t send_room() const override;
  Errno send_slices(std::vector<Slice>&& slices, Nanos now) override;
  Errno shutdown(Shutdown how, Nanos now) override;
  void close(Nanos now) override;
  Errno set_option(Option option, std::int64_t value, Nanos now) override;
  Result<std::int64_t> option(Option option) override;
  Errno set_text_option(Option option, std::string_view value, Nanos now) override;
  Result<std::string> text_option(Option option) override;
  Endpoint local() const override;
  Result<Endpoint> peer() const override;
  Endpoint remote() const override { return flow_ ? flow_->key.remote : Endpoint{}; }
  Errno info(TcpInfo& out) const override;
  const char* state() const override;

  /// Tells the sink what holds now.
  void refresh();
  /// Ends a listener, or a connection with `error`, because its address is gone.
  void fail(Errno error);

 private:
  friend class TcpSockets;

  struct Listener {
    std::size_t backlog = 0;
    std::size_t half_open = 0;
    std::deque<std::shared_ptr<Flow>> ready;  ///< established, not yet accepted
  };

  bool accept_queue_full() const {
    return listener_ && listener_->ready.size() > listener_->backlog;
  }
  Errno set_number(Option option, std::int64_t value);
  /// Has the connection, if there is one, do as the options say now.
  void apply_options(Nanos now);

  TcpSockets& table_;
  Endpoint bound_;  ///< what bind() was told, with the port chosen
  bool is_bound_ = false;
  bool reuse_address_ = false;
  bool ipv6_only_ = false;
  int linger_ = -1;
  std::uint8_t hop_limit_ = 64;
  std::uint8_t traffic_class_ = 0;
  InterfaceId interface_ = kAnyInterface;
  tcp::Settings settings_;
  Errno error_ = Errno::ok;
  std::shared_ptr<Flow> flow_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace vpollnet::socket
