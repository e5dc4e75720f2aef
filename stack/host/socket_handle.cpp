// SPDX-License-Identifier: MIT
#include "host/socket_handle.hpp"

#include <type_traits>

namespace vpollnet::host {

SocketHandleImplementation::SocketHandleImplementation(
    std::shared_ptr<NetworkImplementation> network, socket::Socket& socket)
    : network_(std::move(network)), readiness_(std::make_shared<Readiness>(socket.readiness())),
      socket_(&socket) {
  socket.set_sink(this);
  network_->enlist(*this);
}

template <class Operation>
auto SocketHandleImplementation::with_socket(Operation operation) {
  using Answer = std::invoke_result_t<Operation, socket::Socket&, Nanos>;
  Pump::Hold hold(network_->pump());
  if (socket_ == nullptr) return Answer(Errno::bad_descriptor);
  network_->touch();
  return operation(*socket_, hold.now());
}

template <class Operation>
auto SocketHandleImplementation::look_at_socket(Operation operation) {
  using Answer = std::invoke_result_t<Operation, socket::Socket&>;
  Pump::Hold hold(network_->pump());
  return socket_ == nullptr ? Answer(Errno::bad_descriptor) : operation(*socket_);
}

Errno SocketHandleImplementation::bind(const Endpoint& local) {
  return with_socket([&](socket::Socket& socket, Nanos now) { return socket.bind(local, now); });
}

Errno SocketHandleImplementation::connect(const Endpoint& peer) {
  return with_socket([&](socket::Socket& socket, Nanos now) { return socket.connect(peer, now); });
}

Errno SocketHandleImplementation::listen(int backlog) {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) { return socket.listen(backlog, now); });
}

Result<std::shared_ptr<SocketHandle>> SocketHandleImplementation::accept() {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) -> Result<std::shared_ptr<SocketHandle>> {
        const Result<socket::Socket*> accepted = socket.accept(now);
        if (!accepted) return accepted.error();
        return std::shared_ptr<SocketHandle>(
            std::make_shared<SocketHandleImplementation>(network_, **accepted));
      });
}

Result<std::size_t> SocketHandleImplementation::send(std::span<const std::uint8_t> data,
                                                     std::uint32_t flags) {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) { return socket.send(data, flags, now); });
}

Result<std::size_t> SocketHandleImplementation::send_to(std::span<const std::uint8_t> data,
                                                        const Endpoint& to, std::uint32_t flags) {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) { return socket.send_to(data, to, flags, now); });
}

Result<socket::Received> SocketHandleImplementation::receive(std::span<std::uint8_t> buffer,
                                                             std::uint32_t flags) {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) { return socket.receive(buffer, flags, now); });
}

Errno SocketHandleImplementation::shutdown(socket::Shutdown how) {
  return with_socket([&](socket::Socket& socket, Nanos now) { return socket.shutdown(how, now); });
}

Errno SocketHandleImplementation::set_membership(const IpAddress& group, InterfaceId interface,
                                                 bool member) {
  return with_socket([&](socket::Socket& socket, Nanos now) {
    return socket.set_membership(group, interface, member, now);
  });
}

Errno SocketHandleImplementation::set_source_membership(const IpAddress& group,
                                                        const IpAddress& source,
                                                        InterfaceId interface, bool member) {
  return with_socket([&](socket::Socket& socket, Nanos now) {
    return socket.set_source_membership(group, source, interface, member, now);
  });
}

Errno SocketHandleImplementation::set_option(socket::Option option, std::int64_t value) {
  return with_socket(
      [&](socket::Socket& socket, Nanos now) { return socket.set_option(option, value, now); });
}

Result<std::int64_t> SocketHandleImplementation::option(socket::Option option) {
  return look_at_socket([&](socket::Socket& socket) { return socket.option(option); });
}

Errno SocketHandleImplementation::set_text_option(socket::Option option, std::string_view value) {
  return with_socket([&](socket::Socket& socket, Nanos now) {
    return socket.set_text_option(option, value, now);
  });
}

Result<std::string> SocketHandleImplementation::text_option(socket::Option option) {
  return look_at_socket([&](socket::Socket& socket) { return socket.text_option(option); });
}

Result<Endpoint> SocketHandleImplementation::local() {
  return look_at_socket([](socket::Socket& socket) -> Result<Endpoint> { return socket.local(); });
}

Result<Endpoint> SocketHandleImplementation::peer() {
  return look_at_socket([](socket::Socket& socket) { return socket.peer(); });
}

Errno SocketHandleImplementation::info(socket::TcpInfo& out) {
  return look_at_socket([&](socket::Socket& socket) { return socket.info(out); });
}

std::shared_ptr<Recording> SocketHandleImplementation::record(const RecordingSpec& spec,
                                                              Failure& failure) {
  return network_->record_socket(socket_, spec, failure);
}

void SocketHandleImplementation::stop_recording(const std::shared_ptr<Recording>& recording) {
  network_->stop_recording(recording);
}

std::string SocketHandleImplementation::state() {
  Pump::Hold hold(network_->pump());
  return socket_ == nullptr ? "CLOSED" : socket_->state();
}

Result<int> SocketHandleImplementation::fd() {
  const int known = readiness_->known_fd();
  if (known >= 0) return known;
  Pump::Hold hold(network_->pump());
  return readiness_->fd();
}

void SocketHandleImplementation::close() {
  Pump::Hold hold(network_->pump());
  if (socket_ != nullptr) close_locked(hold.now());
}

void SocketHandleImplementation::reset(Nanos now) {
  if (socket_->type() == socket::Type::tcp) socket_->set_option(socket::Option::linger, 0, now);
  close_locked(now);
}

void SocketHandleImplementation::close_locked(Nanos now) {
  socket::Socket* socket = std::exchange(socket_, nullptr);
  socket->set_sink(nullptr);
  network_->on_socket_close(*socket);
  socket->close(now);
  network_->touch();
  network_->strike(*this);
  network_->pump().forget(*this);
  readiness_->close();
  if (ready_.offer(ReadyEntry::kClosed)) network_->pump().wake_after_hold(ready_.queue());
}

void SocketHandleImplementation::on_readiness(socket::Socket&, std::uint32_t) {
  // The mask is taken at the end of the hold: a bit that flips twice until then costs nothing.
  network_->pump().at_hold_end(*this);
}

void SocketHandleImplementation::on_hold_end() {
  const std::uint32_t mask = socket_->readiness();
  if (readiness_->set(mask)) network_->pump().wake_after_hold(readiness_);
  if (ready_.offer(mask)) network_->pump().wake_after_hold(ready_.queue());
}

Errno SocketHandleImplementation::serve(std::shared_ptr<ReadyQueue> queue, std::uint64_t id) {
  Pump::Hold hold(network_->pump());
  if (socket_ == nullptr) return Errno::bad_descriptor;
  if (ready_.queue() != nullptr) return Errno::already;
  ready_.attach(std::move(queue), id);
  return Errno::ok;
}

void SocketHandleImplementation::want(std::uint32_t events) {
  ready_.want(events);
  rearm();
}

std::uint32_t SocketHandleImplementation::wanted() const { return ready_.wanted(); }

std::uint32_t SocketHandleImplementation::take_ready() {
  ready_.taken();
  return ready_.of_interest(readiness_->mask());
}

void SocketHandleImplementation::rearm() {
  if (ready_.offer(readiness_->mask())) ready_.queue()->wake();
}

}  // namespace vpollnet::host
