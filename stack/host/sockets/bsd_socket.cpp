// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>

#include "host/sockets/bsd_address.hpp"
#include "host/sockets/bsd_stack.hpp"
#include "host/sockets/bsd_tcp_info.hpp"
#include "wire/icmpv4.hpp"
#include "wire/icmpv6.hpp"

namespace vpollnet::host {
namespace {

using socket::Option;
using socket::Type;

constexpr int kTransfer = MSG_DONTWAIT | MSG_NOSIGNAL;

constexpr std::size_t kLongestDatagram = 65535;

/// As socket::Socket has it before the first call.
std::uint32_t unmade_readiness(Type type) {
  return type == Type::tcp ? std::uint32_t{socket::kOut | socket::kHup} : socket::kOut;
}

bool is_any(const IpAddress& address) {
  return address.family() == Family::none || address.is_unspecified();
}

}  // namespace

BsdSocket::BsdSocket(std::shared_ptr<BsdStack> stack, std::shared_ptr<const BsdCalls> calls,
                     Type type)
    : stack_(std::move(stack)), type_(type), readiness_(std::make_shared<Readiness>(0)),
      calls_(std::move(calls)) {}

// --- the descriptor ---

Errno BsdSocket::open() {
  const std::lock_guard guard(mutex_);
  if (calls_->is_kernel() && type_ != Type::ping) return make(Family::none);
  // It is made later: now is the time to say that it cannot be.
  auto trial = make_one(AF_INET);
  if (!trial && trial.error() == Errno::family_not_supported) trial = make_one(AF_INET6);
  if (!trial) return trial.error();
  calls_->close(trial->fd);
  return Errno::ok;
}

Result<BsdDescriptor> BsdSocket::make_one(int domain) const {
  int protocol = 0;
  if (type_ == Type::ping) protocol = domain == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
  const auto fd = calls_->socket(domain, type_ == Type::tcp ? SOCK_STREAM : SOCK_DGRAM, protocol);
  if (!fd) return fd.error();
  return BsdDescriptor{calls_.get(), *fd, domain, type_};
}

Errno BsdSocket::make(Family family) {
  const Family unknown = type_ == Type::ping ? Family::ipv4 : Family::ipv6;
  const Family wanted = family == Family::none ? unknown : family;
  auto made = make_one(wanted == Family::ipv6 ? AF_INET6 : AF_INET);
  if (!made && made.error() == Errno::family_not_supported && family != Family::ipv6 &&
      !ipv6_only_) {
    made = make_one(AF_INET);  // a host without IPv6
  }
  if (!made) return made.error();
  Errno error = Errno::ok;
  if (made->domain == AF_INET6 && type_ != Type::ping) {
    // Not the default everywhere: /proc/sys/net/ipv6/bindv6only.
    error = set_bsd_option(*made, Option::ipv6_only, ipv6_only_);
    if (!ipv6_only_) error = Errno::ok;  // an implementation without mapped addresses
  }
  for (const auto& [option, value] : remembered_) {
    if (error == Errno::ok) error = apply(*made, option, value);
  }
  if (error != Errno::ok) {
    calls_->close(made->fd);
    return error;
  }
  adopt(made->fd, made->domain);
  return Errno::ok;
}

void BsdSocket::adopt(int fd, int domain) {
  struct stat status {};
  if (::fstat(fd, &status) == 0) file_ = {status.st_dev, status.st_ino};
  domain_ = domain;
  readiness_->adopt(fd);
}

/// With the mutex held: the descriptor, for a call that concerns `family`.
Result<BsdDescriptor> BsdSocket::descriptor(Family family) {
  if (calls_ == nullptr) return Errno::bad_descriptor;
  if (!is_made()) {
    const Errno error = make(family);
    if (error != Errno::ok) return error;
  }
  if (family == Family::ipv6 && domain_ == AF_INET) return Errno::family_not_supported;
  if (family == Family::ipv4 && domain_ == AF_INET6 && type_ == Type::ping) {
    return Errno::family_not_supported;
  }
  const int fd = readiness_->known_fd();
  if (fd < 0) return Errno::bad_descriptor;
  return BsdDescriptor{calls_.get(), fd, domain_, type_};
}

/// As a socket of ours decides it.
bool BsdSocket::family_allowed(Family family) const {
  if (family == Family::ipv4 && ipv6_only_) return false;
  return is_any(bound_.address) ? !bound_.address.is_v4() || family == Family::ipv4
                                : bound_.address.family() == family;
}

Result<int> BsdSocket::fd() {
  const std::lock_guard guard(mutex_);
  const auto socket = descriptor(Family::none);
  if (socket) return socket->fd;
  set_fd_error("");
  return socket.error();
}

std::uint32_t BsdSocket::readiness() const {
  const std::lock_guard guard(mutex_);
  if (calls_ == nullptr) return Readiness::kInvalid;
  if (!is_made()) return unmade_readiness(type_);
  constexpr short kAsked = POLLIN | POLLPRI | POLLOUT | static_cast<short>(POLLRDHUP);
  pollfd file{readiness_->known_fd(), kAsked, 0};
  if (file.fd < 0 || ::poll(&file, 1, 0) < 0) return Readiness::kInvalid;
  return static_cast<unsigned short>(file.revents);
}

bool BsdSocket::closed() const {
  const std::lock_guard guard(mutex_);
  return calls_ == nullptr;
}

void BsdSocket::close() {
  {
    const std::lock_guard guard(mutex_);
    if (calls_ == nullptr) return;
    close_locked(false);
  }
  stack_->strike(*this);
}

void BsdSocket::reset() {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr) close_locked(true);
}

void BsdSocket::close_locked(bool with_reset) {
  const auto calls = std::exchange(calls_, nullptr);
  const int fd = readiness_->release();
  if (fd < 0) return;
  // A number that somebody else has closed may be a file of his by now.
  struct stat status {};
  if (::fstat(fd, &status) != 0) return;
  if (file_ != std::pair<std::uint64_t, std::uint64_t>(status.st_dev, status.st_ino)) return;
  if (type_ == Type::tcp && (with_reset || lingers_)) {
    // socket(7): close(2) would wait for SO_LINGER seconds, also on a socket that does not block.
    set_bsd_option({calls.get(), fd, domain_, type_}, Option::linger, with_reset ? 0 : -1);
  }
  calls->close(fd);
}

// --- addresses and connections ---

Errno BsdSocket::bind(const Endpoint& local) {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && local.address.is_v4() && ipv6_only_) return Errno::family_not_supported;
  const auto socket = descriptor(local.address.family());
  if (!socket) return socket.error();
  const BsdAddress address = to_bsd_address(local, domain_);
  const Errno error = calls_->bind(socket->fd, address.get(), address.length);
  if (error == Errno::ok) bound_ = local;
  return error;
}

Errno BsdSocket::connect(const Endpoint& peer) {
  const std::lock_guard guard(mutex_);
  if (peer.address.family() == Family::none) {
    if (type_ == Type::tcp) return Errno::family_not_supported;
    const auto socket = descriptor(Family::none);
    if (!socket) return socket.error();
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;  // connect(2): dissolves the association
    return calls_->connect(socket->fd, &nobody, sizeof nobody);
  }
  if (calls_ != nullptr && !family_allowed(peer.address.family())) {
    return Errno::family_not_supported;
  }
  const auto socket = descriptor(peer.address.family());
  if (!socket) return socket.error();
  const BsdAddress address = to_bsd_address(peer, domain_);
  return calls_->connect(socket->fd, address.get(), address.length);
}

Errno BsdSocket::listen(int backlog) {
  const std::lock_guard guard(mutex_);
  const auto socket = descriptor(Family::none);
  return socket ? calls_->listen(socket->fd, backlog) : socket.error();
}

Result<std::shared_ptr<SocketHandle>> BsdSocket::accept() {
  std::shared_ptr<BsdSocket> accepted;
  {
    const std::lock_guard guard(mutex_);
    const auto socket = descriptor(Family::none);
    if (!socket) return socket.error();
    const auto fd = calls_->accept(socket->fd);
    if (!fd) return fd.error();
    accepted = std::make_shared<BsdSocket>(stack_, calls_, type_);
    accepted->adopt(*fd, domain_);
    accepted->ipv6_only_ = ipv6_only_;
    accepted->lingers_ = lingers_;
    accepted->bound_ = bound_;
  }
  // Without the lock: the stack calls its sockets with its own held.
  if (!stack_->enlist(*accepted)) return Errno::bad_descriptor;
  return std::shared_ptr<SocketHandle>(accepted);
}

Errno BsdSocket::shutdown(socket::Shutdown how) {
  const std::lock_guard guard(mutex_);
  const auto socket = descriptor(Family::none);
  if (!socket) return socket.error();
  const int way = how == socket::Shutdown::read    ? SHUT_RD
                  : how == socket::Shutdown::write ? SHUT_WR
                                                   : SHUT_RDWR;
  return calls_->shutdown(socket->fd, way);
}

Result<Endpoint> BsdSocket::local() {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && !is_made()) return Endpoint{};
  const auto socket = descriptor(Family::none);
  if (!socket) return socket.error();
  BsdAddress address;
  const Errno error = calls_->getsockname(socket->fd, address.get(), &address.length);
  if (error != Errno::ok) return error;
  const Endpoint local = to_endpoint(address);
  return local.port == 0 ? Endpoint{} : local;
}

Result<Endpoint> BsdSocket::peer() {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && !is_made()) return Errno::not_connected;
  const auto socket = descriptor(Family::none);
  if (!socket) return socket.error();
  BsdAddress address;
  const Errno error = calls_->getpeername(socket->fd, address.get(), &address.length);
  if (error != Errno::ok) return error;
  return to_endpoint(address);
}

std::string BsdSocket::state() {
  const std::lock_guard guard(mutex_);
  if (calls_ == nullptr) return "CLOSED";
  if (type_ != Type::tcp) return "OPEN";
  return tcp_state();
}

std::string BsdSocket::tcp_state() {
  // By TCP_ESTABLISHED and its kin of <netinet/tcp.h>, which count from 1.
  static constexpr const char* kNames[] = {"ESTABLISHED", "SYN-SENT",  "SYN-RECEIVED", "FIN-WAIT-1",
                                           "FIN-WAIT-2",  "TIME-WAIT", "CLOSED",       "CLOSE-WAIT",
                                           "LAST-ACK",    "LISTEN",    "CLOSING"};
  const int fd = is_made() ? readiness_->known_fd() : -1;
  if (fd < 0) return "CLOSED";
  tcp_info info{};
  socklen_t length = sizeof info;
  const Errno error = calls_->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  if (error == Errno::ok && info.tcpi_state >= 1 && info.tcpi_state <= std::size(kNames)) {
    return kNames[info.tcpi_state - 1];
  }
  // An implementation without TCP_INFO: what else shows.
  const auto listening = bsd_option({calls_.get(), fd, domain_, type_}, Option::listening);
  if (listening && *listening != 0) return "LISTEN";
  BsdAddress address;
  const bool connected = calls_->getpeername(fd, address.get(), &address.length) == Errno::ok;
  return connected ? "ESTABLISHED" : "CLOSED";
}

template <class Read>
auto BsdSocket::read_unmade(Option option, Read read) const {
  using Answer = std::invoke_result_t<Read, const BsdDescriptor&, Option>;
  const auto trial = make_one(AF_INET);
  if (!trial) return Answer(trial.error());
  Errno error = Errno::ok;
  for (const auto& [known, value] : remembered_) {
    if (error == Errno::ok && known == option) error = apply(*trial, option, value);
  }
  const Answer answer = error == Errno::ok ? read(*trial, option) : Answer(error);
  calls_->close(trial->fd);
  return answer;
}

Errno BsdSocket::info(socket::TcpInfo& out) {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && type_ != Type::tcp) return Errno::not_supported;
  if (calls_ != nullptr && !is_made()) {
    out = {};
    if (const auto name = read_unmade(Option::congestion, bsd_text_option)) out.congestion = *name;
    return Errno::ok;
  }
  const auto socket = descriptor(Family::none);
  return socket ? bsd_tcp_info(*socket, out) : socket.error();
}

std::shared_ptr<Recording> BsdSocket::record(const RecordingSpec&, Failure& failure) {
  failure = {Errno::not_supported, "record", "only a Stack sees the packets of its sockets"};
  return nullptr;
}

void BsdSocket::stop_recording(const std::shared_ptr<Recording>&) {}

// --- options ---

Errno BsdSocket::set_membership(const IpAddress& group, InterfaceId interface, bool member) {
  const std::lock_guard guard(mutex_);
  if (type_ != Type::udp && calls_ != nullptr) return Errno::not_supported;
  const auto socket = descriptor(group.family());
  if (!socket) return socket.error();
  if (group.is_v4()) {
    ip_mreqn request{};
    std::memcpy(&request.imr_multiaddr, group.bytes().data(), sizeof request.imr_multiaddr);
    request.imr_ifindex = static_cast<int>(interface);
    return calls_->setsockopt(socket->fd, IPPROTO_IP,
                              member ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request,
                              sizeof request);
  }
  ipv6_mreq request{};
  std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), sizeof request.ipv6mr_multiaddr);
  request.ipv6mr_interface = interface;
  return calls_->setsockopt(socket->fd, IPPROTO_IPV6, member ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                            &request, sizeof request);
}

Errno BsdSocket::set_source_membership(const IpAddress& group, const IpAddress& source,
                                       InterfaceId interface, bool member) {
  const std::lock_guard guard(mutex_);
  if (type_ != Type::udp && calls_ != nullptr) return Errno::not_supported;
  if (source.family() != group.family()) return Errno::invalid;
  const auto socket = descriptor(group.family());
  if (!socket) return socket.error();
  const bool v4 = group.is_v4();
  const int domain = v4 ? AF_INET : AF_INET6;
  group_source_req request{};
  request.gsr_interface = interface;
  request.gsr_group = to_bsd_address({group, 0}, domain).storage;
  request.gsr_source = to_bsd_address({source, 0}, domain).storage;
  return calls_->setsockopt(socket->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                            member ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &request,
                            sizeof request);
}

Errno BsdSocket::apply(const BsdDescriptor& socket, Option option, const OptionValue& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return set_bsd_option(socket, option, *number);
  }
  return set_bsd_text_option(socket, option, std::get<std::string>(value));
}

Errno BsdSocket::set_value(Option option, const OptionValue& value) {
  if (calls_ == nullptr) return Errno::bad_descriptor;
  if (!is_made()) return remember(option, value);
  const auto socket = descriptor(Family::none);
  return socket ? apply(*socket, option, value) : socket.error();
}

Errno BsdSocket::set_option(Option option, std::int64_t value) {
  const std::lock_guard guard(mutex_);
  const Errno error = set_value(option, value);
  if (error != Errno::ok) return error;
  if (option == Option::ipv6_only) ipv6_only_ = value != 0;
  if (option == Option::linger) lingers_ = value > 0;
  return Errno::ok;
}

Errno BsdSocket::set_text_option(Option option, std::string_view value) {
  const std::lock_guard guard(mutex_);
  return set_value(option, std::string(value));
}

Errno BsdSocket::remember(Option option, const OptionValue& value) {
  if (option == Option::ipv6_only) return Errno::ok;  // make() sets it
  const auto trial = make_one(AF_INET);
  if (!trial) return trial.error();
  const Errno error = apply(*trial, option, value);
  calls_->close(trial->fd);
  if (error != Errno::ok) return error;
  std::erase_if(remembered_, [option](const auto& known) { return known.first == option; });
  remembered_.emplace_back(option, value);
  return Errno::ok;
}

Result<std::int64_t> BsdSocket::option(Option option) {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && option == Option::ipv6_only) return std::int64_t{ipv6_only_};
  if (calls_ != nullptr && !is_made()) return read_unmade(option, bsd_option);
  const auto socket = descriptor(Family::none);
  return socket ? bsd_option(*socket, option) : socket.error();
}

Result<std::string> BsdSocket::text_option(Option option) {
  const std::lock_guard guard(mutex_);
  if (calls_ != nullptr && !is_made()) return read_unmade(option, bsd_text_option);
  const auto socket = descriptor(Family::none);
  return socket ? bsd_text_option(*socket, option) : socket.error();
}

// --- data ---

Result<std::size_t> BsdSocket::send(std::span<const std::uint8_t> data, std::uint32_t flags) {
  const std::lock_guard guard(mutex_);
  const auto socket = descriptor(Family::none);
  if (!socket) return socket.error();
  if (type_ != Type::tcp) return send_message(*socket, data, nullptr, flags);
  const int how = kTransfer | ((flags & socket::kSendOutOfBand) != 0 ? MSG_OOB : 0) |
                  ((flags & socket::kMore) != 0 ? MSG_MORE : 0);
  return calls_->send(socket->fd, data, how);
}

Result<std::size_t> BsdSocket::send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                                       std::uint32_t flags) {
  if (type_ == Type::tcp) return send(data, flags);  // as sendto(2): a connection has its address
  const std::lock_guard guard(mutex_);
  const Family family = to.address.family();
  if (family == Family::none) return Errno::destination_required;
  if (calls_ != nullptr && !family_allowed(family)) return Errno::family_not_supported;
  const auto socket = descriptor(family);
  if (!socket) return socket.error();
  return send_message(*socket, data, &to, flags);
}

Result<std::size_t> BsdSocket::send_message(const BsdDescriptor& socket,
                                            std::span<const std::uint8_t> data, const Endpoint* to,
                                            std::uint32_t flags) {
  if ((flags & socket::kSendOutOfBand) != 0) return Errno::not_supported;
  if (type_ == Type::ping) return send_echo(socket, data, to);
  const int how = kTransfer | ((flags & socket::kMore) != 0 ? MSG_MORE : 0);
  if (to == nullptr) return calls_->send(socket.fd, data, how);
  const BsdAddress address = to_bsd_address(*to, domain_);
  return calls_->sendto(socket.fd, data, how, address.get(), address.length);
}

/// A ping socket of Linux sends a whole echo request, but for the identifier and the checksum, and
/// gives whole replies (icmp(7)).
Result<std::size_t> BsdSocket::send_echo(const BsdDescriptor& socket,
                                         std::span<const std::uint8_t> data, const Endpoint* to) {
  const bool v4 = domain_ == AF_INET;
  std::uint8_t header[wire::kIcmpHeader] = {};
  header[0] = v4 ? std::uint8_t{wire::kIcmpv4EchoRequest} : std::uint8_t{wire::kIcmpv6EchoRequest};
  header[6] = static_cast<std::uint8_t>(next_sequence_ >> 8);
  header[7] = static_cast<std::uint8_t>(next_sequence_);
  next_sequence_++;
  iovec pieces[] = {{header, sizeof header}, {const_cast<std::uint8_t*>(data.data()), data.size()}};
  BsdAddress address;
  msghdr message{};
  if (to != nullptr) {
    address = to_bsd_address({to->address, 0, to->scope}, domain_);
    message.msg_name = address.get();
    message.msg_namelen = address.length;
  }
  message.msg_iov = pieces;
  message.msg_iovlen = std::size(pieces);
  const auto sent = calls_->sendmsg(socket.fd, &message, kTransfer);
  if (!sent) return sent;
  return data.size();
}

Result<socket::Received> BsdSocket::receive(std::span<std::uint8_t> buffer, std::uint32_t flags) {
  const std::lock_guard guard(mutex_);
  const auto socket = descriptor(Family::none);
  if (!socket) return socket.error();
  const int peek = (flags & socket::kPeek) != 0 ? MSG_PEEK : 0;
  if (type_ != Type::tcp) {
    if ((flags & socket::kOutOfBand) != 0) return Errno::not_supported;
    return receive_message(*socket, buffer, kTransfer | MSG_TRUNC | peek);
  }
  const int urgent = (flags & socket::kOutOfBand) != 0 ? MSG_OOB : 0;
  const auto got = (peek | urgent) == 0
                       ? calls_->read(socket->fd, buffer)
                       : calls_->recv(socket->fd, buffer, kTransfer | peek | urgent);
  if (!got) return got.error();
  return socket::Received{*got, *got, {}};
}

Result<socket::Received> BsdSocket::receive_message(const BsdDescriptor& socket,
                                                    std::span<std::uint8_t> buffer, int flags) {
  // With MSG_TRUNC the length is that of the whole datagram (recv(2)).
  BsdAddress from;
  if (type_ == Type::udp) {
    const auto got = calls_->recvfrom(socket.fd, buffer, flags, from.get(), &from.length);
    if (!got) return got.error();
    return socket::Received{std::min(*got, buffer.size()), *got, to_endpoint(from)};
  }
  // Linux counts only what it has copied of an echo, MSG_TRUNC or not: it gets room for all.
  const auto rest = std::make_unique_for_overwrite<std::uint8_t[]>(kLongestDatagram);
  std::uint8_t header[wire::kIcmpHeader];
  iovec pieces[] = {
      {header, sizeof header}, {buffer.data(), buffer.size()}, {rest.get(), kLongestDatagram}};
  msghdr message{};
  message.msg_name = from.get();
  message.msg_namelen = from.length;
  message.msg_iov = pieces;
  message.msg_iovlen = std::size(pieces);
  const auto got = calls_->recvmsg(socket.fd, &message, flags);
  if (!got) return got.error();
  from.length = message.msg_namelen;
  const std::size_t size = *got - std::min(*got, sizeof header);
  return socket::Received{std::min(size, buffer.size()), size, to_endpoint(from)};
}

}  // namespace vpollnet::host
