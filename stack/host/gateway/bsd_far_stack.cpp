// SPDX-License-Identifier: MIT
#include "host/gateway/bsd_far_stack.hpp"

#include "host/gateway/bsd_datagrams.hpp"
#include "host/gateway/bsd_listeners.hpp"
#include "host/gateway/bsd_stream.hpp"

namespace vpollnet::host {
namespace {

/// A Result of what is made as one of what it is.
template <class Base, class Made>
Result<std::unique_ptr<Base>> as(Result<std::unique_ptr<Made>>&& made) {
  if (!made) return made.error();
  return std::unique_ptr<Base>(std::move(*made));
}

}  // namespace

BsdFarStack::BsdFarStack(const std::shared_ptr<BsdStack>& stack, Pump& pump)
    : calls_(stack->calls()), pump_(pump), scratch_(kDatagramScratch) {}

std::uint8_t BsdFarStack::reach(const IpAddress& address, Nanos now) {
  return host_.reach(address, now);
}

Result<std::unique_ptr<StreamEnd>> BsdFarStack::connect(const FlowTarget& to, EndOwner& owner,
                                                        Nanos) {
  return as<StreamEnd>(BsdStream::connect(calls_, to, pump_, owner));
}

Result<std::unique_ptr<DatagramEnd>>
BsdFarStack::open_datagrams(const Endpoint& to, std::uint16_t& local_port, EndOwner& owner, Nanos) {
  return as<DatagramEnd>(BsdDatagrams::open_udp(calls_, to, local_port, pump_, scratch_, owner));
}

Result<std::unique_ptr<DatagramEnd>> BsdFarStack::open_echo(const IpAddress& to, EndOwner& owner,
                                                            Nanos) {
  return as<DatagramEnd>(BsdDatagrams::open_echo(calls_, to, pump_, scratch_, owner));
}

Result<std::unique_ptr<ForwardListener>> BsdFarStack::listen(FlowKind kind, const FlowTarget& at,
                                                             std::uint16_t index, EndOwner& owner,
                                                             Failure& failure) {
  return as<ForwardListener>(
      BsdListener::open(calls_, kind, at, index, pump_, scratch_, owner, failure));
}

}  // namespace vpollnet::host
