// SPDX-License-Identifier: MIT
// Shows what a process's stacks are doing to whoever may look: a socket that answers each client
// with one JSON document and closes.
//
// It is the pump that answers, so a program that is blocked in poll(2) or busy in JavaScript is
// seen too. The socket is in the abstract namespace (unix(7)): nothing is left behind when a
// process dies, and it is seen within its network namespace. Only the process's own user and root
// get an answer; the document has states, addresses and counters, and no byte of payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "host/json.hpp"
#include "host/pump.hpp"
#include "socket/table.hpp"

namespace vpollnet::host {

/// Something that can be looked at: a network, a switch. All calls come with the pump's lock held.
class Inspected {
 public:
  virtual ~Inspected() = default;
  /// Writes the fields of the object that stands for it, the sockets apart. Long lists are cut
  /// after kListed, with the number of what was left out.
  virtual void describe(JsonWriter& json) = 0;
  /// The sockets to list, a part at a time; null where there are none.
  virtual const socket::SocketTable* socket_table() = 0;

  static constexpr std::size_t kListed = 256;

 private:
  friend class Inspector;
  std::uint64_t inspection_id_ = 0;
};

/// One for each pump, which owns it. All calls come with the pump's lock held.
class Inspector final : private PumpMember {
 public:
  static constexpr std::size_t kMaxClients = 8;
  /// From a client's arrival to the end of its document; then it is dropped, however far it is.
  static constexpr Nanos kTimeLimit = 5 * kSecond;
  /// Sockets that are written between two looks at what else there is to do.
  static constexpr std::size_t kSocketsPerPart = 32;

  explicit Inspector(Pump& pump) : pump_(pump) {}
  ~Inspector() override;
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  /// From now on, answers at the abstract socket `name` while there is something to look at; at
  /// "NAME/2" and so on if that is taken. What prevents it (no descriptor left) is no error.
  void enable(std::string name, Nanos time_limit = kTimeLimit);
  /// Where it answers, or empty.
  const std::string& name() const { return served_name_; }

  void add(Inspected& inspected);
  /// With the last one, the socket and its clients' are closed.
  void remove(Inspected& inspected);

 private:
  struct Listener final : PumpSource {
    explicit Listener(Inspector& its_inspector) : inspector(its_inspector) {}
    void on_ready(std::uint32_t events) override;
    Inspector& inspector;
  };

  /// Somebody who looks, and how much of the document is written and sent.
  struct Client final : PumpSource {
    explicit Client(Inspector& its_inspector) : inspector(its_inspector) {}
    void on_ready(std::uint32_t events) override;

    Inspector& inspector;
    int fd = -1;
    Pump::SourceId watch = 0;
    Nanos until = 0;
    bool waits = false;  ///< for room in the socket
    bool gone = false;
    JsonWriter json;
    std::string unsent;
    std::size_t sent = 0;  ///< of `unsent`
    bool begun = false;
    bool finished = false;      ///< the document's end is written
    std::uint64_t shown = 0;    ///< whose object was begun last
    bool in_sockets = false;    ///< and its list of sockets is not finished
    socket::ListCursor cursor;  ///< in that list
  };

  bool run(Nanos now, int& budget) override;
  Nanos next_deadline() const override { return deadline_; }

  void open();
  void close();
  void accept_clients(Nanos now, int& budget);
  void listen_again(bool wanted);
  bool admit(int fd, Nanos now);
  /// True when nothing is left to do for this client now.
  bool serve(Client& client, int& budget);
  /// Writes the next part of the document.
  void write_part(Client& client, int& budget);
  /// False when the client has to be waited for.
  bool send_part(Client& client);
  void drop(Client& client);
  Inspected* next_after(std::uint64_t id) const;

  Pump& pump_;
  Listener listener_{*this};
  std::string name_;         ///< empty: not to be served
  std::string served_name_;  ///< empty: not served
  std::string program_;
  Nanos time_limit_ = kTimeLimit;
  int fd_ = -1;
  Pump::SourceId watch_ = 0;
  bool acceptable_ = false;  ///< somebody may be waiting to be let in
  bool watching_ = false;
  Nanos resume_at_ = kNever;  ///< when to try again after there was no descriptor
  Nanos deadline_ = kNever;
  std::uint64_t last_id_ = 0;
  std::vector<Inspected*> inspected_;  ///< in the order of their ids
  std::vector<std::unique_ptr<Client>> clients_;
};

/// A connection to an inspector, and who is at its other end as the kernel vouches: anybody may
/// take a name in the abstract namespace.
struct Dialled {
  int fd = -1;  ///< non-blocking; the caller closes it
  int pid = 0;
  unsigned uid = 0;
};
/// EAGAIN while too many others wait there; ECONNREFUSED when nobody is there any more.
Result<Dialled> dial_inspector(const std::string& name);

/// The name that the process's default pump answers at: "vpollnet/UID/PID".
std::string inspector_name();

}  // namespace vpollnet::host
