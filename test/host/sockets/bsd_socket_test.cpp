// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_socket.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "host/namespace.hpp"
#include "host/poll.hpp"
#include "host/sockets/bsd_address.hpp"
#include "host/sockets/bsd_stack.hpp"
#include "host/sockets/rtnetlink.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using socket::Option;
using socket::Type;
using test::bytes_of;
using test::Holdings;

namespace {

Endpoint at(const char* address, std::uint16_t port = 0) {
  return {.address = *IpAddress::parse(address), .port = port};
}

using Handle = std::shared_ptr<SocketHandle>;

Handle make(const std::shared_ptr<BsdStack>& stack, Type type) {
  auto made = stack->socket(type);
  REQUIRE(made);
  return *made;
}

bool wait_for(const Handle& socket, std::uint32_t events, int timeout_ms = 5000) {
  const auto fd = socket->fd();
  std::array<PollEntry, 1> entries{{{*fd, events, 0}}};
  const auto found = host::poll(entries, timeout_ms);
  return found && *found == 1;
}

std::string read_text(const Handle& socket) {
  std::array<std::uint8_t, 64> buffer{};
  const auto got = socket->receive(buffer, 0);
  if (!got) return "error " + std::to_string(static_cast<int>(got.error()));
  return {reinterpret_cast<const char*>(buffer.data()), got->copied};
}

struct Connection {
  explicit Connection(const std::shared_ptr<BsdStack>& stack, const char* host = "127.0.0.1") {
    listener = make(stack, Type::tcp);
    REQUIRE(listener->bind(at(host)) == Errno::ok);
    REQUIRE(listener->listen(5) == Errno::ok);
    client = make(stack, Type::tcp);
    REQUIRE(client->connect(*listener->local()) == Errno::in_progress);
    REQUIRE(wait_for(client, POLLOUT));
    REQUIRE(wait_for(listener, POLLIN));
    auto accepted = listener->accept();
    REQUIRE(accepted);
    server = *accepted;
  }
  Handle listener;
  Handle client;
  Handle server;
};

}  // namespace

TEST_CASE("an endpoint is the same after a way through a sockaddr of either family") {
  for (const Endpoint& endpoint :
       {at("10.1.2.3", 7), at("0.0.0.0", 1), at("255.255.255.255", 65535)}) {
    CHECK(to_endpoint(to_bsd_address(endpoint, AF_INET)) == endpoint);
    CHECK(to_endpoint(to_bsd_address(endpoint, AF_INET6)) == endpoint);
  }
  const Endpoint link_local{.address = *IpAddress::parse("fe80::1"), .port = 9, .scope = 3};
  CHECK(to_endpoint(to_bsd_address(link_local, AF_INET6)) == link_local);
  CHECK(to_endpoint(to_bsd_address({}, AF_INET6)).address == IpAddress::any(Family::ipv6));
  CHECK(to_endpoint(to_bsd_address({}, AF_INET)).address == IpAddress::any(Family::ipv4));
  BsdAddress other;
  other.storage.ss_family = AF_UNIX;
  CHECK(to_endpoint(other) == Endpoint{});
  BsdAddress cut = to_bsd_address(at("::1", 5), AF_INET6);
  cut.length = 8;
  CHECK(to_endpoint(cut) == Endpoint{});
}

TEST_CASE("a connection over the kernel's loopback carries data, and no signal when it breaks") {
  { const Connection first(BsdStack::open_kernel()); }  // what a thread's first poll opens stays
  const Holdings before;
  {
    struct sigaction fatal {};
    struct sigaction old {};
    fatal.sa_handler = SIG_DFL;
    sigaction(SIGPIPE, &fatal, &old);
    auto stack = BsdStack::open_kernel();
    Connection connection(stack);
    CHECK(connection.client->state() == "ESTABLISHED");
    CHECK(*connection.client->send(bytes_of("hello"), 0) == 5);
    REQUIRE(wait_for(connection.server, POLLIN));
    CHECK(read_text(connection.server) == "hello");
    CHECK(connection.server->peer()->port == connection.client->local()->port);
    REQUIRE(connection.server->set_option(Option::linger, 0) == Errno::ok);
    connection.server->close();
    REQUIRE(wait_for(connection.client, POLLIN));
    CHECK(read_text(connection.client) == "error " + std::to_string(ECONNRESET));
    CHECK(connection.client->send(bytes_of("x"), 0).error() == Errno::broken_pipe);
    sigaction(SIGPIPE, &old, nullptr);
  }
  CHECK(test::back_to(before));
}

TEST_CASE("a datagram socket of the kernel takes both families") {
  auto stack = BsdStack::open_kernel();
  auto socket = make(stack, Type::udp);
  REQUIRE(socket->bind({}) == Errno::ok);
  const std::uint16_t port = socket->local()->port;
  auto sender = make(stack, Type::udp);
  for (const char* host : {"127.0.0.1", "::1"}) {
    CAPTURE(host);
    if (make(stack, Type::udp)->bind(at(host)) != Errno::ok) {
      MESSAGE("skipped: no ", host, " here");
      continue;
    }
    REQUIRE(sender->send_to(bytes_of("from"), at(host, port), 0));
    REQUIRE(wait_for(socket, POLLIN));
    std::array<std::uint8_t, 2> buffer{};
    const auto got = socket->receive(buffer, 0);
    REQUIRE(got);
    CHECK(got->copied == 2);
    CHECK(got->size == 4);
    CHECK(got->from.address.to_string() == host);
  }
}

TEST_CASE("closing wakes who polls the descriptor, in poll and in a watch") {
  auto stack = BsdStack::open_kernel();
  auto socket = make(stack, Type::udp);
  std::array<PollEntry, 1> entries{{{*socket->fd(), POLLIN, 0}}};
  auto watch = PollWatch::open(entries);
  REQUIRE(watch);
  std::thread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    socket->close();
  });
  const Nanos start = monotonic_now();
  const auto found = host::poll(entries, 20'000);
  const Nanos waited = monotonic_now() - start;
  closer.join();
  REQUIRE(found);
  CHECK(waited < 15 * kSecond);  // ppoll by itself looks again at the end of its time only
  CHECK(*found == 1);
  CHECK(entries[0].returned == POLLNVAL);
  CHECK(*(*watch)->collect(entries) == 1);
  CHECK(entries[0].returned == POLLNVAL);
}

TEST_CASE("a number that somebody else closed and uses is left alone") {
  auto stack = BsdStack::open_kernel();
  auto socket = make(stack, Type::tcp);
  const int fd = *socket->fd();
  ::close(fd);
  REQUIRE(::open("/dev/null", O_RDONLY | O_CLOEXEC) == fd);
  socket->close();
  CHECK(::fcntl(fd, F_GETFD) >= 0);
  ::close(fd);

  auto first = make(stack, Type::tcp);
  const int number = *first->fd();
  ::close(number);
  auto second = make(stack, Type::udp);
  REQUIRE(*second->fd() == number);
  CHECK(first->fd().error() == Errno::bad_descriptor);
  CHECK(first->bind(at("127.0.0.1")) == Errno::bad_descriptor);
  CHECK(first->readiness() == POLLNVAL);
  first->close();
  CHECK(second->bind(at("127.0.0.1")) == Errno::ok);
}

TEST_CASE("threads that send, look and close at the same time do not harm each other") {
  const Holdings before;
  {
    auto stack = BsdStack::open_kernel();
    for (int round = 0; round < 20; round++) {
      Connection connection(stack);
      std::atomic<bool> go{false};
      std::vector<std::thread> threads;
      const auto start = [&](auto body) {
        threads.emplace_back([&go, body] {
          while (!go) std::this_thread::yield();
          for (int i = 0; i < 50; i++) body();
        });
      };
      start([&] { (void)connection.client->send(bytes_of("data"), 0); });
      start([&] { (void)read_text(connection.server); });
      start([&] { (void)connection.client->readiness(); });
      start([&] { (void)connection.listener->accept(); });
      start([&] { connection.client->close(); });
      start([&] {
        if (auto made = stack->socket(Type::udp)) (*made)->close();
      });
      if (round % 4 == 3) start([&] { stack->close(); });
      go = true;
      for (std::thread& thread : threads) thread.join();
      if (round % 4 == 3) stack = BsdStack::open_kernel();
    }
  }
  CHECK(test::back_to(before));
}

TEST_CASE("a stack that is closed has closed its sockets and opens no more") {
  const Holdings before;
  auto stack = BsdStack::open_kernel();
  Connection connection(stack);
  stack->close();
  stack->close();
  CHECK(connection.client->closed());
  CHECK(connection.listener->accept().error() == Errno::bad_descriptor);
  CHECK(connection.client->state() == "CLOSED");
  CHECK(connection.client->readiness() == POLLNVAL);
  CHECK(stack->socket(Type::tcp).error() == Errno::bad_descriptor);
  CHECK(stack->interface_index("lo").error() == Errno::bad_descriptor);
  CHECK(test::back_to(before));
}

TEST_CASE("interfaces are found by name") {
  auto stack = BsdStack::open_kernel();
  CHECK(*stack->interface_index("lo") > 0);
  CHECK(stack->interface_index("nothing").error() == Errno::no_such_device);
  CHECK(stack->interface_index("").error() == Errno::no_such_device);
  CHECK(stack->interface_index(std::string(100, 'x')).error() == Errno::no_such_device);
}

TEST_CASE("the zone of a link-local address is the number of its interface") {
  test::check_in_network_namespace([]() -> std::string {
    auto stack = BsdStack::open_kernel();
    const InterfaceId zone = *stack->interface_index("lo");
    Rtnetlink netlink(BsdCalls::kernel());
    if (netlink.open() != Errno::ok || netlink.set_up(zone) != Errno::ok) return "lo";
    if (netlink.add_address(zone, *Cidr::parse("fe80::9/64")) != Errno::ok) return "fe80::9";
    const IpAddress address = *IpAddress::parse("fe80::9");
    if (make(stack, Type::udp)->bind({address, 0}) == Errno::ok) return "without a zone";
    auto to = make(stack, Type::udp);
    if (to->bind({address, 0, zone}) != Errno::ok) return "with its zone";
    if (to->local()->scope != zone) return "the zone is lost";
    auto from = make(stack, Type::udp);
    // The kernel adds the route to a new address a moment later, from a queue of work.
    bool came = false;
    for (int i = 0; i < 100 && !came; i++) {
      if (!from->send_to(bytes_of("x"), *to->local(), 0)) return "send_to";
      came = wait_for(to, POLLIN, 50);
    }
    if (!came) return "nothing came";
    std::array<std::uint8_t, 1> buffer{};
    const auto got = to->receive(buffer, 0);
    if (!got || got->from.address != address || got->from.scope != zone) return "from";
    auto bound = make(stack, Type::udp);
    if (bound->set_option(Option::bind_interface, zone) != Errno::ok) return "bind_interface";
    if (*bound->option(Option::bind_interface) != zone) return "bind_interface is another";
    return bound->send_to(bytes_of("x"), {address, to->local()->port}, 0) ? "" : "no zone needed";
  });
}

TEST_CASE("a ping socket sends payloads and gets those of the replies") {
  test::check_in_network_namespace([]() -> std::string {
    test::write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
    auto stack = BsdStack::open_kernel();
    Rtnetlink netlink(BsdCalls::kernel());
    if (netlink.open() != Errno::ok) return "netlink";
    if (netlink.set_up(*stack->interface_index("lo")) != Errno::ok) return "lo does not come up";
    auto opened = stack->socket(Type::ping);
    // A container may forbid the setting; then the refusal is what there is to see.
    if (!opened) return opened.error() == Errno::access_denied ? "" : "socket";
    for (const char* host : {"127.0.0.1", "::1"}) {
      auto socket = *stack->socket(Type::ping);
      if (socket->readiness() != POLLOUT) return "not made, not ready";
      if (socket->set_option(Option::hop_limit, 9) != Errno::ok) return "hop limit";
      if (!socket->send_to(bytes_of("payload"), at(host), 0)) return std::string("send ") + host;
      if (*socket->option(Option::hop_limit) != 9) return "the hop limit is forgotten";
      if (!wait_for(socket, POLLIN)) return std::string("no reply from ") + host;
      std::array<std::uint8_t, 3> buffer{};
      const auto got = socket->receive(buffer, 0);
      if (!got || got->copied != 3 || got->size != 7) return std::string("reply from ") + host;
      if (got->from.address.to_string() != host) return "from " + got->from.to_string();
      if (socket->local()->port == 0) return "no identifier";
    }
    return "";
  });
}
