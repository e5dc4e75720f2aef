// SPDX-License-Identifier: MIT
#include "socket/tcp_socket.hpp"

#include <algorithm>

#include "socket/tcp_info.hpp"
#include "socket/tcp_sockets.hpp"

namespace vpollnet::socket {
namespace {

constexpr std::int64_t kMinBuffer = 2048;
constexpr std::int64_t kMaxBuffer = 64 << 20;

bool in_range(std::int64_t value, std::int64_t low, std::int64_t high) {
  return value >= low && value <= high;
}

}  // namespace

void TcpSocket::refresh() {
  std::uint32_t mask = 0;
  if (listener_) {
    if (!listener_->ready.empty()) mask |= kIn;
  } else if (!flow_) {
    mask = kOut | kHup;  // what Linux shows for a socket that was never connected
  } else {
    const tcp::Connection& connection = flow_->connection;
    if (connection.readable()) mask |= kIn;
    if (connection.writable()) mask |= kOut;
    if (connection.urgent_ready()) mask |= kPri;
    if (connection.error() != Errno::ok) mask |= kErr;
    if (connection.read_closed()) mask |= kRdHup;
    if (connection.read_closed() && connection.write_closed()) mask |= kHup;
  }
  if (error_ != Errno::ok) mask |= kErr | kIn | kOut;
  publish(mask);
}

void TcpSocket::fail(Errno error) {
  error_ = error;
  refresh();
}

Errno TcpSocket::bind(const Endpoint& local, Nanos now) {
  (void)now;
  if (is_bound_ || flow_ || listener_) return Errno::invalid;
  return table_.bind(*this, local);
}

Errno TcpSocket::connect(const Endpoint& peer, Nanos now) {
  if (listener_) return Errno::is_connected;
  if (flow_) {
    switch (flow_->connection.state()) {
    case tcp::State::syn_sent:
    case tcp::State::syn_received: return Errno::already;
    case tcp::State::closed:
      if (flow_->connection.error() != Errno::ok) {
        const Errno error = flow_->connection.take_error();
        refresh();
        return error;
      }
      if (flow_->connection.was_established()) return Errno::is_connected;
      flow_->owner = nullptr;
      flow_.reset();
      break;
    default: return Errno::is_connected;
    }
  }
  Result<std::shared_ptr<Flow>> flow = table_.connect(*this, peer, now);
  if (!flow) return flow.error();
  flow_ = *flow;
  table_.service(*flow_, now);
  return Errno::in_progress;
}

Errno TcpSocket::listen(int backlog, Nanos now) {
  (void)now;
  if (flow_) return Errno::invalid;
  if (!is_bound_) {
    // listen(2) on an unbound socket picks a port on all addresses.
    if (const Errno error = table_.bind(*this, Endpoint{}); error != Errno::ok) return error;
  }
  if (!listener_) {
    if (!table_.may_listen(*this)) return Errno::address_in_use;
    listener_ = std::make_unique<Listener>();
  }
  listener_->backlog = static_cast<std::size_t>(std::clamp(backlog, 0, kMaxBacklog));
  refresh();
  return Errno::ok;
}

Result<Socket*> TcpSocket::accept(Nanos now) {
  (void)now;
  if (!listener_) return Errno::invalid;
  if (error_ != Errno::ok) {
    const Errno error = std::exchange(error_, Errno::ok);
    refresh();
    return error;
  }
  if (listener_->ready.empty()) return Errno::again;
  Result<TcpSocket*> socket = table_.adopt(listener_->ready.front(), *this);
  if (!socket) return socket.error();  // it stays in the queue for a better time
  listener_->ready.pop_front();
  refresh();
  return static_cast<Socket*>(*socket);
}

Result<std::size_t> TcpSocket::send(std::span<const std::uint8_t> data, std::uint32_t flags,
                                    Nanos now) {
  if (!flow_) return listener_ ? Errno::not_connected : Errno::broken_pipe;
  const Result<std::size_t> taken =
      flow_->connection.send(data, (flags & kSendOutOfBand) != 0, (flags & kMore) != 0, now);
  if (taken) {
    table_.service(*flow_, now);
  } else {
    refresh();
  }
  return taken;
}

Result<std::size_t> TcpSocket::send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                                       std::uint32_t flags, Nanos now) {
  (void)to;  // send(2): for a connection the address is ignored, or EISCONN; Linux ignores it
  return send(data, flags, now);
}

Result<Received> TcpSocket::receive(std::span<std::uint8_t> buffer, std::uint32_t flags,
                                    Nanos now) {
  if (!flow_) return Errno::not_connected;
  tcp::Connection& connection = flow_->connection;
  const bool peek = (flags & kPeek) != 0;
  const Result<std::size_t> copied = (flags & kOutOfBand) != 0
                                         ? connection.receive_urgent(buffer, peek)
                                         : connection.receive(buffer, peek);
  if (!copied) {
    refresh();
    return copied.error();
  }
  if (!peek) table_.service(*flow_, now);  // a window update may be due
  return Received{*copied, *copied, flow_->key.remote};
}

Result<std::size_t> TcpSocket::peek_slices(std::size_t limit, std::vector<Slice>& out) {
  if (!flow_) return Errno::not_connected;
  const Result<std::size_t> there = flow_->connection.peek_slices(limit, out);
  if (!there) refresh();
  return there;
}

void TcpSocket::consume(std::size_t count, Nanos now) {
  if (!flow_) return;
  flow_->connection.consume(count);
  table_.service(*flow_, now);  // a window update may be due
}

std::size_t TcpSocket::send_room() const { return flow_ ? flow_->connection.send_room() : 0; }

Errno TcpSocket::send_slices(std::vector<Slice>&& slices, Nanos now) {
  if (!flow_) return listener_ ? Errno::not_connected : Errno::broken_pipe;
  const Errno error = flow_->connection.send_slices(std::move(slices), now);
  if (error == Errno::ok) {
    table_.service(*flow_, now);
  } else {
    refresh();
  }
  return error;
}

Errno TcpSocket::shutdown(Shutdown how, Nanos now) {
  if (!flow_ || !flow_->connection.was_established() ||
      flow_->connection.state() == tcp::State::closed) {
    return Errno::not_connected;
  }
  if (how != Shutdown::write) flow_->connection.shutdown_read();
  if (how != Shutdown::read) flow_->connection.shutdown_write();
  table_.service(*flow_, now);
  return Errno::ok;
}

void TcpSocket::close(Nanos now) {
  set_sink(nullptr);
  if (flow_) {
    if (linger_ == 0) {
      table_.abort(*flow_, now);  // socket(7), SO_LINGER of 0: RST
    } else {
      table_.release(*flow_, now);
    }
  }
  if (listener_) table_.close_listener(*this, now);
  table_.destroy(*this);  // this object is gone now
}

Errno TcpSocket::set_option(Option option, std::int64_t value, Nanos now) {
  const Errno error = set_number(option, value);
  if (error == Errno::ok) apply_options(now);
  return error;
}

Errno TcpSocket::set_text_option(Option option, std::string_view value, Nanos now) {
  if (option != Option::congestion) return Errno::no_protocol_option;
  const std::optional<tcp::Algorithm> algorithm = tcp::algorithm_named(value);
  if (!algorithm) return Errno::no_entry;  // as Linux says it
  settings_.congestion = *algorithm;
  apply_options(now);
  return Errno::ok;
}

Result<std::string> TcpSocket::text_option(Option option) {
  if (option != Option::congestion) return Errno::no_protocol_option;
  return std::string(tcp::to_string(settings_.congestion));
}

void TcpSocket::apply_options(Nanos now) {
  if (!flow_) return;
  flow_->connection.configure(settings_, now);
  flow_->hop_limit = hop_limit_;
  flow_->traffic_class = traffic_class_;
  table_.service(*flow_, now);  // uncorked, or without Nagle, something may go out now
}

Errno TcpSocket::set_number(Option option, std::int64_t value) {
  switch (option) {
  case Option::reuse_address: reuse_address_ = value != 0; return Errno::ok;
  case Option::keep_alive: settings_.keep_alive = value != 0; return Errno::ok;
  case Option::no_delay: settings_.no_delay = value != 0; return Errno::ok;
  case Option::quick_ack: settings_.quick_ack = value != 0; return Errno::ok;
  case Option::cork: settings_.cork = value != 0; return Errno::ok;
  case Option::oob_inline: settings_.oob_inline = value != 0; return Errno::ok;
  case Option::keep_idle:
    if (!in_range(value, 1, 32767)) return Errno::invalid;  // tcp(7)
    settings_.keep_idle = value * kSecond;
    return Errno::ok;
  case Option::keep_interval:
    if (!in_range(value, 1, 32767)) return Errno::invalid;
    settings_.keep_interval = value * kSecond;
    return Errno::ok;
  case Option::keep_count:
    if (!in_range(value, 1, 127)) return Errno::invalid;
    settings_.keep_count = static_cast<unsigned>(value);
    return Errno::ok;
  case Option::linger:
    if (!in_range(value, -1, 65535)) return Errno::invalid;
    linger_ = static_cast<int>(value);
    return Errno::ok;
  case Option::user_timeout:
    if (!in_range(value, 0, INT32_MAX)) return Errno::invalid;
    settings_.user_timeout = value * kMillisecond;
    return Errno::ok;
  case Option::max_segment:
    if (!in_range(value, tcp::Connection::kMinimumMss, 65495)) return Errno::invalid;
    if (flow_) return Errno::is_connected;
    settings_.max_segment = static_cast<std::uint32_t>(value);
    return Errno::ok;
  case Option::send_buffer:
    settings_.send_buffer = static_cast<std::uint32_t>(std::clamp(value, kMinBuffer, kMaxBuffer));
    return Errno::ok;
  case Option::receive_buffer:
    settings_.receive_buffer =
        static_cast<std::uint32_t>(std::clamp(value, kMinBuffer, kMaxBuffer));
    return Errno::ok;
  case Option::hop_limit:
    if (!in_range(value, 1, 255)) return Errno::invalid;
    hop_limit_ = static_cast<std::uint8_t>(value);
    return Errno::ok;
  case Option::traffic_class:
    if (!in_range(value, 0, 255)) return Errno::invalid;
    // RFC 3168 6.1: the ECN field is not the user's; segments of a connection without ECN have 0.
    traffic_class_ = static_cast<std::uint8_t>(value & ~0x03);
    return Errno::ok;
  case Option::ipv6_only:
    if (is_bound_ || flow_) return Errno::invalid;
    ipv6_only_ = value != 0;
    return Errno::ok;
  case Option::bind_interface:
    if (!in_range(value, 0, UINT32_MAX)) return Errno::invalid;
    interface_ = static_cast<InterfaceId>(value);
    return Errno::ok;
  default: return Errno::no_protocol_option;
  }
}

Result<std::int64_t> TcpSocket::option(Option option) {
  switch (option) {
  case Option::reuse_address: return std::int64_t{reuse_address_};
  case Option::keep_alive: return std::int64_t{settings_.keep_alive};
  case Option::no_delay: return std::int64_t{settings_.no_delay};
  case Option::quick_ack: return std::int64_t{settings_.quick_ack};
  case Option::cork: return std::int64_t{settings_.cork};
  case Option::oob_inline: return std::int64_t{settings_.oob_inline};
  case Option::keep_idle: return settings_.keep_idle / kSecond;
  case Option::keep_interval: return settings_.keep_interval / kSecond;
  case Option::keep_count: return std::int64_t{settings_.keep_count};
  case Option::linger: return std::int64_t{linger_};
  case Option::user_timeout: return settings_.user_timeout / kMillisecond;
  case Option::max_segment:
    return std::int64_t{flow_                        ? flow_->connection.segment_size()
                        : settings_.max_segment != 0 ? settings_.max_segment
                                                     : tcp::Connection::kDefaultMssV4};
  case Option::send_buffer: return std::int64_t{settings_.send_buffer};
  case Option::receive_buffer: return std::int64_t{settings_.receive_buffer};
  case Option::hop_limit: return std::int64_t{hop_limit_};
  case Option::traffic_class: return std::int64_t{traffic_class_};
  case Option::ipv6_only: return std::int64_t{ipv6_only_};
  case Option::bind_interface: return std::int64_t{interface_};
  case Option::type: return static_cast<std::int64_t>(Type::tcp);
  case Option::listening: return std::int64_t{listener_ != nullptr};
  case Option::unread: return flow_ ? static_cast<std::int64_t>(flow_->connection.unread()) : 0;
  case Option::unsent:
    return flow_ ? static_cast<std::int64_t>(flow_->connection.unacknowledged()) : 0;
  case Option::error: {
    Errno error = std::exchange(error_, Errno::ok);
    if (error == Errno::ok && flow_) error = flow_->connection.take_error();
    refresh();
    return static_cast<std::int64_t>(error);
  }
  default: return Errno::no_protocol_option;
  }
}

Endpoint TcpSocket::local() const {
  if (flow_) return flow_->key.local;
  return is_bound_ ? bound_ : Endpoint{};
}

Result<Endpoint> TcpSocket::peer() const {
  if (!flow_ || !flow_->connection.was_established() ||
      (flow_->connection.state() == tcp::State::closed)) {
    return Errno::not_connected;
  }
  return flow_->key.remote;
}

Errno TcpSocket::info(TcpInfo& out) const {
  out = {.state = state(),
         .congestion = tcp::to_string(settings_.congestion),
         .path_mtu = 0,
         .connection = {}};
  if (!flow_) return Errno::ok;
  out.path_mtu = flow_->path.mtu;
  out.connection = flow_->connection.info();
  return Errno::ok;
}

const char* TcpSocket::state() const {
  if (listener_) return "LISTEN";
  return flow_ ? tcp::to_string(flow_->connection.state()) : "CLOSED";
}

}  // namespace vpollnet::socket
