// SPDX-License-Identifier: MIT
// Forwards: what is listened at, what it leads to, and what is left when it goes.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "host/gateway/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using namespace vpollnet::host::test;
using socket::Option;
using socket::Shutdown;
using socket::Type;

namespace {

/// A directory of its own, empty again at the end or the test fails.
class Directory {
 public:
  Directory() { REQUIRE(mkdtemp(path_.data()) != nullptr); }
  ~Directory() { CHECK(rmdir(path_.c_str()) == 0); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/vpollnet-gateway-XXXXXX";
};

/// A Unix stream socket of the kernel's.
class UnixSocket {
 public:
  explicit UnixSocket(int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) : fd_(fd) {
    const timeval limit{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~UnixSocket() { ::close(fd_); }
  UnixSocket(const UnixSocket&) = delete;
  UnixSocket& operator=(const UnixSocket&) = delete;

  static sockaddr_un address(const std::string& path) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    return un;
  }
  bool bind(const std::string& path) const {
    const sockaddr_un un = address(path);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&un), sizeof un) == 0;
  }
  bool listen() const { return ::listen(fd_, 8) == 0; }
  bool connect(const std::string& path) const {
    const sockaddr_un un = address(path);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&un), sizeof un) == 0;
  }
  int accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); }
  void write(const std::string& text) const {
    CHECK(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
  void end() const { ::shutdown(fd_, SHUT_WR); }
  std::string read() const {
    std::array<char, 256> buffer{};
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    return got < 0 ? "error " + std::to_string(errno)
                   : std::string(buffer.data(), static_cast<std::size_t>(got));
  }

 private:
  int fd_;
};

ForwardSpec inward(const char* listen, std::uint16_t port, std::uint16_t to) {
  ForwardSpec spec;
  spec.listen.endpoint = at(listen, port);
  spec.to.endpoint = at("10.5.0.2", to);
  return spec;
}

/// The first of `count` ports in a row that are free now.
std::uint16_t free_ports(const Bench& bench, std::uint16_t count) {
  for (int tries = 0; tries < 100; tries++) {
    std::vector<Handle> held{bench.listener()};
    const std::uint16_t first = held[0]->local()->port;
    if (first > 65'535 - count) continue;
    for (std::uint16_t i = 1; i < count; i++) {
      held.push_back(bench.kernel_tcp());
      held.back()->set_option(Option::reuse_address, 1);
      if (held.back()->bind(at("127.0.0.1", static_cast<std::uint16_t>(first + i))) != Errno::ok) {
        break;
      }
    }
    const bool all = held.size() == count && held.back()->local()->port == first + count - 1;
    for (const Handle& socket : held) socket->close();
    if (all) return first;
  }
  FAIL("no free ports");
  return 0;
}

TEST_CASE("a range leads each of its ports to the one beside it") {
  Bench bench;
  const std::uint16_t first = free_ports(bench, 3);
  std::vector<Handle> behind;
  for (std::uint16_t i = 0; i < 3; i++) {
    behind.push_back(bench.guest_listener("10.5.0.2", static_cast<std::uint16_t>(8000 + i)));
  }
  ForwardSpec spec = inward("127.0.0.1", first, 8000);
  spec.count = 3;
  bench.forward(spec);
  for (std::uint16_t i = 0; i < 3; i++) {
    const Handle client = bench.kernel_tcp();
    REQUIRE(connect(client, at("127.0.0.1", static_cast<std::uint16_t>(first + i))) == Errno::ok);
    const Handle server = Bench::accept(behind[i]);
    REQUIRE(client->send(bytes_of(std::to_string(i)), 0));
    CHECK(read_text(server) == std::to_string(i));
  }
}

TEST_CASE("of a range with a port in use nothing is left, and the error names the port") {
  Bench bench;
  const std::uint16_t first = free_ports(bench, 3);
  const auto last = static_cast<std::uint16_t>(first + 2);
  const Handle holder = bench.kernel_tcp();
  REQUIRE(holder->bind(at("127.0.0.1", last)) == Errno::ok);
  REQUIRE(holder->listen(1) == Errno::ok);
  const Holdings before;
  ForwardSpec spec = inward("127.0.0.1", first, 8000);
  spec.count = 3;
  ForwardId id = 0;
  const Failure failure = bench.gateway->add_forward(spec, id);
  CHECK(failure.error == Errno::address_in_use);
  CHECK(failure.syscall == "bind");
  CHECK(failure.detail.find(std::to_string(last)) != std::string::npos);
  CHECK(bench.gateway->forwards().empty());
  CHECK(back_to(before));
  CHECK(connect(bench.kernel_tcp(), at("127.0.0.1", first)) == Errno::refused);
  spec.count = 2;
  CHECK(!bench.gateway->add_forward(spec, id));
}

TEST_CASE("a forward that makes no sense is refused with the reason") {
  Bench bench;
  const ForwardSpec good = inward("127.0.0.1", 0, 80);
  const auto refused = [&](auto change) {
    ForwardSpec spec = good;
    change(spec);
    ForwardId id = 0;
    const Failure failure = bench.gateway->add_forward(spec, id);
    CHECK(!failure.detail.empty());
    return failure.error;
  };
  CHECK(refused([](ForwardSpec& spec) { spec.kind = FlowKind::echo; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.count = 0; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.count = 2; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.to.path = "/x"; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.to.endpoint = {}; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.to.endpoint.port = 0; }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) {
          spec.kind = FlowKind::udp;
          spec.listen.path = "/x";
        }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) {
          spec.listen.endpoint.port = 65'535;
          spec.count = 2;
        }) == Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.direction = FlowDirection::outward; }) ==
        Errno::invalid);
  CHECK(refused([](ForwardSpec& spec) { spec.listen.endpoint = at("203.0.113.1", 80); }) ==
        Errno::address_not_available);
  CHECK(refused([](ForwardSpec& spec) { spec.listen.path = std::string(200, 'x'); }) ==
        Errno(ENAMETOOLONG));
  CHECK(refused([](ForwardSpec& spec) { spec.listen.path = "/nowhere/at/all"; }) == Errno(ENOENT));
  CHECK(refused([](ForwardSpec& spec) {
          spec.listen.endpoint.port = 1;
          spec.count = 20'000;
        }) == Errno::no_buffers);
  CHECK(bench.gateway->forwards().empty());
}

TEST_CASE("nobody listens behind a forward: the client is reset, and the forward goes on") {
  Bench bench;
  const std::uint16_t port = bench.forward(inward("127.0.0.1", 0, 80));
  const Handle client = bench.kernel_tcp();
  // The kernel has taken the connection before anybody could be asked; the reset may be as fast.
  const Errno taken = connect(client, at("127.0.0.1", port));
  if (taken == Errno::ok) {
    CHECK(read_text(client) == error_text(Errno::reset));
  } else {
    CHECK(taken == Errno::reset);
  }
  CHECK(bench.no_flows());
  CHECK(bench.dropped(GatewayDrop::refused) == 1);
  const Handle behind = bench.guest_listener("10.5.0.2", 80);
  REQUIRE(connect(bench.kernel_tcp(), at("127.0.0.1", port)) == Errno::ok);
  Bench::accept(behind);
}

TEST_CASE("a forward of both families, or of one, and one from IPv6 to IPv4") {
  Bench bench;
  const Handle behind = bench.guest_listener("10.5.0.2", 80);
  ForwardSpec any = inward("127.0.0.1", 0, 80);
  any.listen.endpoint = {};
  const std::uint16_t port = bench.forward(any);
  for (const char* address : {"127.0.0.1", "::1"}) {
    const Handle client = bench.kernel_tcp();
    REQUIRE(connect(client, at(address, port)) == Errno::ok);
    const Handle server = Bench::accept(behind);
    CHECK(bench.flow().source.address == at(address).address);
    CHECK(bench.flow().destination == at(address, port));
    client->close();
    CHECK(read_text(server) == "");
    server->close();
    CHECK(bench.no_flows());
  }
  const std::uint16_t six = bench.forward(inward("::", 0, 80));
  CHECK(connect(bench.kernel_tcp(), at("::1", six)) == Errno::ok);
  CHECK(connect(bench.kernel_tcp(), at("127.0.0.1", six)) == Errno::refused);
  ForwardSpec to_six = inward("127.0.0.1", 0, 81);
  to_six.to.endpoint = at("fd05::2", 81);
  const Handle behind_six = bench.guest_listener("fd05::2", 81);
  REQUIRE(connect(bench.kernel_tcp(), at("127.0.0.1", bench.forward(to_six))) == Errno::ok);
  CHECK(Bench::accept(behind_six)->peer()->address == at("fd05::1").address);
}

TEST_CASE("a Unix socket of the host leads behind the gateway; a stale one is replaced") {
  const Directory directory;
  const std::string path = directory / "socket";
  Bench bench;
  const Handle behind = bench.guest_listener("10.5.0.2", 80);
  ForwardSpec spec = inward("127.0.0.1", 0, 80);
  spec.listen.path = path;
  {
    const UnixSocket stale;
    REQUIRE(stale.bind(path));  // and nobody listens
  }
  ForwardId id = 0;
  bench.forward(spec, &id);
  const UnixSocket client;
  REQUIRE(client.connect(path));
  const Handle server = Bench::accept(behind);
  client.write("from a path");
  CHECK(read_text(server) == "from a path");
  client.end();
  CHECK(read_text(server) == "");
  REQUIRE(server->send(bytes_of("answer"), 0));
  CHECK(client.read() == "answer");
  server->close();
  CHECK(client.read() == "");
  CHECK(bench.no_flows());
  // One at which somebody listens is not.
  ForwardId second = 0;
  CHECK(bench.gateway->add_forward(spec, second).error == Errno::address_in_use);
  CHECK(bench.gateway->remove_forward(id));
  CHECK(access(path.c_str(), F_OK) != 0);
  // Nor is what is no socket.
  const int file = creat(path.c_str(), 0600);
  REQUIRE(file >= 0);
  ::close(file);
  CHECK(bench.gateway->add_forward(spec, second).error == Errno::address_in_use);
  CHECK(unlink(path.c_str()) == 0);
}

TEST_CASE("a port of the gateway leads to a Unix socket of the host, and a decision may too") {
  const Directory directory;
  const std::string path = directory / "socket";
  Bench bench(asking());
  ForwardSpec spec;
  spec.direction = FlowDirection::outward;
  spec.listen.endpoint.port = 8080;
  spec.to.path = path;
  ForwardId id = 0;
  REQUIRE(!bench.gateway->add_forward(spec, id));
  CHECK(bench.gateway->add_forward(spec, id).error == Errno::address_in_use);
  CHECK(connect(bench.tcp(), at("10.5.0.1", 8080)) == Errno::refused);
  {
    const UnixSocket listener;
    REQUIRE(listener.bind(path));
    REQUIRE(listener.listen());
    const Handle client = bench.tcp();
    REQUIRE(connect(client, at("10.5.0.1", 8080)) == Errno::ok);
    const UnixSocket server(listener.accept());
    REQUIRE(client->send(bytes_of("to a path"), 0));
    CHECK(server.read() == "to a path");
    server.write("and back");
    CHECK(read_text(client) == "and back");
    CHECK(bench.flow().target.path == path);
    server.end();
    CHECK(read_text(client) == "");
    client->close();
    CHECK(server.read() == "");
    CHECK(bench.no_flows());

    const Handle led = bench.tcp();
    CHECK(led->connect(at("203.0.113.1", 80)) == Errno::in_progress);
    CHECK(bench.gateway->decide(bench.event().flow.id, {Verdict::allow, {{}, path}}) == Errno::ok);
    const UnixSocket other(listener.accept());
    other.write("hello");
    CHECK(read_text(led) == "hello");
    led->set_option(Option::linger, 0);
    led->close();
    CHECK(bench.no_flows());
  }
  CHECK(unlink(path.c_str()) == 0);
}

TEST_CASE("an outward forward leads from a port of the gateway itself, and asks nobody") {
  Bench bench;
  const Handle listener = bench.listener();
  const Handle sink = bench.kernel_udp();
  ForwardSpec spec;
  spec.direction = FlowDirection::outward;
  spec.listen.endpoint = at("10.5.0.1", 90);
  spec.to.endpoint = at("127.0.0.1", listener->local()->port);
  ForwardId id = 0;
  REQUIRE(!bench.gateway->add_forward(spec, id));
  spec.kind = FlowKind::udp;
  spec.to.endpoint.port = sink->local()->port;
  ForwardId udp_id = 0;
  REQUIRE(!bench.gateway->add_forward(spec, udp_id));
  const Handle client = bench.tcp();
  REQUIRE(connect(client, at("10.5.0.1", 90)) == Errno::ok);
  Bench::accept(listener);
  const Handle udp = bench.udp();
  REQUIRE(udp->send_to(bytes_of("x"), at("10.5.0.1", 90), 0));
  CHECK(read_text(sink) == "x");
  CHECK(bench.gateway->forwards()[0].flows == 1);
  CHECK(bench.gateway->forwards()[1].flows == 1);
  // Another of its addresses, and another port, are not meant.
  CHECK(connect(bench.tcp(), at("fd05::1", 90)) == Errno::refused);
  CHECK(connect(bench.tcp(), at("10.5.0.1", 91)) == Errno::refused);
  CHECK(bench.gateway->remove_forward(id));
  CHECK(connect(bench.tcp(), at("10.5.0.1", 90)) == Errno::refused);
}

TEST_CASE("an outward forward is at an address of the gateway's, and no other has its port") {
  Bench bench;
  const Handle listener = bench.listener();
  const auto add = [&](const char* address, std::uint16_t port) {
    ForwardSpec spec;
    spec.direction = FlowDirection::outward;
    if (address == nullptr)
      spec.listen.endpoint.port = port;
    else
      spec.listen.endpoint = at(address, port);
    spec.to.endpoint = at("127.0.0.1", listener->local()->port);
    ForwardId id = 0;
    return bench.gateway->add_forward(spec, id).error;
  };
  CHECK(add("10.5.0.77", 90) == Errno::address_not_available);
  CHECK(add("0.0.0.0", 90) == Errno::ok);
  CHECK(add("10.5.0.1", 90) == Errno::address_in_use);
  CHECK(add(nullptr, 90) == Errno::address_in_use);
  CHECK(connect(bench.tcp(), at("10.5.0.1", 90)) == Errno::ok);
  // 0.0.0.0 says nothing of IPv6.
  CHECK(connect(bench.tcp(), at("fd05::1", 90)) == Errno::refused);
  CHECK(add("fd05::1", 90) == Errno::ok);
  CHECK(connect(bench.tcp(), at("fd05::1", 90)) == Errno::ok);
}

TEST_CASE("what is behind a gateway is not looked for on the far side") {
  GatewayConfig config;
  config.otherwise = Verdict::allow;
  Bench bench(config);
  const Handle listener = bench.listener("0.0.0.0");
  CHECK(connect(bench.tcp(), at("10.5.0.1", listener->local()->port)) == Errno::refused);
  const Handle udp = bench.udp();
  REQUIRE(udp->connect(at("10.5.0.1", 7)) == Errno::ok);
  REQUIRE(udp->send(bytes_of("x"), 0));
  CHECK(read_text(udp) == error_text(Errno::refused));
  CHECK(bench.dropped(GatewayDrop::refused) == 2);
}

TEST_CASE("a forward of another core: a port there leads behind the gateway") {
  CoreBench bench;
  const Handle behind = bench.guest_listener("10.5.0.2", 80);
  ForwardSpec spec;
  spec.listen.endpoint.port = 8080;
  spec.to.endpoint = at("10.5.0.2", 80);
  ForwardId id = 0;
  REQUIRE(!bench.gateway->add_forward(spec, id));
  ForwardId second = 0;
  CHECK(bench.gateway->add_forward(spec, second).error == Errno::address_in_use);
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    const Handle client = made(bench.server->socket(Type::tcp));
    REQUIRE(connect(client, at(address, 8080)) == Errno::ok);
    const Handle server = CoreBench::accept(behind);
    REQUIRE(client->send(bytes_of("inward"), 0));
    CHECK(read_text(server) == "inward");
    REQUIRE(client->shutdown(Shutdown::write) == Errno::ok);
    CHECK(read_text(server) == "");
    REQUIRE(server->send(bytes_of("back"), 0));
    CHECK(read_text(client) == "back");
  }
  spec.kind = FlowKind::udp;
  REQUIRE(!bench.gateway->add_forward(spec, second));
  const Handle sink = bench.udp();
  REQUIRE(sink->bind(at("10.5.0.2", 80)) == Errno::ok);
  const Handle sender = made(bench.server->socket(Type::udp));
  REQUIRE(sender->connect(at("192.0.2.1", 8080)) == Errno::ok);
  REQUIRE(sender->send(bytes_of("?"), 0));
  REQUIRE(wait_for(sink, socket::kIn));
  std::array<std::uint8_t, 8> buffer{};
  const auto got = sink->receive(buffer, 0);
  REQUIRE(got);
  REQUIRE(sink->send_to(bytes_of("!"), got->from, 0));
  CHECK(read_text(sender) == "!");
  CHECK(bench.gateway->remove_forward(id));
  CHECK(connect(made(bench.server->socket(Type::tcp)), at("192.0.2.1", 8080)) == Errno::refused);
}

}  // namespace
