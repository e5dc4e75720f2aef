// SPDX-License-Identifier: MIT
// Both directions at once over a bad wire, byte for byte, in virtual time.
#include <cstdlib>

#include "stack/socket/tcp_net.hpp"

using namespace vpollnet;
using namespace vpollnet::socket;

namespace {

std::uint8_t byte_at(std::uint64_t position, std::uint64_t seed) {
  return static_cast<std::uint8_t>((position * 0x9e3779b97f4a7c15u + seed) >> 56);
}

/// Sends and reads one side of a connection.
struct Side {
  Socket* socket;
  std::uint64_t seed_out, seed_in, total;
  std::uint64_t sent = 0, received = 0;
  bool shut = false, ended = false, equal = true;

  void work(Nanos now) {
    std::uint8_t buffer[16384];
    while (sent < total && (socket->readiness() & kOut) != 0) {
      const std::size_t count = std::min<std::uint64_t>(sizeof buffer, total - sent);
      for (std::size_t i = 0; i < count; i++) buffer[i] = byte_at(sent + i, seed_out);
      const auto taken = socket->send(std::span(buffer).first(count), 0, now);
      if (!taken) break;
      sent += *taken;
    }
    if (sent == total && !shut) {
      shut = true;
      CHECK(socket->shutdown(Shutdown::write, now) == Errno::ok);
    }
    while (!ended && (socket->readiness() & kIn) != 0) {
      const auto got = socket->receive(buffer, 0, now);
      if (!got) {
        equal = equal && got.error() == Errno::again;
        break;
      }
      for (std::size_t i = 0; i < got->copied; i++)
        equal = equal && buffer[i] == byte_at(received + i, seed_in);
      received += got->copied;
      ended = got->copied == 0;
    }
  }
};

struct Result1 {
  double seconds;
  std::uint64_t resent, segments;
  int stalls;  ///< times when nothing arrived for as long as a retransmission timeout
};

Result1 transfer(std::uint64_t seed, const WireFaults& faults, std::uint64_t total,
                 bool segmentation = false, const char* address = "10.0.0.2",
                 const char* algorithm = "cubic") {
  TcpNet net(seed);
  net.a.segmentation = net.b.segmentation = segmentation;
  net.faults = faults;
  const auto [client, server] = net.connect(7000, address, [&](Socket& socket) {
    CHECK(socket.set_text_option(Option::congestion, algorithm, net.now) == Errno::ok);
  });
  const Nanos begin = net.now;
  Side a{client, seed, seed + 1, total};
  Side b{server, seed + 1, seed, total};
  std::uint64_t progress = 0;
  Nanos progress_at = net.now;
  int stalls = 0;
  const bool ended = net.run_until(
      [&] {
        a.work(net.now);
        b.work(net.now);
        if (a.received + b.received != progress) {
          if (net.now - progress_at >= 200 * kMillisecond) stalls++;
          progress_at = net.now;
          progress = a.received + b.received;
        }
        return a.ended && b.ended;
      },
      4000 * kSecond);
  CHECK(ended);
  CHECK(a.equal);
  CHECK(b.equal);
  CHECK(a.received == total);
  CHECK(b.received == total);
  const Result1 result{static_cast<double>(net.now - begin) / kSecond,
                       net.a.counters().tcp_retransmits + net.b.counters().tcp_retransmits,
                       net.segments, stalls};
  if (std::getenv("VPOLLNET_TEST_FIGURES") != nullptr) {
    MESSAGE("seed " << seed << " loss " << faults.loss << " jitter " << faults.jitter / kMillisecond
                    << " ms: " << result.seconds << " s, " << result.resent << " of "
                    << result.segments << " sent again, " << result.stalls << " stalls");
  }
  return result;
}

}  // namespace

TEST_CASE("a good wire: 4 MB each way take no more time than the wire needs") {
  const Result1 plain = transfer(1, {}, 4'000'000);
  CHECK(plain.resent == 0);
  CHECK(plain.seconds < 0.5);
  CHECK(transfer(2, {}, 4'000'000, true).resent == 0);
  CHECK(transfer(3, {}, 4'000'000, false, "fd00::2").resent == 0);
}

TEST_CASE("a narrow wire is filled: 4 MB each way at 10 Mbit/s") {
  const Result1 result = transfer(1, {.delay = 20 * kMillisecond, .rate = 1'250'000}, 4'000'000);
  CHECK(result.seconds < 3.3 * 1.3);
}

TEST_CASE("24 seeds of loss, reordering, copies and bit errors, byte for byte, both ways at once") {
  for (std::uint64_t seed = 1; seed <= 24; seed++) {
    CAPTURE(seed);
    WireFaults faults;
    faults.loss = 10 + 90 * static_cast<unsigned>(seed % 4) / 3;  // 1% to 10%
    faults.jitter = seed % 3 == 0 ? 0 : static_cast<Nanos>(seed % 3) * 3 * kMillisecond;
    faults.duplication = seed % 2 == 0 ? 20 : 0;
    faults.corruption = seed % 5 == 0 ? 10 : 0;
    for (const char* algorithm : {"cubic", "newreno"}) {
      CAPTURE(algorithm);
      const Result1 result =
          transfer(seed, faults, 1'000'000, seed % 4 == 1, "10.0.0.2", algorithm);
      // 10% loss on a round trip of 10 ms: the Mathis formula gives about 0.5 MB/s, and timeouts,
      // which double, take most of the rest.
      CHECK(result.seconds < (faults.loss > 50 ? 20 : 4));
      CHECK(result.stalls <= (faults.loss > 50 ? 20 : faults.loss > 10 ? 4 : 0));
    }
  }
}
