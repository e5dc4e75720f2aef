// SPDX-License-Identifier: MIT
// The Network behind the interface: one stack as a member of a pump.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/inspector.hpp"
#include "host/links/link_port.hpp"
#include "host/links/recordings.hpp"
#include "host/network.hpp"
#include "host/pump.hpp"

namespace vpollnet::host {

class SocketHandleImplementation;

/// What stands on a network and has to go before it: a gateway.
class NetworkUser {
 public:
  /// With the pump's lock held. The network is open still; afterwards it is not known any more.
  virtual void on_network_close(Nanos now) = 0;

 protected:
  ~NetworkUser() = default;
};

class NetworkImplementation final : public Network,
                                    public std::enable_shared_from_this<NetworkImplementation>,
                                    private PumpMember,
                                    private FrameSink,
                                    private Inspected {
 public:
  NetworkImplementation(std::shared_ptr<Pump> pump, std::size_t memory_limit, std::string name,
                        tcp::Algorithm congestion);
  ~NetworkImplementation() override;

  Failure add_link(const LinkSpec& spec, InterfaceId& id) override;
  Errno remove_link(InterfaceId id) override;
  Errno add_address(InterfaceId id, const Cidr& address) override;
  Errno remove_address(InterfaceId id, const IpAddress& address) override;
  Errno add_route(const RouteConfig& route) override;
  Errno remove_route(const RouteConfig& route) override;
  Errno advertise(InterfaceId id, const RouterAdvertisementConfig& config) override;
  Errno end_advertising(InterfaceId id) override;
  Errno set_forwarding(const ForwardingConfig& config) override;
  ForwardingConfig forwarding() override;
  Errno set_filter(std::optional<filter::RuleSet> rules) override;
  FilterInfo filter_info() override;
  std::vector<filter::LogEntry> take_filter_log() override;
  Errno set_nat(filter::NatRules rules) override;
  std::vector<ConnectionInfo> connections() override;
  Errno set_connection_limits(const filter::ConnectionLimits& limits) override;
  Result<std::shared_ptr<SocketHandle>> socket(socket::Type type) override;
  std::vector<InterfaceInfo> interfaces() override;
  std::vector<AddressInfo> addresses() override;
  std::vector<RouteConfig> routes() override;
  std::vector<NeighbourInfo> neighbours() override;
  std::vector<socket::SocketInfo> sockets() override;
  Counters counters() override;
  std::size_t memory_used() override;
  std::vector<LinkChange> take_link_changes() override;
  std::vector<LinkInfo> links() override;
  Errno impair(InterfaceId id, const LinkImpairment& impairment) override;
  std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) override;
  void stop_recording(const std::shared_ptr<Recording>& recording) override;
  void close() override;

  // For the handles, with the pump's lock held.
  Pump& pump() { return *pump_; }
  void touch() { pump_->touch(*this); }
  void enlist(SocketHandleImplementation& handle);
  void strike(SocketHandleImplementation& handle);
  /// `socket` is about to be closed.
  void on_socket_close(const socket::Socket& socket) { recordings_.on_socket_close(socket); }

  /// For the handles, without the lock. `place` is the handle's socket, null once it is closed.
  std::shared_ptr<Recording> record_socket(socket::Socket* const& place, const RecordingSpec& spec,
                                           Failure& failure);

  // For a NetworkUser, with the pump's lock held.
  /// Null once closed.
  Stack* stack() { return stack_.get(); }
  void add_user(NetworkUser& user) { users_.push_back(&user); }
  void remove_user(NetworkUser& user) { std::erase(users_, &user); }

 private:
  /// A link with the interface that it serves.
  struct Attached final : FrameReceiver {
    Attached(Stack& its_stack, InterfaceId its_id, LinkPort&& its_port)
        : stack(its_stack), id(its_id), port(std::move(its_port)) {}
    void receive(Packet&& frame, Nanos now) override { stack.receive(id, std::move(frame), now); }
    std::string_view drop_reason() const override;

    Stack& stack;
    InterfaceId id;
    LinkPort port;
  };

  bool run(Nanos now, int& budget) override;
  Nanos next_deadline() const override { return deadline_; }
  void transmit(InterfaceId interface, Packet&& frame) override;
  void describe(JsonWriter& json) override;
  const socket::SocketTable* socket_table() override;
  /// The stack's counters, with what its links dropped. The stack must be open.
  Counters counters_with_links() const;

  /// Calls `operation(stack, now)` with the lock held, if the network is open.
  template <class Operation>
  Errno change(Operation operation);
  template <class Value, class Operation>
  Value read(Operation operation);

  Failure configure(const LinkSpec& spec, InterfaceId id, Nanos now);
  std::string free_interface_name() const;
  Attached* find(InterfaceId id);
  /// EBADF, ENODEV.
  Failure check_links(const RecordingSpec& spec);
  /// For Recordings: calls its argument with the number and the LinkPort of each.
  auto each_port();
  void detach(InterfaceId id, Nanos now);
  void report(const Attached& attached, Nanos now);

  std::shared_ptr<Pump> pump_;
  const std::size_t memory_limit_;
  const std::string name_;
  // Guarded by the pump's lock.
  std::unique_ptr<Stack> stack_;  ///< null once closed
  Nanos deadline_ = kNever;       ///< the stack's, as the last run() left it
  std::vector<std::unique_ptr<Attached>> links_;
  LinkPort* being_attached_ =
      nullptr;  ///< gets what add_interface() sends before its number is known
  SocketHandleImplementation* handles_ = nullptr;  ///< a list
  std::vector<NetworkUser*> users_;
  Recordings recordings_;
  std::vector<LinkChange> link_changes_;
  std::uint64_t dropped_by_former_links_ = 0;
};

template <class Operation>
Errno NetworkImplementation::change(Operation operation) {
  Pump::Hold hold(*pump_);
  if (stack_ == nullptr) return Errno::bad_descriptor;
  touch();
  return operation(*stack_, hold.now());
}

template <class Value, class Operation>
Value NetworkImplementation::read(Operation operation) {
  Pump::Hold hold(*pump_);
  return stack_ == nullptr ? Value{} : operation(*stack_);
}

}  // namespace vpollnet::host
