// SPDX-License-Identifier: MIT
// Two socket tables on a wire in memory, in virtual time:
//
//     a  10.0.0.1, fd00::1, fe80::1  <== wire: delay, jitter, loss, copies, bit errors ==>
//     b  10.0.0.2, fd00::2, fe80::2
//
// Segments travel as bytes with their checksum. Runs with the same seed are the same.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "socket/table.hpp"
#include "socket/tcp_sockets.hpp"
#include "wire/bytes.hpp"
#include "wire/checksum.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::socket {

inline IpAddress tcp_ip(const char* text) { return *IpAddress::parse(text); }

class TcpNet;

/// One end: the layers below its table are the wire.
class TcpHost final : public IpService {
 public:
  TcpHost(TcpNet& net, std::vector<IpAddress> addresses, std::uint64_t secret)
      : addresses_(std::move(addresses)), net_(net), random_({secret, secret + 1}),
        table_(std::make_unique<SocketTable>(*this)) {}
  ~TcpHost() = default;

  Result<Path> find_path(const IpAddress& destination, const IpAddress& source,
                         InterfaceId) override {
    if (!reachable) return Errno::network_unreachable;
    Path path{.source = source, .interface = 1, .mtu = mtu, .segmentation = segmentation};
    if (source.family() == Family::none) {
      for (const IpAddress& address : addresses_) {
        if (address.family() == destination.family() &&
            address.is_link_local() == destination.is_link_local() &&
            !address.is_loopback() == !destination.is_loopback()) {
          path.source = address;
          break;
        }
      }
      if (path.source.family() == Family::none) return Errno::network_unreachable;
    } else if (!is_local(source, kAnyInterface)) {
      return Errno::address_not_available;
    }
    return path;
  }
  std::uint64_t path_generation() const override { return generation; }
  inline Errno send_ip(const IpMeta& meta, Packet&& transport, Nanos now) override;
  Errno send_ip(const IpMeta& meta, const Path&, Packet&& transport, Nanos now) override {
    return send_ip(meta, std::move(transport), now);
  }
  void confirm_reachable(const IpAddress&, const Path&, Nanos) override { confirmed++; }
  bool is_local(const IpAddress& address, InterfaceId) const override {
    return std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end();
  }
  bool is_broadcast(const IpAddress& address) const override {
    return address.is_limited_broadcast() || address == tcp_ip("10.0.0.255");
  }
  Result<InterfaceId> group_interface(const IpAddress&, InterfaceId) override {
    return Errno::not_supported;
  }
  Errno join_group(const IpAddress&, const IpAddress&, InterfaceId, Nanos) override {
    return Errno::not_supported;
  }
  void leave_group(const IpAddress&, const IpAddress&, InterfaceId, Nanos) override {}
  inline BlockPool& pool() override;
  Budget& budget() override { return budget_; }
  Counters& counters() override { return counters_; }
  KeyedRandom& random() override { return random_; }

  SocketTable& table() { return *table_; }
  bool has(const IpAddress& address) const { return is_local(address, kAnyInterface); }
  void remove_address(const char* text, Nanos now) {
    std::erase(addresses_, tcp_ip(text));
    table_->on_address_removed(tcp_ip(text), now);
  }
  std::uint64_t dropped(Drop reason) const { return counters_.dropped(reason); }
  void shut() { table_.reset(); }

  bool reachable = true;
  bool segmentation = false;
  std::uint32_t mtu = 1500;
  std::uint64_t generation = 1;
  int confirmed = 0;

 private:
  std::vector<IpAddress> addresses_;
  TcpNet& net_;
  Budget budget_{256u << 20};
  Counters counters_;
  KeyedRandom random_;
  std::unique_ptr<SocketTable> table_;
};

/// What the wire does to each segment.
struct WireFaults {
  Nanos delay = 5 * kMillisecond;
  Nanos jitter = 0;
  unsigned loss = 0;         ///< in 1000
  unsigned duplication = 0;  ///< in 1000
  unsigned corruption = 0;   ///< in 1000
  std::uint64_t rate = 0;    ///< bytes a second each way; 0: no limit
};

class TcpNet {
 public:
  explicit TcpNet(std::uint64_t seed = 1)
      : a(*this,
          {tcp_ip("10.0.0.1"), tcp_ip("fd00::1"), tcp_ip("fe80::1"), tcp_ip("127.0.0.1"),
           tcp_ip("10.0.0.9")},
          2 * seed),
        b(*this,
          {tcp_ip("10.0.0.2"), tcp_ip("fd00::2"), tcp_ip("fe80::2"), tcp_ip("127.0.0.1"),
           tcp_ip("10.0.0.8")},
          2 * seed + 1000),
        random_({seed, 99}) {}
  ~TcpNet() {
    for (TcpHost* host : {&a, &b}) {
      while (!open_[host].empty()) close(*host, *open_[host].begin());
    }
    run(400 * kSecond);
    if (expect_all_closed) {
      CHECK(a.table().list().empty());
      CHECK(b.table().list().empty());
    }
    wire_.clear();
    a.shut();
    b.shut();
    CHECK(a.budget().used() == 0);
    CHECK(b.budget().used() == 0);
    CHECK(pool.live() == 0);
  }

  /// A segment on the wire, as seen by `filter`.
  struct Seen {
    bool from_a;
    IpMeta meta;
    wire::TcpHeader header;
    std::size_t length;
  };

  BlockPool pool;
  WireFaults faults;
  Nanos now = 1000 * kSecond;
  std::function<bool(const Seen&)> filter;  ///< false: this one gets lost
  bool expect_all_closed = true;
  std::uint64_t segments = 0;
  TcpHost a, b;

  void put(TcpHost& from, const IpMeta& meta, Packet&& packet) {
    const std::span<const std::uint8_t> bytes = packet.linear(pool);
    const auto parsed = wire::parse_tcp(bytes);
    REQUIRE(parsed);
    std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
    const std::uint16_t gso = packet.gso_size;
    const bool loopback = meta.destination.is_loopback();
    const bool to_self = from.has(meta.destination);
    if (filter && !filter({&from == &a, meta, parsed->header, copy.size() - parsed->length}))
      return;
    segments++;
    if (gso != 0) {
      CHECK(copy.size() - parsed->length > gso);
      CHECK(from.segmentation);
    }
    if (!loopback && gso == 0)
      CHECK(copy.size() + (meta.destination.is_v6() ? 40u : 20u) <= from.mtu);
    CHECK(packet.checksum == ChecksumState::partial);
    if (gso == 0) {
      wire::store16(copy.data() + wire::kTcpChecksumOffset, 0);
      Packet whole(pool.copy(copy));
      wire::store16(copy.data() + wire::kTcpChecksumOffset,
                    wire::transport_checksum(whole, meta.source, meta.destination, kTcp));
    }
    if (chance(faults.loss)) return;
    Nanos& free = free_at_[&from];
    Nanos at = now;
    if (faults.rate != 0) {
      free = std::max(free, now) +
             static_cast<Nanos>(copy.size() + 40) * kSecond / static_cast<Nanos>(faults.rate);
      if (free - now > 200 * kMillisecond) return;  // the queue is full
      at = free;
    }
    const int copies = chance(faults.duplication) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
      std::vector<std::uint8_t> bits = copy;
      // A large packet has no checksum yet: a wire that spoils one has it cut up.
      if (gso == 0 && chance(faults.corruption))
        bits[random_.below(static_cast<std::uint32_t>(bits.size()))] ^=
            static_cast<std::uint8_t>(1u << random_.below(8));
      const Nanos delay =
          loopback || to_self
              ? 0
              : faults.delay + (faults.jitter > 0 ? static_cast<Nanos>(random_.below(
                                                        static_cast<std::uint32_t>(faults.jitter)))
                                                  : 0);
      wire_.emplace(at + delay, Flying{to_self       ? &from
                                       : &from == &a ? &b
                                                     : &a,
                                       meta, std::move(bits), gso});
    }
  }
  /// A segment from nowhere. Its checksum is put right.
  void forge(TcpHost& to, const Endpoint& source, const Endpoint& destination,
             wire::TcpHeader header, std::size_t length = 0) {
    header.source_port = source.port;
    header.destination_port = destination.port;
    Packet packet(pool.copy(std::vector<std::uint8_t>(length, 7)));
    const auto head = packet.prepend(wire::tcp_size(header));
    wire::emit_tcp(header, head);
    wire::store16(head.data() + wire::kTcpChecksumOffset,
                  wire::transport_checksum(packet, source.address, destination.address, kTcp));
    IpMeta meta{.source = source.address,
                .destination = destination.address,
                .interface = 1,
                .protocol = kTcp};
    meta.to_group = destination.address.is_multicast();
    to.table().on_tcp(meta, std::move(packet), now);
  }

  /// Lets `span` pass.
  void run(Nanos span) {
    run_until([] { return false; }, span);
  }
  bool run_until(const std::function<bool()>& done, Nanos limit) {
    const Nanos end = now + limit;
    for (;;) {
      if (done()) return true;
      const Nanos flying = wire_.empty() ? kNever : wire_.begin()->first;
      const Nanos next = std::min({flying, a.table().next_deadline(), b.table().next_deadline()});
      if (next > end) {
        now = end;
        return done();
      }
      now = std::max(now, next);
      if (flying <= now) {
        const auto first = wire_.extract(wire_.begin());
        Flying& segment = first.mapped();
        Packet packet(pool.copy(segment.bytes));
        packet.gso_size = segment.gso;
        if (segment.gso != 0) packet.checksum = ChecksumState::valid;
        IpMeta meta = segment.meta;
        meta.interface = 1;
        segment.to->table().on_tcp(meta, std::move(packet), now);
        continue;
      }
      a.table().advance(now);
      b.table().advance(now);
    }
  }

  Socket& open(TcpHost& host) {
    Result<Socket*> socket = host.table().open(Type::tcp);
    REQUIRE(socket);
    open_[&host].insert(*socket);
    return **socket;
  }
  void close(TcpHost& host, Socket* socket) {
    open_[&host].erase(socket);
    socket->close(now);
  }
  Socket& listener(TcpHost& host, const Endpoint& local, int backlog = 16) {
    Socket& socket = open(host);
    REQUIRE(socket.bind(local, now) == Errno::ok);
    REQUIRE(socket.listen(backlog, now) == Errno::ok);
    return socket;
  }
  Socket* accept(TcpHost& host, Socket& listening) {
    const Result<Socket*> socket = listening.accept(now);
    if (!socket) return nullptr;
    open_[&host].insert(*socket);
    return *socket;
  }
  struct Pair {
    Socket* client;
    Socket* server;
  };
  /// A connection from a to b; the listener is closed again.
  Pair connect(std::uint16_t port = 7000, const char* address = "10.0.0.2",
               const std::function<void(Socket&)>& prepare = {}) {
    Socket& listening = listener(b, {IpAddress(), port});
    if (prepare) prepare(listening);
    Socket& client = open(a);
    if (prepare) prepare(client);
    REQUIRE(client.connect({tcp_ip(address), port}, now) == Errno::in_progress);
    REQUIRE(run_until(
        [&] { return (listening.readiness() & kIn) != 0 && (client.readiness() & kOut) != 0; },
        300 * kSecond));
    Socket* server = accept(b, listening);
    close(b, &listening);
    return {&client, server};
  }

 private:
  struct Flying {
    TcpHost* to;
    IpMeta meta;
    std::vector<std::uint8_t> bytes;
    std::uint16_t gso;
  };
  bool chance(unsigned in_thousand) { return in_thousand > 0 && random_.below(1000) < in_thousand; }

  KeyedRandom random_;
  std::multimap<Nanos, Flying> wire_;
  std::map<TcpHost*, Nanos> free_at_;
  std::map<TcpHost*, std::set<Socket*>> open_;
};

inline Errno TcpHost::send_ip(const IpMeta& meta, Packet&& transport, Nanos) {
  if (!reachable) return Errno::network_unreachable;
  net_.put(*this, meta, std::move(transport));
  return Errno::ok;
}

inline BlockPool& TcpHost::pool() { return net_.pool; }

inline std::size_t send_text(Socket& socket, std::string_view text, Nanos now,
                             std::uint32_t flags = 0) {
  const auto taken =
      socket.send({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, flags, now);
  return taken ? *taken : 0;
}
inline std::string read_text(Socket& socket, Nanos now, std::uint32_t flags = 0) {
  std::uint8_t buffer[4096];
  const auto got = socket.receive(buffer, flags, now);
  if (!got) return "errno " + std::to_string(static_cast<int>(got.error()));
  return std::string(reinterpret_cast<const char*>(buffer), got->copied);
}

}  // namespace vpollnet::socket
