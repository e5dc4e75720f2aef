// SPDX-License-Identifier: MIT
// One connection on a bench: the test plays the peer, the user and the clock.
//
// Segments are short lines, with sequence numbers counted from the SYN of whoever sent it:
//
//     S 0            flags (S F R P U A), sequence number
//     PA 1+100 ack 1 100 bytes of text, and the acknowledgment
//     A 1 ack 101 win 500 sack 201-301,401-501 urg 3 ts 7/9 mss 1000 ws 7 sackok
//
// in() takes such a line from the peer, out() gives the next one that the connection sends, "-" if
// none; all() all of them, with " | " between; run() lets time pass and puts milliseconds before
// each: "200 PA 1+100 ack 1".
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tcp/connection.hpp"

namespace vpollnet::tcp {

class Bench {
 public:
  Settings settings;
  Connection::Start start;
  std::uint32_t irs = 0x50000000;  ///< the peer's initial sequence number
  std::string peer_options = "mss 1460";
  bool show_window = false;
  bool show_timestamps = false;
  std::size_t memory = 64 << 20;
  Nanos now = 1000 * kSecond;

  BlockPool pool;
  Counters counters;
  std::unique_ptr<Budget> budget;
  std::unique_ptr<Connection> connection;

  Bench() { start.initial_sequence = 0x10000000; }
  ~Bench() {
    connection.reset();
    if (budget) CHECK(budget->used() == 0);
    CHECK(pool.live() == 0);
  }

  Connection& operator*() { return *connection; }
  Connection* operator->() { return connection.get(); }

  void make() {
    budget = std::make_unique<Budget>(memory);
    connection = std::make_unique<Connection>(Resources{pool, *budget, counters}, settings);
  }
  Bench& connect() {
    make();
    connection->connect(start, now);
    return *this;
  }
  /// ESTABLISHED by an active open, both SYNs with `peer_options`.
  Bench& establish(std::uint32_t window = 65535) {
    connect();
    (void)out();
    in("SA 0 ack 1 win " + std::to_string(window) + " " + peer_options);
    (void)all();
    REQUIRE(connection->state() == State::established);
    return *this;
  }
  /// A listener got a SYN with `peer_options`.
  Bench& listen() {
    make();
    connection->accept(start, parse("S 0 " + peer_options).header, now);
    return *this;
  }

  // The peer.
  Answer in(const std::string& line) {
    const Answer answer = connection->on_segment(parse(line), now);
    return answer;
  }
  /// in() and then all().
  std::string exchange(const std::string& line) {
    in(line);
    return all();
  }
  /// The text of a byte at `position` in the peer's stream.
  static std::uint8_t text(std::uint64_t position) {
    return static_cast<std::uint8_t>(position * 7 + position / 251);
  }
  std::uint8_t salt = 0;  ///< added to the peer's text: other bytes for the same positions

  Segment parse(const std::string& line) {
    std::istringstream words(line);
    Segment segment;
    wire::TcpHeader& header = segment.header;
    std::string word;
    words >> word;
    for (const char flag : word) header.flags |= flag_of(flag);
    std::uint64_t sequence = 0;
    words >> sequence;
    if (words.peek() == '+') words.ignore() >> segment.length;
    header.sequence = irs + static_cast<std::uint32_t>(sequence);
    header.window = 65535;
    while (words >> word) {
      if (word == "ack") {
        header.acknowledgment = start.initial_sequence + number(words);
        header.flags |= wire::kAck;
      } else if (word == "win") {
        header.window = static_cast<std::uint16_t>(number(words));
      } else if (word == "urg") {
        header.urgent = static_cast<std::uint16_t>(number(words));
        header.flags |= wire::kUrg;
      } else if (word == "mss") {
        header.mss = static_cast<std::uint16_t>(number(words));
      } else if (word == "ws") {
        header.window_scale = static_cast<std::uint8_t>(number(words));
      } else if (word == "sackok") {
        header.sack_permitted = true;
      } else if (word == "gso") {
        segment.gso_size = static_cast<std::uint16_t>(number(words));
      } else if (word == "ts") {
        const std::uint32_t value = number(words);
        words.ignore();
        header.timestamps = wire::TcpTimestamps{value, number(words)};
      } else if (word == "sack") {
        do {
          const std::uint32_t begin = number(words);
          words.ignore();
          header.sack[header.sack_count++] = {start.initial_sequence + begin,
                                              start.initial_sequence + number(words)};
        } while (words.peek() == ',' && words.ignore());
      } else {
        FAIL("what is " << word);
      }
    }
    if (segment.length > 0) {
      std::vector<std::uint8_t> bytes(segment.length);
      for (std::size_t i = 0; i < bytes.size(); i++)
        bytes[i] = static_cast<std::uint8_t>(text(sequence + i) + salt);
      // In a block as a device fills it: larger than what is in it.
      Slice slice = pool.allocate(std::max(2048u, segment.length));
      std::copy(bytes.begin(), bytes.end(), slice.block()->data());
      slice.block()->filled = segment.length;
      slice.extend(segment.length);
      segment.payload.push_back(std::move(slice));
    }
    return segment;
  }

  // What the connection sends.
  std::string out() {
    std::optional<Outgoing> next = connection->next_segment(now);
    if (!next) return "-";
    last = next->header;
    last_gso = next->packet.gso_size;
    check_text(*next);
    return format(*next);
  }
  std::string all() {
    std::string lines;
    for (int i = 0; i < 10'000; i++) {
      const std::string line = out();
      if (line == "-") return lines.empty() ? line : lines;
      lines += (lines.empty() ? "" : " | ") + line;
    }
    FAIL("it never stops sending");
    return lines;
  }
  wire::TcpHeader last;
  std::uint16_t last_gso = 0;

  /// Lets `span` pass; what is sent, with the milliseconds since the call.
  std::string run(Nanos span) {
    const Nanos begin = now;
    const Nanos end = now + span;
    std::string lines;
    for (int i = 0; i < 100'000; i++) {
      const Nanos next = connection->deadline();
      if (next > end) {
        now = end;
        return lines.empty() ? "-" : lines;
      }
      now = std::max(now, next);
      connection->on_deadline(now);
      for (std::string line = out(); line != "-"; line = out()) {
        lines += (lines.empty() ? "" : " | ") + std::to_string((now - begin) / kMillisecond) + " " +
                 line;
      }
    }
    FAIL("its timers never rest");
    return lines;
  }

  // The user.
  std::size_t send(std::size_t count, bool urgent = false, bool more = false) {
    std::vector<std::uint8_t> bytes(count);
    for (std::size_t i = 0; i < count; i++) bytes[i] = text(sent_ + 1 + i);
    const Result<std::size_t> taken = connection->send(bytes, urgent, more, now);
    if (!taken) return 0;
    sent_ += *taken;
    return *taken;
  }
  Errno send_error() {
    const std::uint8_t byte = 0;
    return connection->send({&byte, 1}, false, false, now).error();
  }
  /// Reads what is there, up to `count` bytes, checks it against the peer's stream, and says how
  /// much.
  std::size_t read(std::size_t count = 1 << 20) {
    std::vector<std::uint8_t> buffer(count);
    const Result<std::size_t> copied = connection->receive(buffer, false);
    if (!copied) return 0;
    bool equal = true;
    for (std::size_t i = 0; i < *copied; i++) equal = equal && buffer[i] == text(read_ + 1 + i);
    CHECK(equal);
    read_ += *copied;
    return *copied;
  }
  Errno read_error() {
    std::uint8_t byte = 0;
    return connection->receive({&byte, 1}, true).error();
  }
  void skip_read(std::size_t count) { read_ += count; }
  void apply(const Settings& changed) { connection->configure(changed, now); }
  std::uint64_t dropped(Drop reason) const { return counters.dropped(reason); }

 private:
  static std::uint8_t flag_of(char flag) {
    switch (flag) {
    case 'S': return wire::kSyn;
    case 'F': return wire::kFin;
    case 'R': return wire::kRst;
    case 'P': return wire::kPsh;
    case 'U': return wire::kUrg;
    case 'A': return wire::kAck;
    default: return 0;
    }
  }
  static std::uint32_t number(std::istringstream& words) {
    std::int64_t value = 0;
    words >> value;
    return static_cast<std::uint32_t>(value);
  }
  std::string format(const Outgoing& segment) const {
    const wire::TcpHeader& header = segment.header;
    std::ostringstream line;
    for (const char flag : std::string("SFRPA")) {
      if ((header.flags & flag_of(flag)) != 0) line << flag;
    }
    line << ' ' << static_cast<std::int32_t>(header.sequence - start.initial_sequence);
    if (segment.packet.size() > 0) line << '+' << segment.packet.size();
    if (header.has(wire::kAck))
      line << " ack " << static_cast<std::int32_t>(header.acknowledgment - irs);
    if (show_window) line << " win " << header.window;
    if (header.has(wire::kUrg)) line << " urg " << header.urgent;
    if (header.mss) line << " mss " << *header.mss;
    if (header.window_scale) line << " ws " << int{*header.window_scale};
    if (header.sack_permitted) line << " sackok";
    if (header.timestamps) {
      if (show_timestamps) {
        line << " ts " << header.timestamps->value << '/' << header.timestamps->echo;
      } else if (header.has(wire::kSyn)) {
        line << " ts";
      }
    }
    for (std::uint8_t i = 0; i < header.sack_count; i++) {
      line << (i == 0 ? " sack " : ",") << header.sack[i].begin - irs << '-'
           << header.sack[i].end - irs;
    }
    if (segment.packet.gso_size != 0) line << " gso " << segment.packet.gso_size;
    return line.str();
  }
  void check_text(const Outgoing& segment) const {
    const std::uint32_t begin = segment.header.sequence - start.initial_sequence;
    std::vector<std::uint8_t> bytes(segment.packet.size());
    segment.packet.copy_out(0, bytes);
    bool equal = true;
    for (std::size_t i = 0; i < bytes.size(); i++) equal = equal && bytes[i] == text(begin + i);
    CHECK(equal);
  }

  std::uint64_t sent_ = 0;
  std::uint64_t read_ = 0;
};

}  // namespace vpollnet::tcp
