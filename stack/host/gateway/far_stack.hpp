// SPDX-License-Identifier: MIT
// The other side of a gateway, whoever implements it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "host/failure.hpp"
#include "host/gateway/datagram_end.hpp"
#include "host/gateway/gateway_types.hpp"
#include "host/gateway/stream_end.hpp"

namespace vpollnet::host {

/// Gets what comes to a forward. Called from its listener's run(), not from within the stack.
class ForwardTaker {
 public:
  /// A connection from `peer` to `local`, port `index` of the range; both are empty where it came
  /// to a path. Whoever has it sets its owner by `adopt`, which makes the stream; not called, it is
  /// reset.
  using Adopt = std::function<Result<std::unique_ptr<StreamEnd>>(EndOwner& owner)>;
  virtual void on_connection(std::uint16_t index, const Endpoint& peer, const Endpoint& local,
                             const Adopt& adopt, Nanos now) = 0;
  /// A connection waits for want of a descriptor or of memory.
  virtual void on_shortage() = 0;
  /// A datagram from `peer`, sent to `local`, where that is known.
  virtual void on_forward_datagram(std::uint16_t index, const Endpoint& peer,
                                   const IpAddress& local, Packet&& datagram, Nanos now) = 0;

 protected:
  ~ForwardTaker() = default;
};

/// What listens for one port of a forward. Its owner is told when there is something to run.
class ForwardListener {
 public:
  virtual ~ForwardListener() = default;
  /// Hands on what has come, counting `budget` down. True when there is more.
  virtual bool run(ForwardTaker& taker, Nanos now, int& budget) = 0;
  /// When it has to be run though nothing comes; kNever if not.
  virtual Nanos next_deadline() const { return kNever; }
  /// The port, where 0 was asked for.
  virtual std::uint16_t port() const = 0;
  /// Sends to `peer` from the listening port and, where it is given, from `local`; udp.
  virtual Errno send_to(const Endpoint& peer, const IpAddress& local, Packet&& datagram,
                        Nanos now) = 0;
};

/// All calls come with the pump's lock held. Must outlive what it made.
class FarStack {
 public:
  virtual ~FarStack() = default;

  /// How the far stack sees `address`: one of the bits of Reach.
  virtual std::uint8_t reach(const IpAddress& address, Nanos now) = 0;
  /// Errors that are known at once; EMFILE and ENFILE among them.
  virtual Result<std::unique_ptr<StreamEnd>> connect(const FlowTarget& to, EndOwner& owner,
                                                     Nanos now) = 0;
  /// Datagrams to `to`. `local_port`: in, the port that the same source uses for others (RFC 4787
  /// 4.1), 0 for none yet; out, the port that is used.
  virtual Result<std::unique_ptr<DatagramEnd>>
  open_datagrams(const Endpoint& to, std::uint16_t& local_port, EndOwner& owner, Nanos now) = 0;
  /// EACCES, EPERM: the far stack has no echo sockets for this user.
  virtual Result<std::unique_ptr<DatagramEnd>> open_echo(const IpAddress& to, EndOwner& owner,
                                                         Nanos now) = 0;
  /// `at`: an endpoint or a path, of the kind `kind`.
  virtual Result<std::unique_ptr<ForwardListener>> listen(FlowKind kind, const FlowTarget& at,
                                                          std::uint16_t index, EndOwner& owner,
                                                          Failure& failure) = 0;
};

}  // namespace vpollnet::host
