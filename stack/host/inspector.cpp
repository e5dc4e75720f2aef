// SPDX-License-Identifier: MIT
#include "host/inspector.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace vpollnet::host {
namespace {

/// Copies of this library in one process that can be told apart.
constexpr int kNames = 8;
constexpr Nanos kPauseWithoutDescriptors = kSecond;
/// What of the command line is looked at.
constexpr std::size_t kCommandLine = 4096;

/// unix(7): a name that begins with a null byte is an abstract one.
struct AbstractAddress {
  explicit AbstractAddress(std::string_view name) {
    name = name.substr(0, sizeof data.sun_path - 1);
    data.sun_family = AF_UNIX;
    std::memcpy(data.sun_path + 1, name.data(), name.size());
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&data); }

  sockaddr_un data{};
  socklen_t length;
};

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// The program's name as people know it: "node server.js", not the interpreter alone. No other
/// argument is told, as they may be secret.
std::string program_name() {
  std::string line(kCommandLine, '\0');
  const int fd = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  const ssize_t got = ::read(fd, line.data(), line.size());
  ::close(fd);
  line.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  const std::size_t first_end = std::min(line.find('\0'), line.size());
  std::string name(base_name(std::string_view(line).substr(0, first_end)));
  for (std::size_t at = first_end + 1; at < line.size();) {
    const std::size_t end = std::min(line.find('\0', at), line.size());
    const std::string_view argument = std::string_view(line).substr(at, end - at);
    // After an option may come its value, and that is nobody's business.
    if (argument.starts_with("--enable-") || argument.starts_with("--no-")) {
      at = end + 1;
      continue;
    }
    const std::string_view script = base_name(argument);
    if (!argument.starts_with('-') && script.find('.') != script.npos) {
      name += ' ';
      name += script;
    }
    break;
  }
  return name;
}

}  // namespace

Result<Dialled> dial_inspector(const std::string& name) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Errno(errno);
  const AbstractAddress address(name);
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::connect(fd, address.get(), address.length) != 0 ||
      ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    const int error = errno;
    ::close(fd);
    return Errno(error);
  }
  return Dialled{fd, peer.pid, peer.uid};
}

std::string inspector_name() {
  return "vpollnet/" + std::to_string(geteuid()) + '/' + std::to_string(getpid());
}

void Inspector::Listener::on_ready(std::uint32_t) {
  inspector.acceptable_ = true;
  inspector.pump_.touch(inspector);
}

void Inspector::Client::on_ready(std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) gone = true;
  waits = false;
  inspector.pump_.touch(inspector);
}

Inspector::~Inspector() { assert(fd_ < 0 && clients_.empty()); }

void Inspector::enable(std::string name, Nanos time_limit) {
  name_ = std::move(name);
  time_limit_ = time_limit;
  program_ = program_name();
  if (!inspected_.empty()) open();
}

void Inspector::add(Inspected& inspected) {
  inspected.inspection_id_ = ++last_id_;
  inspected_.push_back(&inspected);
  if (inspected_.size() == 1) open();
}

void Inspector::remove(Inspected& inspected) {
  if (std::erase(inspected_, &inspected) > 0 && inspected_.empty()) close();
}

void Inspector::open() {
  if (name_.empty() || fd_ >= 0) return;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  for (int number = 1; number <= kNames; number++) {
    const std::string name = number == 1 ? name_ : name_ + '/' + std::to_string(number);
    const AbstractAddress address(name);
    if (::bind(fd, address.get(), address.length) != 0) {
      if (errno == EADDRINUSE) continue;
      break;
    }
    if (::listen(fd, kMaxClients) != 0) break;
    const Result<Pump::SourceId> watch = pump_.watch(listener_, fd, EPOLLIN);
    if (!watch) break;
    fd_ = fd;
    watch_ = *watch;
    watching_ = true;
    served_name_ = name;
    return;
  }
  ::close(fd);
}

void Inspector::close() {
  for (const std::unique_ptr<Client>& client : clients_) drop(*client);
  clients_.clear();
  if (fd_ >= 0) {
    pump_.unwatch(watch_, fd_);
    ::close(fd_);
    fd_ = -1;
  }
  served_name_.clear();
  acceptable_ = false;
  resume_at_ = deadline_ = kNever;
  pump_.remove(*this);
}

bool Inspector::run(Nanos now, int& budget) {
  if (fd_ < 0) return true;
  if (now >= resume_at_) {
    resume_at_ = kNever;
    acceptable_ = true;
  }
  accept_clients(now, budget);
  bool all_done = true;
  deadline_ = resume_at_;
  for (const std::unique_ptr<Client>& client : clients_) {
    if (now >= client->until) client->gone = true;
    if (!client->gone) all_done &= serve(*client, budget);
    if (client->gone)
      drop(*client);
    else
      deadline_ = std::min(deadline_, client->until);
  }
  const bool was_full = clients_.size() == kMaxClients;
  std::erase_if(clients_, [](const auto& client) { return client->fd < 0; });
  // Those who waited outside come in with the next turn.
  if (was_full && clients_.size() < kMaxClients) acceptable_ = true;
  if (resume_at_ == kNever) listen_again(clients_.size() < kMaxClients);
  return all_done && (!acceptable_ || clients_.size() == kMaxClients);
}

void Inspector::listen_again(bool wanted) {
  if (wanted == watching_) return;
  watching_ = wanted;
  pump_.change(watch_, fd_, wanted ? std::uint32_t{EPOLLIN} : 0u);
}

void Inspector::accept_clients(Nanos now, int& budget) {
  while (acceptable_ && clients_.size() < kMaxClients && budget > 0) {
    budget--;
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      if (!admit(fd, now)) ::close(fd);
    } else if (errno == EAGAIN) {
      acceptable_ = false;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      // No descriptor for it: whoever waits would be reported again and again.
      acceptable_ = false;
      resume_at_ = now + kPauseWithoutDescriptors;
      listen_again(false);
    }
  }
}

bool Inspector::admit(int fd, Nanos now) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  if (peer.uid != 0 && peer.uid != geteuid()) return false;
  auto client = std::make_unique<Client>(*this);
  const Result<Pump::SourceId> watch = pump_.watch(*client, fd, 0);
  if (!watch) return false;
  client->fd = fd;
  client->watch = *watch;
  client->until = now + time_limit_;
  clients_.push_back(std::move(client));
  return true;
}

void Inspector::drop(Client& client) {
  pump_.unwatch(client.watch, client.fd);
  ::close(client.fd);
  client.fd = -1;
}

Inspected* Inspector::next_after(std::uint64_t id) const {
  const auto at = std::upper_bound(
      inspected_.begin(), inspected_.end(), id,
      [](std::uint64_t wanted, const Inspected* one) { return wanted < one->inspection_id_; });
  return at == inspected_.end() ? nullptr : *at;
}

bool Inspector::serve(Client& client, int& budget) {
  while (!client.waits) {
    if (client.sent < client.unsent.size()) {
      if (!send_part(client)) return true;
    } else if (client.finished) {
      client.gone = true;
      return true;
    } else if (budget <= 0) {
      return false;
    } else {
      write_part(client, budget);
      client.unsent = client.json.take();
      client.sent = 0;
    }
  }
  return true;
}

bool Inspector::send_part(Client& client) {
  const std::string_view rest = std::string_view(client.unsent).substr(client.sent);
  const ssize_t sent = ::send(client.fd, rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    client.sent += static_cast<std::size_t>(sent);
    if (client.sent == client.unsent.size()) pump_.change(client.watch, client.fd, 0);
    return true;
  }
  if (errno == EAGAIN) {
    client.waits = true;
    pump_.change(client.watch, client.fd, EPOLLOUT);
  } else if (errno != EINTR) {
    client.gone = true;
  }
  return false;
}

void Inspector::write_part(Client& client, int& budget) {
  JsonWriter& json = client.json;
  budget--;
  if (!client.begun) {
    client.begun = true;
    json.begin_object();
    json.field("pid", static_cast<std::uint64_t>(getpid()));
    json.field("program", program_);
    json.begin_array("stacks");
  }
  if (client.in_sockets) {
    Inspected* const shown = next_after(client.shown - 1);
    const bool present = shown != nullptr && shown->inspection_id_ == client.shown;
    std::vector<socket::SocketInfo> sockets;
    // A stack that was closed meanwhile has no more of them.
    const socket::SocketTable* const table = present ? shown->socket_table() : nullptr;
    const bool more = table != nullptr && table->list_part(client.cursor, kSocketsPerPart, sockets);
    budget -= static_cast<int>(sockets.size());
    for (const socket::SocketInfo& socket : sockets) {
      json.begin_object();
      json.field("type", socket::type_name(socket.type));
      json.field("state", socket.state);
      json.field("local", socket.local.to_string());
      json.field("remote",
                 socket.peer.address.family() == Family::none ? "" : socket.peer.to_string());
      json.field("receiveQueue", static_cast<std::uint64_t>(socket.receive_queue));
      json.field("sendQueue", static_cast<std::uint64_t>(socket.send_queue));
      json.end_object();
    }
    if (more) return;
    client.in_sockets = false;
    json.end_array();
    json.end_object();
    return;
  }
  Inspected* const next = next_after(client.shown);
  if (next == nullptr) {
    json.end_array();
    json.end_object();
    client.finished = true;
    return;
  }
  client.shown = next->inspection_id_;
  client.cursor = {};
  json.begin_object();
  json.field("id", client.shown);
  next->describe(json);
  client.in_sockets = next->socket_table() != nullptr;
  if (client.in_sockets)
    json.begin_array("sockets");
  else
    json.end_object();
}

}  // namespace vpollnet::host
