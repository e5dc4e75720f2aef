// SPDX-License-Identifier: MIT
// A stack with its links, driven by a pump: what the binding opens, and what a C++ program would.
//
// Every call here takes the pump's lock, runs the stack until nothing is left to do, and lets go:
// any thread may call, none waits for another longer than one bounded run (design: "One lock").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/failure.hpp"
#include "host/links/link.hpp"
#include "host/links/link_port.hpp"
#include "host/links/recorder.hpp"
#include "stack.hpp"

namespace vpollnet::host {

class Pump;
class Network;
class ReadyQueue;

/// One link of a network, by URL: "cable:NAME" (every network of the process that names the same
/// cable is on it, as on a hub), "tap://NAME", "tun://NAME".
struct LinkSpec {
  std::string url;
  std::string interface_name;  ///< empty: "eth0", "eth1", ...
  std::string mac;             ///< empty: a random locally administered one
  bool promiscuous = false;    ///< for a switch: has no MAC, and takes frames for any
  std::uint32_t mtu = 0;       ///< 0: the device's own, or 65535 on a cable
  bool ipv6 = true;
  bool offloads = true;  ///< false: neither segmentation nor checksum offload
  /// Whether a device that died is opened anew, each second until it is back. None: as is usual for
  /// this kind of link.
  std::optional<bool> reconnect;
  unsigned dad_transmits = 1;
  std::vector<Cidr> addresses;
  std::vector<IpAddress> gateways;  ///< default routes
  LinkImpairment impairment;
};

/// One socket of the core, of the host's kernel or of a plug-in (sockets/), shared by JavaScript
/// objects, pollers and the pump. Thread-safe; the calls after close(), and after the network's
/// close, return EBADF.
class SocketHandle : public std::enable_shared_from_this<SocketHandle> {
 public:
  virtual ~SocketHandle() = default;

  virtual Errno bind(const Endpoint& local) = 0;
  virtual Errno connect(const Endpoint& peer) = 0;
  virtual Errno listen(int backlog) = 0;
  virtual Result<std::shared_ptr<SocketHandle>> accept() = 0;
  virtual Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags) = 0;
  virtual Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                                      std::uint32_t flags) = 0;
  virtual Result<socket::Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags) = 0;
  virtual Errno shutdown(socket::Shutdown how) = 0;
  virtual Errno set_membership(const IpAddress& group, InterfaceId interface, bool member) = 0;
  virtual Errno set_source_membership(const IpAddress& group, const IpAddress& source,
                                      InterfaceId interface, bool member) = 0;
  virtual Errno set_option(socket::Option option, std::int64_t value) = 0;
  virtual Result<std::int64_t> option(socket::Option option) = 0;
  virtual Errno set_text_option(socket::Option option, std::string_view value) = 0;
  virtual Result<std::string> text_option(socket::Option option) = 0;
  virtual Result<Endpoint> local() = 0;
  virtual Result<Endpoint> peer() = 0;
  /// How a connection does. EOPNOTSUPP unless tcp.
  virtual Errno info(socket::TcpInfo& out) = 0;
  /// Records the packets of this socket alone, as Network::record(): to stop_recording(), or until
  /// socket and connection are gone. EOPNOTSUPP for a socket that is not the core's.
  virtual std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) = 0;
  virtual void stop_recording(const std::shared_ptr<Recording>& recording) = 0;
  /// "CLOSED" once the handle is closed.
  virtual std::string state() = 0;
  /// Closes the socket and its descriptor. Idempotent.
  virtual void close() = 0;
  virtual bool closed() const = 0;

  /// The exact mask of Ready bits now; POLLNVAL (0x20) once closed. Does not wait for the pump.
  virtual std::uint32_t readiness() const = 0;
  /// The vpoll descriptor, made at the first call and closed with the handle; of a socket that is
  /// not the core's, the socket's own. EMFILE, ENFILE, EBADF; EOPNOTSUPP, EACCES and EINVAL where
  /// the environment asks for a back end that is not to be had.
  virtual Result<int> fd() = 0;

  /// Has `queue` hear of the socket, as `id`, when it has one of the events that want() names.
  /// Once, and before want(). EOPNOTSUPP if the socket is not the core's.
  virtual Errno serve(std::shared_ptr<ReadyQueue>, std::uint64_t) { return Errno::not_supported; }
  /// The Ready bits that the queue is to hear of; 0: none, not even errors. Bits above 0xffff are
  /// the queue's reader's own, who finds them in wanted(). On the queue's thread.
  virtual void want(std::uint32_t) {}
  virtual std::uint32_t wanted() const { return 0; }
  /// The queue has given the socket out: what there is of what was wanted; POLLNVAL once closed.
  /// rearm() queues it anew if there still is something.
  virtual std::uint32_t take_ready() { return 0; }
  virtual void rearm() {}
  /// Ends serve() for good.
  virtual void unserve() {}
};

/// Why the last fd() of this thread failed, in words; "" if that is not known.
std::string fd_error();

/// A stack and its links.
class Network {
 public:
  /// An empty network (loopback only) in `pump`; random secret from the host. `name` is for people
  /// who look at it (host/inspector.hpp).
  static std::shared_ptr<Network> open(std::shared_ptr<Pump> pump,
                                       std::size_t memory_limit = 256u << 20, std::string name = {},
                                       tcp::Algorithm congestion = tcp::Algorithm::cubic);
  virtual ~Network() = default;

  /// Opens the device, adds the interface, its addresses and routes. On failure nothing is left.
  virtual Failure add_link(const LinkSpec& spec, InterfaceId& id) = 0;
  virtual Errno remove_link(InterfaceId id) = 0;
  virtual Errno add_address(InterfaceId id, const Cidr& address) = 0;
  virtual Errno remove_address(InterfaceId id, const IpAddress& address) = 0;
  virtual Errno add_route(const RouteConfig& route) = 0;
  virtual Errno remove_route(const RouteConfig& route) = 0;
  virtual Errno advertise(InterfaceId id, const RouterAdvertisementConfig& config) = 0;
  virtual Errno end_advertising(InterfaceId id) = 0;

  // Routing, filter and translation: as the calls of Stack. Times are from now on, or before now.
  virtual Errno set_forwarding(const ForwardingConfig& config) = 0;
  virtual ForwardingConfig forwarding() = 0;
  virtual Errno set_filter(std::optional<filter::RuleSet> rules) = 0;
  virtual FilterInfo filter_info() = 0;
  virtual std::vector<filter::LogEntry> take_filter_log() = 0;
  virtual Errno set_nat(filter::NatRules rules) = 0;
  virtual std::vector<ConnectionInfo> connections() = 0;
  virtual Errno set_connection_limits(const filter::ConnectionLimits& limits) = 0;

  virtual Result<std::shared_ptr<SocketHandle>> socket(socket::Type type) = 0;

  virtual std::vector<InterfaceInfo> interfaces() = 0;
  virtual std::vector<AddressInfo> addresses() = 0;
  virtual std::vector<RouteConfig> routes() = 0;
  virtual std::vector<NeighbourInfo> neighbours() = 0;
  virtual std::vector<socket::SocketInfo> sockets() = 0;
  virtual Counters counters() = 0;
  virtual std::size_t memory_used() = 0;

  /// A link died (its device vanished), or came back.
  struct LinkChange {
    InterfaceId interface = kAnyInterface;
    std::string url;
    Errno error = Errno::ok;  ///< why it is down; Errno::ok: it is up again
  };
  /// What happened since the last call, in order; kLinkChanges at most, the newest.
  virtual std::vector<LinkChange> take_link_changes() = 0;
  static constexpr std::size_t kLinkChanges = 256;

  struct LinkInfo {
    InterfaceId interface = kAnyInterface;
    std::string url;
    Errno failure = Errno::ok;
    LinkCounters counters;
    std::optional<ImpairmentInfo> impairment_in;
    std::optional<ImpairmentInfo> impairment_out;
  };
  virtual std::vector<LinkInfo> links() = 0;

  /// ENODEV if there is no such link.
  virtual Errno impair(InterfaceId id, const LinkImpairment& impairment) = 0;

  /// Records links, by their interfaces. Null and a failure if one of them is not there (ENODEV),
  /// or for a target that cannot be opened. Goes on until stop_recording() or close().
  virtual std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) = 0;
  /// What was recorded is written out after this, by the recording's own thread. Idempotent.
  virtual void stop_recording(const std::shared_ptr<Recording>& recording) = 0;

  /// Closes every socket (connections are reset) and link. Idempotent. Other threads that poll see
  /// POLLNVAL. On return no descriptor of this network is open.
  virtual void close() = 0;
};

/// The process's pump, started at first use, stopped when the last holder lets go. It can be looked
/// at (host/inspector.hpp) unless the environment has VPOLLNET_INSPECT=0.
std::shared_ptr<Pump> default_pump();

}  // namespace vpollnet::host
