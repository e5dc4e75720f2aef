// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "host/gateway/far_stack.hpp"
#include "host/gateway/reach.hpp"
#include "host/sockets/bsd_stack.hpp"

namespace vpollnet::host {

/// The host's kernel, or a plug-in, as the far side.
class BsdFarStack final : public FarStack {
 public:
  /// `stack` must be open. `pump` must outlive it.
  BsdFarStack(const std::shared_ptr<BsdStack>& stack, Pump& pump);

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
  std::shared_ptr<const BsdCalls> calls_;
  Pump& pump_;
  HostAddresses host_;  ///< also for a plug-in, whose own nobody can ask for: it may lead there
  std::vector<std::uint8_t> scratch_;  ///< where a datagram is read; shared by what it made
};

}  // namespace vpollnet::host
