// SPDX-License-Identifier: MIT
// What a process shows of its stacks, and that nobody who looks can hold it up.
#include "host/inspector.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "host/network.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using test::back_to;
using test::bytes_of;
using test::eventually;
using test::Holdings;

namespace {

/// A name that no other test and no other run has.
std::string fresh_name() {
  static int number = 0;
  return "vpollnet-test/" + std::to_string(getpid()) + '/' + std::to_string(number++);
}

std::shared_ptr<Pump> pump_at(const std::string& name, Nanos time_limit = Inspector::kTimeLimit) {
  auto pump = Pump::create();
  Pump::Hold hold(*pump);
  pump->inspector().enable(name, time_limit);
  return pump;
}

std::string served_at(Pump& pump) {
  Pump::Hold hold(pump);
  return pump.inspector().name();
}

/// A connected descriptor, or -1.
int dial(const std::string& name) {
  Result<Dialled> dialled = dial_inspector(name);
  eventually([&] {
    if (!dialled && dialled.error() == Errno::again) dialled = dial_inspector(name);
    return dialled || dialled.error() != Errno::again;
  });
  if (!dialled) return -1;
  CHECK(dialled->pid == getpid());
  CHECK(dialled->uid == geteuid());
  return dialled->fd;
}

/// All that comes until the other end closes, or nothing has come for twenty seconds.
std::string read_all(int fd) {
  std::string text;
  std::vector<char> buffer(65536);
  for (;;) {
    pollfd file{fd, POLLIN, 0};
    if (::poll(&file, 1, 20'000) != 1) return text + " (and then silence)";
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::string ask(const std::string& name) {
  const int fd = dial(name);
  if (fd < 0) return "";
  const std::string text = read_all(fd);
  ::close(fd);
  return text;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) found++;
  return found;
}

bool contains(const std::string& text, const std::string& part) { return count(text, part) > 0; }

/// Whether every bracket outside of strings has its partner, up to the last one.
bool is_whole(const std::string& text) {
  std::string open;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      open += c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != c) return false;
      open.pop_back();
      if (open.empty()) return i + 1 == text.size();
    }
  }
  return false;
}

std::shared_ptr<SocketHandle> udp(const std::shared_ptr<Network>& network) {
  auto socket = network->socket(socket::Type::udp);
  REQUIRE(socket);
  return *socket;
}

std::vector<std::shared_ptr<SocketHandle>> many(const std::shared_ptr<Network>& network,
                                                std::uint16_t number, socket::Type type) {
  std::vector<std::shared_ptr<SocketHandle>> all;
  for (std::uint16_t i = 0; i < number; i++) {
    auto socket = network->socket(type);
    REQUIRE(socket);
    REQUIRE((*socket)->bind({*IpAddress::parse("127.0.0.1"), static_cast<std::uint16_t>(1000 + i),
                             kAnyInterface}) == Errno::ok);
    all.push_back(*socket);
  }
  return all;
}

}  // namespace

TEST_CASE("whoever asks is told of the process, its stacks and their sockets, and no payload") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump, 1u << 20, "left");
  auto other = Network::open(pump, 2u << 20, "right");
  LinkSpec spec;
  spec.url = "cable:inspected";
  spec.addresses = {*Cidr::parse("10.0.0.1/24")};
  spec.dad_transmits = 0;
  InterfaceId id = 0;
  REQUIRE_FALSE(network->add_link(spec, id));
  auto server = udp(network);
  REQUIRE(server->bind({*IpAddress::parse("127.0.0.1"), 53, kAnyInterface}) == Errno::ok);
  REQUIRE(server->send_to(bytes_of("secret-payload"),
                          {*IpAddress::parse("127.0.0.1"), 53, kAnyInterface}, 0));

  const std::string text = ask(name);
  CHECK_MESSAGE(is_whole(text), text);
  CHECK(contains(text, "{\"pid\":" + std::to_string(getpid()) + ",\"program\":\"test_host\""));
  CHECK(contains(text, "\"kind\":\"stack\",\"name\":\"left\""));
  CHECK(contains(text, "\"name\":\"right\""));
  CHECK(contains(text, "\"url\":\"cable:inspected\",\"errno\":0,\"framesIn\":"));
  CHECK(contains(text, "\"address\":\"10.0.0.1/24\",\"state\":\"preferred\""));
  CHECK(contains(text, "{\"type\":\"udp\",\"state\":\"OPEN\",\"local\":\"127.0.0.1:53\","
                       "\"remote\":\"\",\"receiveQueue\":14,\"sendQueue\":0}"));
  CHECK(contains(text, "\"memoryLimit\":2097152"));
  CHECK_FALSE(contains(text, "secret-payload"));
}

TEST_CASE("names of any bytes make a document that can be read") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network =
      Network::open(pump, 1u << 20, "a\"b\\c\n\x1b[31m\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80");
  const std::string text = ask(name);
  CHECK(is_whole(text));
  CHECK_MESSAGE(contains(text, "\"name\":\"a\\\"b\\\\c\\u000a\\u001b[31m\\ufffd\xc3\xa9"
                               "\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80\""),
                text);
}

TEST_CASE("thousands of sockets are listed, each once, and in parts") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump);
  const auto datagrams = many(network, 3000, socket::Type::udp);
  const auto streams = many(network, 3000, socket::Type::tcp);
  const std::string text = ask(name);
  CHECK(is_whole(text));
  CHECK(count(text, "{\"type\":\"udp\"") == 3000);
  CHECK(count(text, "{\"type\":\"tcp\"") == 3000);
  std::set<std::string> lines;
  for (std::size_t at = text.find("{\"type\""); at != text.npos;
       at = text.find("{\"type\"", at + 1)) {
    lines.insert(text.substr(at, text.find('}', at) - at));
  }
  CHECK(lines.size() == 6000);
}

TEST_CASE("a stack that is closed in the middle of its listing leaves the document whole") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto lasting = Network::open(pump, 1u << 20, "lasting");
  auto network = Network::open(pump);
  auto after = Network::open(pump, 1u << 20, "after");
  const auto sockets = many(network, 6000, socket::Type::udp);
  // More than the socket's buffer takes: the listing waits for this reader.
  const int fd = dial(name);
  REQUIRE(fd >= 0);
  pollfd file{fd, POLLIN, 0};
  REQUIRE(::poll(&file, 1, 5000) == 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  network->close();
  const std::string text = read_all(fd);
  ::close(fd);
  CHECK(is_whole(text));
  CHECK(count(text, "{\"type\":\"udp\"") < 6000);
  CHECK(contains(text, "\"name\":\"after\""));
}

TEST_CASE("a client that does not read holds nobody up, and is dropped after the time limit") {
  const std::string name = fresh_name();
  // Time enough for the client that reads, also under a sanitizer on a machine at work.
  auto pump = pump_at(name, 4 * kSecond);
  auto network = Network::open(pump);
  const auto sockets = many(network, 6000, socket::Type::udp);
  const Holdings before;
  const int silent = dial(name);
  REQUIRE(silent >= 0);
  CHECK(is_whole(ask(name)));
  REQUIRE(
      sockets[0]->send_to(bytes_of("x"), {*IpAddress::parse("127.0.0.1"), 1001, kAnyInterface}, 0));
  CHECK((sockets[1]->readiness() & socket::kIn) != 0);
  // The descriptor on the far side is gone; ours is left.
  CHECK(eventually([&] { return Holdings().descriptors == before.descriptors + 1; }));
  CHECK_FALSE(is_whole(read_all(silent)));
  ::close(silent);
}

TEST_CASE("clients beyond the limit wait for their turn") {
  const std::string name = fresh_name();
  auto pump = pump_at(name, 60 * kSecond);
  auto network = Network::open(pump);
  const auto sockets = many(network, 6000, socket::Type::udp);
  std::vector<int> clients;
  for (std::size_t i = 0; i < Inspector::kMaxClients + 4; i++) {
    clients.push_back(dial(name));
    REQUIRE(clients.back() >= 0);
  }
  for (const int fd : clients) {
    CHECK(is_whole(read_all(fd)));
    ::close(fd);
  }
}

TEST_CASE("clients that leave at once leave nothing behind") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump);
  const Holdings before;
  for (int i = 0; i < 100; i++) {
    const int fd = dial(name);
    REQUIRE(fd >= 0);
    ::close(fd);
  }
  CHECK(back_to(before));
  CHECK(is_whole(ask(name)));
}

TEST_CASE("the endpoint is there from the first network to the last") {
  const Holdings before;
  const std::string name = fresh_name();
  {
    auto pump = pump_at(name);
    CHECK(dial(name) == -1);
    auto one = Network::open(pump);
    auto two = Network::open(pump);
    CHECK(served_at(*pump) == name);
    one->close();
    CHECK(is_whole(ask(name)));
    const int client = dial(name);
    two->close();
    CHECK(dial(name) == -1);
    CHECK(served_at(*pump).empty());
    ::close(client);
    auto three = Network::open(pump);
    CHECK(is_whole(ask(name)));
  }
  CHECK(dial(name) == -1);
  CHECK(back_to(before));
}

TEST_CASE("a name that is taken is given a number") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump);
  auto second = pump_at(name);
  auto other = Network::open(second, 1u << 20, "other copy");
  CHECK(served_at(*second) == name + "/2");
  CHECK(contains(ask(name + "/2"), "other copy"));
}

TEST_CASE("without a descriptor for the endpoint a network opens all the same") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  auto network = Network::open(pump);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(network->socket(socket::Type::udp));
  CHECK(served_at(*pump).empty());
}

TEST_CASE("without a descriptor for a client the endpoint tries again later, and rests till then") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump);
  const int fd = dial(name);
  REQUIRE(fd >= 0);
  CHECK(is_whole(read_all(fd)));
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const int connected = ::connect(socket, reinterpret_cast<const sockaddr*>(&address), length);
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  rusage after{};
  getrusage(RUSAGE_SELF, &after);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  REQUIRE(connected == 0);
  // A loop that never rests would switch or burn its way through all of it.
  CHECK(after.ru_utime.tv_sec * 1'000'000 + after.ru_utime.tv_usec -
            before.ru_utime.tv_sec * 1'000'000 - before.ru_utime.tv_usec <
        50'000);
  CHECK(is_whole(read_all(socket)));
  ::close(socket);
  ::close(fd);
}

TEST_CASE("another user is told nothing") {
  const std::string name = fresh_name();
  auto pump = pump_at(name);
  auto network = Network::open(pump);
  const pid_t child = fork();
  if (child == 0) {
    // Between fork and _exit system calls only: the other threads are not here.
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const Result<Dialled> dialled = dial_inspector(name);
    if (!dialled) _exit(3);
    pollfd file{dialled->fd, POLLIN, 0};
    char byte = 0;
    _exit(::poll(&file, 1, 5000) != 1 ? 4 : ::read(dialled->fd, &byte, 1) > 0 ? 1 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WEXITSTATUS(status) == 2) {
    MESSAGE("[skip] only root can be somebody else");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the default pump answers under the user's and the process's number") {
  auto network = Network::open(default_pump(), 1u << 20, "default");
  const std::string name = served_at(*default_pump());
  CHECK(name == inspector_name());
  CHECK(name == "vpollnet/" + std::to_string(geteuid()) + '/' + std::to_string(getpid()));
  CHECK(contains(ask(name), "\"name\":\"default\""));
}
