// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/gateway/far_stack.hpp"
#include "host/gateway/watched_descriptor.hpp"

namespace vpollnet::host {

/// A port, or the path of a Unix socket, of the host's kernel or of a plug-in.
class BsdListener final : public ForwardListener, private PumpSource {
 public:
  /// A stale socket at a path, which nobody listens at, is replaced; the path is removed with the
  /// listener.
  static Result<std::unique_ptr<BsdListener>> open(std::shared_ptr<const BsdCalls> calls,
                                                   FlowKind kind, const FlowTarget& at,
                                                   std::uint16_t index, Pump& pump,
                                                   std::vector<std::uint8_t>& scratch,
                                                   EndOwner& owner, Failure& failure);
  ~BsdListener() override;

  bool run(ForwardTaker& taker, Nanos now, int& budget) override;
  Nanos next_deadline() const override { return resume_at_; }
  std::uint16_t port() const override { return port_; }
  Errno send_to(const Endpoint& peer, const IpAddress& local, Packet&& datagram,
                Nanos now) override;

 private:
  /// Without a descriptor for it, a connection waits this long.
  static constexpr Nanos kPause = 100 * kMillisecond;

  BsdListener(std::shared_ptr<const BsdCalls> calls, int fd, Pump& pump, FlowKind kind, int domain,
              std::uint16_t index, std::vector<std::uint8_t>& scratch, EndOwner& owner)
      : calls_(calls), descriptor_(std::move(calls), fd, pump), kind_(kind), domain_(domain),
        index_(index), scratch_(scratch), owner_(owner) {}
  void on_ready(std::uint32_t events) override;
  bool accept_all(ForwardTaker& taker, Nanos now, int& budget);
  bool receive_all(ForwardTaker& taker, Nanos now, int& budget);
  /// One datagram into the scratch: from whom and, if the kernel says so, to which address of ours.
  Result<std::size_t> receive(Endpoint& peer, IpAddress& local);

  std::shared_ptr<const BsdCalls> calls_;
  WatchedDescriptor descriptor_;
  FlowKind kind_;
  int domain_;
  std::uint16_t index_;
  std::uint16_t port_ = 0;
  std::string path_;
  bool tells_local_ = false;  ///< udp on any address: each datagram comes with its own
  bool readable_ = false;
  Nanos resume_at_ = kNever;
  std::vector<std::uint8_t>& scratch_;
  EndOwner& owner_;
};

}  // namespace vpollnet::host
