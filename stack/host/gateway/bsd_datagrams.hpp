// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "host/gateway/datagram_end.hpp"
#include "host/gateway/watched_descriptor.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// A connected datagram socket of the host's kernel or of a plug-in: UDP, or echo by a ping socket
/// (icmp(7)), whose identifier the kernel chooses.
class BsdDatagrams final : public DatagramEnd, private PumpSource {
 public:
  /// `scratch` has room for the largest datagram and is shared; it and `owner` must outlive this.
  static Result<std::unique_ptr<BsdDatagrams>>
  open_udp(std::shared_ptr<const BsdCalls> calls, const Endpoint& to, std::uint16_t& local_port,
           Pump& pump, std::vector<std::uint8_t>& scratch, EndOwner& owner);
  static Result<std::unique_ptr<BsdDatagrams>> open_echo(std::shared_ptr<const BsdCalls> calls,
                                                         const IpAddress& to, Pump& pump,
                                                         std::vector<std::uint8_t>& scratch,
                                                         EndOwner& owner);

  Errno send(Packet&& datagram, Nanos now) override;
  Sent send_some(std::deque<Packet>& queue, std::size_t limit, Nanos now) override;
  Result<Packet> receive(Nanos now) override;

 private:
  static constexpr std::size_t kBatch = 32;

  BsdDatagrams(std::shared_ptr<const BsdCalls> calls, int fd, Pump& pump, const Endpoint& peer,
               bool echo, std::vector<std::uint8_t>& scratch, EndOwner& owner)
      : descriptor_(std::move(calls), fd, pump), peer_(peer), echo_(echo), scratch_(scratch),
        owner_(owner) {}
  void on_ready(std::uint32_t events) override;
  Errno connect();

  WatchedDescriptor descriptor_;
  Endpoint peer_;
  bool echo_;
  bool readable_ = false;
  std::vector<std::uint8_t>& scratch_;
  EndOwner& owner_;
};

/// The largest datagram, with its ICMP header.
inline constexpr std::size_t kDatagramScratch = 65536;

}  // namespace vpollnet::host
