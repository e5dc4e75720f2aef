// SPDX-License-Identifier: MIT
#include "host/gateway/core_far_stack.hpp"

#include "host/gateway/bsd_listeners.hpp"
#include "host/gateway/bsd_stream.hpp"
#include "host/gateway/core_stream.hpp"
#include "host/gateway/reach.hpp"

namespace vpollnet::host {
namespace {

using socket::Option;

constexpr int kBacklog = 128;

/// A port of a network.
class CoreListener final : public ForwardListener, private socket::ReadinessSink {
 public:
  CoreListener(NetworkImplementation& network, socket::Socket& socket, std::uint16_t index,
               EndOwner& owner)
      : network_(network), socket_(socket), index_(index), owner_(owner) {
    socket.set_sink(this);
  }
  ~CoreListener() override {
    socket_.close(network_.pump().now());
    network_.touch();
  }
  CoreListener(const CoreListener&) = delete;
  CoreListener& operator=(const CoreListener&) = delete;

  bool run(ForwardTaker& taker, Nanos now, int& budget) override {
    for (; budget > 0; budget--) {
      if ((socket_.readiness() & socket::kIn) == 0) return false;
      if (!(socket_.type() == socket::Type::tcp ? accept(taker, now) : receive(taker, now))) {
        return false;
      }
    }
    return true;
  }
  std::uint16_t port() const override { return socket_.local().port; }
  Errno send_to(const Endpoint& peer, const IpAddress&, Packet&& datagram, Nanos now) override {
    network_.touch();
    return socket_.send_to(datagram.linear(network_.pump().pool()), peer, 0, now).error();
  }

 private:
  void on_readiness(socket::Socket&, std::uint32_t) override { owner_.on_end_ready(); }

  bool accept(ForwardTaker& taker, Nanos now) {
    const auto accepted = socket_.accept(now);
    if (!accepted) return false;
    network_.touch();
    socket::Socket& connection = **accepted;
    bool adopted = false;
    taker.on_connection(
        index_, connection.peer() ? *connection.peer() : Endpoint{}, connection.local(),
        [&](EndOwner& owner) -> Result<std::unique_ptr<StreamEnd>> {
          adopted = true;
          return std::unique_ptr<StreamEnd>(
              std::make_unique<CoreStream>(network_, connection, owner));
        },
        now);
    if (!adopted) {
      connection.set_option(Option::linger, 0, now);
      connection.close(now);
    }
    return true;
  }

  bool receive(ForwardTaker& taker, Nanos now) {
    Slice block = network_.pump().pool().allocate(BlockPool::kLargeCapacity);
    const auto got = socket_.receive({block.block()->data(), 65535}, 0, now);
    if (!got) return got.error() != Errno::again;
    const std::span<const std::uint8_t> bytes(block.block()->data(), got->copied);
    taker.on_forward_datagram(index_, got->from, {}, Packet(network_.pump().pool().copy(bytes)),
                              now);
    return true;
  }

  NetworkImplementation& network_;
  socket::Socket& socket_;
  std::uint16_t index_;
  EndOwner& owner_;
};

std::shared_ptr<const BsdCalls> kernel_calls() {
  return {&BsdCalls::kernel(), [](const BsdCalls*) {}};
}

}  // namespace

Result<std::unique_ptr<CoreDatagrams>> CoreDatagrams::open(NetworkImplementation& network,
                                                           socket::Type type, const Endpoint& to,
                                                           std::uint16_t& local_port,
                                                           EndOwner& owner, Nanos now) {
  const auto opened = network.stack()->sockets().open(type);
  if (!opened) return opened.error();
  socket::Socket& socket = **opened;
  std::unique_ptr<CoreDatagrams> made(new CoreDatagrams(network, socket, owner));
  socket.set_option(Option::reuse_address, 1, now);
  if (type == socket::Type::ping) socket.set_option(Option::echo_sequence, 1, now);
  const auto bind = [&](std::uint16_t port) {
    return socket.bind({IpAddress::any(to.address.family()), port, kAnyInterface}, now);
  };
  // RFC 4787 REQ-1, as in BsdDatagrams.
  Errno error = bind(local_port);
  if (error != Errno::ok && local_port != 0) error = bind(0);
  if (error == Errno::ok) error = socket.connect(to, now);
  network.touch();
  if (error != Errno::ok) return error;
  local_port = socket.local().port;
  return made;
}

CoreDatagrams::~CoreDatagrams() {
  socket_.set_sink(nullptr);
  socket_.close(network_.pump().now());
  network_.touch();
}

Errno CoreDatagrams::send(Packet&& datagram, Nanos now) {
  network_.touch();
  return socket_.send(datagram.linear(network_.pump().pool()), 0, now).error();
}

Result<Packet> CoreDatagrams::receive(Nanos now) {
  if ((socket_.readiness() & (socket::kIn | socket::kErr)) == 0) return Errno::again;
  BlockPool& pool = network_.pump().pool();
  Slice block = pool.allocate(BlockPool::kLargeCapacity);
  const auto got = socket_.receive({block.block()->data(), 65535}, 0, now);
  if (!got) return got.error();
  return Packet(pool.copy(std::span(block.block()->data(), got->copied)));
}

Result<std::unique_ptr<StreamEnd>> connect_core(NetworkImplementation& network, const Endpoint& to,
                                                EndOwner& owner, Nanos now) {
  const auto opened = network.stack()->sockets().open(socket::Type::tcp);
  if (!opened) return opened.error();
  auto made = std::make_unique<CoreStream>(network, **opened, owner);
  const Errno error = (*opened)->connect(to, now);
  if (error != Errno::ok && error != Errno::in_progress) return error;
  return std::unique_ptr<StreamEnd>(std::move(made));
}

std::uint8_t CoreFarStack::reach(const IpAddress& address, Nanos) {
  std::uint8_t reach = reach_of(address);
  for (const AddressInfo& own : network_.stack()->addresses()) {
    if (own.address.address == address) return kReachHost;
    if (reach == kReachPublic && own.address.contains(address)) reach = kReachPrivate;
  }
  return reach;
}

Result<std::unique_ptr<StreamEnd>> CoreFarStack::connect(const FlowTarget& to, EndOwner& owner,
                                                         Nanos now) {
  if (to.path.empty()) return connect_core(network_, to.endpoint, owner, now);
  auto made = BsdStream::connect(kernel_calls(), to, network_.pump(), owner);
  if (!made) return made.error();
  return std::unique_ptr<StreamEnd>(std::move(*made));
}

Result<std::unique_ptr<DatagramEnd>> CoreFarStack::open_datagrams(const Endpoint& to,
                                                                  std::uint16_t& local_port,
                                                                  EndOwner& owner, Nanos now) {
  auto made = CoreDatagrams::open(network_, socket::Type::udp, to, local_port, owner, now);
  if (!made) return made.error();
  return std::unique_ptr<DatagramEnd>(std::move(*made));
}

Result<std::unique_ptr<DatagramEnd>> CoreFarStack::open_echo(const IpAddress& to, EndOwner& owner,
                                                             Nanos now) {
  std::uint16_t identifier = 0;
  auto made = CoreDatagrams::open(network_, socket::Type::ping, {to, 0, kAnyInterface}, identifier,
                                  owner, now);
  if (!made) return made.error();
  return std::unique_ptr<DatagramEnd>(std::move(*made));
}

Result<std::unique_ptr<ForwardListener>> CoreFarStack::listen(FlowKind kind, const FlowTarget& at,
                                                              std::uint16_t index, EndOwner& owner,
                                                              Failure& failure) {
  if (!at.path.empty()) {
    auto made = BsdListener::open(kernel_calls(), kind, at, index, network_.pump(), no_scratch_,
                                  owner, failure);
    if (!made) return made.error();
    return std::unique_ptr<ForwardListener>(std::move(*made));
  }
  const Nanos now = network_.pump().now();
  const auto fail = [&](Errno error, const char* syscall) {
    failure = {error, syscall, at.endpoint.to_string()};
    return error;
  };
  const auto opened = network_.stack()->sockets().open(kind == FlowKind::udp ? socket::Type::udp
                                                                             : socket::Type::tcp);
  if (!opened) return fail(opened.error(), "socket");
  auto made = std::make_unique<CoreListener>(network_, **opened, index, owner);
  // As BsdListener: a connection that came by a former forward does not keep the port.
  if (kind == FlowKind::tcp) (*opened)->set_option(Option::reuse_address, 1, now);
  if (const Errno error = (*opened)->bind(at.endpoint, now); error != Errno::ok) {
    return fail(error, "bind");
  }
  if (kind == FlowKind::tcp) {
    if (const Errno error = (*opened)->listen(kBacklog, now); error != Errno::ok) {
      return fail(error, "listen");
    }
  }
  return std::unique_ptr<ForwardListener>(std::move(made));
}

}  // namespace vpollnet::host
