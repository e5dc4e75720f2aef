// SPDX-License-Identifier: MIT
#include "host/gateway/core_stream.hpp"

namespace vpollnet::host {

using socket::Option;

namespace {

constexpr std::int64_t kKeepIdle = 600;  // seconds

}  // namespace

CoreStream::CoreStream(NetworkImplementation& network, socket::Socket& socket, EndOwner& owner)
    : network_(network), socket_(&socket), owner_(owner) {
  const Nanos now = network.pump().now();
  socket_->set_option(Option::oob_inline, 1, now);  // peek_slices() has no place for it
  socket_->set_option(Option::no_delay, 1, now);    // the other side has gathered already
  // RFC 5382 REQ-5: who is gone is found out, so that what idles need not be ended. A guest that
  // was stopped for some minutes still has its connections.
  socket_->set_option(Option::keep_alive, 1, now);
  socket_->set_option(Option::keep_idle, kKeepIdle, now);
  socket_->set_sink(this);
  network_.touch();
}

CoreStream::~CoreStream() {
  if (socket_ == nullptr) return;
  socket_->close(network_.pump().now());
  network_.touch();
}

Errno CoreStream::progress(Nanos) {
  const std::uint32_t mask = socket_->readiness();
  if ((mask & (socket::kErr | socket::kHup)) != 0) {
    const auto error = socket_->option(Option::error);
    return error && *error != 0 ? static_cast<Errno>(*error) : Errno::refused;
  }
  return (mask & socket::kOut) != 0 ? Errno::ok : Errno::in_progress;
}

Errno CoreStream::failure(Nanos) {
  if ((socket_->readiness() & socket::kErr) == 0) return Errno::ok;
  const auto error = socket_->option(Option::error);
  return error && *error != 0 ? static_cast<Errno>(*error) : Errno::ok;
}

std::size_t CoreStream::room() {
  return (socket_->readiness() & socket::kOut) != 0 ? socket_->send_room() : 0;
}

Result<std::size_t> CoreStream::peek(std::size_t limit, std::vector<Slice>& out, Nanos) {
  return socket_->peek_slices(limit, out);
}

void CoreStream::consume(std::size_t count, Nanos now) {
  socket_->consume(count, now);
  network_.touch();
}

Result<std::size_t> CoreStream::write(std::vector<Slice>& slices, Nanos now) {
  std::size_t bytes = 0;
  for (const Slice& slice : slices) bytes += slice.size();
  const Errno error = socket_->send_slices(std::move(slices), now);
  slices.clear();
  network_.touch();
  if (error != Errno::ok) return error;
  return bytes;
}

void CoreStream::finish(Nanos now) {
  socket_->shutdown(socket::Shutdown::write, now);
  network_.touch();
}

void CoreStream::reset(Nanos now) {
  socket::Socket* socket = std::exchange(socket_, nullptr);
  socket->set_option(Option::linger, 0, now);
  socket->close(now);
  network_.touch();
}

}  // namespace vpollnet::host
