// SPDX-License-Identifier: MIT
// Congestion and loss with NewReno (RFC 5681, RFC 6582, RFC 6675, RFC 6928, RFC 2018).
#include "stack/tcp/bench.hpp"

using namespace vpollnet;
using namespace vpollnet::tcp;

namespace {

/// Ten segments of 1000 bytes are under way.
struct Flight : Bench {
  explicit Flight(const std::string& options = "mss 1000", std::size_t queued = 20'000) {
    peer_options = options;
    settings.congestion = Algorithm::newreno;
    establish();
    send(queued);
    all();
    REQUIRE(connection->info().in_flight == 10'000);
  }
  std::uint64_t cwnd() const { return connection->info().cwnd; }
  std::uint64_t ssthresh() const { return connection->info().ssthresh; }
};

}  // namespace

TEST_CASE("the initial window is that of RFC 6928 2") {
  for (const auto& [mss, window] :
       {std::pair{500, 5000}, {1000, 10'000}, {1460, 14'600}, {4000, 14'600}, {9000, 18'000}}) {
    Bench b;
    b.start.path_mss = 9000;
    b.peer_options = "mss " + std::to_string(mss);
    b.establish();
    CHECK(b->info().cwnd == static_cast<std::uint64_t>(window));
  }
}

TEST_CASE("slow start grows by what was acknowledged (RFC 5681 3.1, RFC 3465)") {
  Flight b;
  CHECK(b.exchange("A 1 ack 2001") ==
        "A 10001+1000 ack 1 | A 11001+1000 ack 1 | A 12001+1000 ack 1 | A 13001+1000 ack 1");
  CHECK(b.cwnd() == 12'000);
}

TEST_CASE("[T19] an ACK divided into many buys nothing (RFC 3465)") {
  Flight b;
  for (int at = 2; at <= 1001; at++) b.exchange("A 1 ack " + std::to_string(at));
  CHECK(b.cwnd() == 11'000);
}

TEST_CASE("congestion avoidance grows by one segment a window (RFC 5681 3.1)") {
  Flight b;
  b.in("A 1 ack 1001");
  for (int i = 0; i < 3; i++) b.exchange("A 1 ack 1001");  // a loss: ssthresh is half of the flight
  const std::uint64_t threshold = b.ssthresh();
  b.in("A 1 ack 14001");
  CHECK(b.cwnd() == threshold);
  std::uint64_t acked = 14'001;
  b.send(200'000);
  b.all();
  for (std::uint64_t bytes = 0; bytes < threshold; bytes += 1000) {
    acked += 1000;
    b.exchange("A 1 ack " + std::to_string(acked));
  }
  CHECK(b.cwnd() == threshold + 1000);
}

TEST_CASE("a window that is not used does not grow (RFC 7661)") {
  Bench b;
  b.peer_options = "mss 1000";
  b.establish();
  for (int i = 0; i < 100; i++) {
    b.send(1000);
    b.all();
    b.in("A 1 ack " + std::to_string(1001 + 1000 * i));
  }
  CHECK(b->info().cwnd == 10'000);
}

TEST_CASE("after a pause the window is the initial one again (RFC 5681 4.1)") {
  Flight b("mss 1000", 10'000);
  b.in("A 1 ack 10001");
  CHECK(b.cwnd() == 20'000);
  b.now += 10 * kSecond;
  b.send(100);
  CHECK(b.cwnd() == 10'000);
  b.all();
}

TEST_CASE("three duplicate ACKs bring fast retransmit, the first two a new segment each (RFC 5681 "
          "3.2, RFC 3042)") {
  Flight b;
  CHECK(b.exchange("A 1 ack 1") == "A 10001+1000 ack 1");
  CHECK(b.exchange("A 1 ack 1") == "A 11001+1000 ack 1");
  CHECK(b.exchange("A 1 ack 1") == "A 1+1000 ack 1");
  CHECK(b.ssthresh() == 6000);
  // Further duplicates let new segments out as the network empties.
  std::string sent;
  for (int i = 0; i < 8; i++) {
    const std::string line = b.exchange("A 1 ack 1");
    if (line != "-") sent += line + "; ";
  }
  CHECK(sent == "A 12001+1000 ack 1; A 13001+1000 ack 1; A 14001+1000 ack 1; A 15001+1000 ack 1; A "
                "16001+1000 ack 1; ");
  b.in("A 1 ack 12001");
  CHECK(b.cwnd() == 6000);
}

TEST_CASE("what has text, another window, or a FIN is no duplicate ACK (RFC 5681 2)") {
  Flight b;
  b.exchange("A 1 ack 1 win 50000");
  b.exchange("A 1 ack 1 win 51000");
  b.exchange("A 1 ack 1 win 52000");
  b.exchange("A 1+1 ack 1 win 52000");
  b.exchange("A 2+1 ack 1 win 52000");
  b.exchange("A 3+1 ack 1 win 52000");
  b.exchange("FA 4 ack 1 win 52000");
  CHECK(b.ssthresh() == UINT64_MAX);
}

TEST_CASE("NewReno: a partial ACK names the next lost segment, and the window is cut once (RFC "
          "6582 3.2)") {
  Flight b;  // 1, 3 and 5 are lost
  for (int i = 0; i < 3; i++) b.exchange("A 1 ack 1");
  const std::uint64_t threshold = b.ssthresh();
  CHECK(b.exchange("A 1 ack 2001").find("A 2001+1000 ack 1") == 0);
  CHECK(b.exchange("A 1 ack 4001").find("A 4001+1000 ack 1") == 0);
  CHECK(b.ssthresh() == threshold);
  b.exchange("A 1 ack 12001");
  CHECK(b.ssthresh() == threshold);
  CHECK(b.cwnd() == threshold);
}

TEST_CASE("duplicate ACKs for what a recovery sent needlessly do not start another one (RFC 6582 "
          "3.2, 4.1)") {
  Flight b;
  b.run(b->info().rto);  // a timeout: everything counts as lost
  b.exchange("A 1 ack 10001");
  const std::uint64_t threshold = b.ssthresh();
  for (int i = 0; i < 10; i++) b.exchange("A 1 ack 10001");
  CHECK(b.ssthresh() == threshold);
}

TEST_CASE("a timeout: one segment, slow start from there, and half of the flight as threshold (RFC "
          "5681 3.1)") {
  Flight b;
  CHECK(b.run(b->info().rto) == "200 A 1+1000 ack 1");
  CHECK(b.cwnd() == 1000);
  CHECK(b.ssthresh() == 5000);
  CHECK(b.exchange("A 1 ack 1001") == "A 1001+1000 ack 1 | A 2001+1000 ack 1");
  CHECK(b.exchange("A 1 ack 3001") ==
        "A 3001+1000 ack 1 | A 4001+1000 ack 1 | A 5001+1000 ack 1 | A 6001+1000 ack 1");
  b.run(401 * kMillisecond);
  CHECK(b.cwnd() == 1000);
}

TEST_CASE("a second timeout of the same flight leaves the threshold alone (RFC 5681 3.1)") {
  Flight b;
  b.run(300 * kMillisecond);
  CHECK(b.ssthresh() == 5000);
  b.exchange("A 1 ack 4001");
  b.run(10 * kSecond);
  CHECK(b.ssthresh() == 5000);
}

TEST_CASE("SACK: exactly what is missing goes out again (RFC 6675 5)") {
  Flight b("mss 1000 sackok");  // the 2nd and 4th are lost
  b.exchange("A 1 ack 1001");
  b.exchange("A 1 ack 1001 sack 2001-3001");
  b.exchange("A 1 ack 1001 sack 4001-5001,2001-3001");
  CHECK(b.exchange("A 1 ack 1001 sack 4001-6001,2001-3001") == "A 1001+1000 ack 1");
  std::string sent;
  for (int end = 7001; end <= 12'001; end += 1000) {
    const std::string line =
        b.exchange("A 1 ack 1001 sack 4001-" + std::to_string(end) + ",2001-3001");
    if (line != "-") sent += line + "; ";
  }
  CHECK(sent.find("A 3001+1000 ack 1; ") == 0);
  CHECK(sent.find("A 1001+") == std::string::npos);
  CHECK(sent.find("A 5001+") == std::string::npos);
  const std::uint64_t threshold = b.ssthresh();
  b.exchange("A 1 ack 3001 sack 4001-12001");
  b.exchange("A 1 ack 12001");
  CHECK(b.ssthresh() == threshold);
  CHECK(b.cwnd() == threshold);
}

TEST_CASE("SACK: more than two segments above a hole are a loss without three duplicate ACKs (RFC "
          "6675 4, IsLost)") {
  Flight b("mss 1000 sackok");
  CHECK(b.exchange("A 1 ack 1 sack 1001-2001").find("A 1+") == std::string::npos);
  CHECK(b.exchange("A 1 ack 1 sack 1001-5001").find("A 1+1000 ack 1") == 0);
}

TEST_CASE("SACK: duplicates that report nothing new do not count (RFC 6675 2)") {
  Flight b("mss 1000 sackok");
  for (int i = 0; i < 10; i++) b.exchange("A 1 ack 1 sack 1001-2001");
  CHECK(b.ssthresh() == UINT64_MAX);
  for (int i = 0; i < 10; i++) b.exchange("A 1 ack 1");
  CHECK(b.ssthresh() == UINT64_MAX);
}

TEST_CASE("SACK: a retransmission that is lost goes out again without a timeout, and cuts again "
          "(RFC 5681 4.3)") {
  Flight b("mss 1000 sackok", 100'000);
  CHECK(b.exchange("A 1 ack 1 sack 1001-5001").find("A 1+1000 ack 1") == 0);
  const std::uint64_t threshold = b.ssthresh();
  const std::uint64_t mark = 1 + b->info().in_flight;
  std::string sent;
  for (std::uint64_t end = 6001; end <= mark + 2000; end += 1000) {
    sent += b.exchange("A 1 ack 1 sack 1001-" + std::to_string(end)) + "; ";
  }
  CHECK(sent.find("A 1+1000") == std::string::npos);
  // The third segment that was sent after the retransmission has arrived.
  CHECK(b.exchange("A 1 ack 1 sack 1001-" + std::to_string(mark + 3000)).find("A 1+1000 ack 1") ==
        0);
  CHECK(b.ssthresh() == threshold / 2);
}

TEST_CASE("SACK: with nothing new to send, what may be lost goes out (RFC 6675 4, NextSeg rules 3 "
          "and 4)") {
  Flight b("mss 1000 sackok", 10'000);  // the 1st, 7th and 10th are lost
  CHECK(b.exchange("A 1 ack 1 sack 1001-5001") == "A 1+1000 ack 1");
  b.exchange("A 1 ack 1 sack 1001-6001");
  std::string sent = b.exchange("A 1 ack 1 sack 7001-8001,1001-6001");
  sent += "; " + b.exchange("A 1 ack 1 sack 7001-9001,1001-6001");
  CHECK(sent.find("A 6001+1000 ack 1") != std::string::npos);
  CHECK(sent.find("PA 9001+1000 ack 1") != std::string::npos);
}

TEST_CASE("[T15] SACK blocks that cannot be are ignored") {
  Flight b("mss 1000 sackok");
  b.in("A 1 ack 1001");
  b.exchange("A 1 ack 1001 sack 5001-3001");        // reversed
  b.exchange("A 1 ack 1001 sack 1-501");            // below SND.UNA: a D-SACK
  b.exchange("A 1 ack 1001 sack 501-8001");         // from below
  b.exchange("A 1 ack 1001 sack 2001-90001");       // beyond SND.NXT
  b.exchange("A 1 ack 1001 sack 2001-2001");        // empty
  b.exchange("A 1 ack 1001 sack 2001-2147485649");  // absurd
  CHECK(b.ssthresh() == UINT64_MAX);
  b.in("A 1 ack 12001");
  CHECK(b->unacknowledged() == 8000);
}

TEST_CASE("[T15] ten thousand holes are bounded work (CVE-2019-11478)") {
  Bench b;
  b.peer_options = "mss 1000 sackok ws 7";
  b.settings.send_buffer = 8 << 20;
  b.establish();
  b.in("A 1 ack 1 win 65535");
  std::uint64_t acked = 1;
  while (b->info().cwnd < 500'000) {
    b.send(1'000'000);
    b.all();
    acked += b->info().in_flight;
    b.in("A 1 ack " + std::to_string(acked) + " win 65535");
  }
  b.send(1'000'000);
  b.all();
  std::uint64_t state = 7;
  for (int i = 0; i < 100'000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t at = acked + 1 + 2 * ((state >> 33) % 10'000);
    b.exchange("A 1 ack " + std::to_string(acked) + " sack " + std::to_string(at) + "-" +
               std::to_string(at + 1));
  }
  CHECK(b->state() == State::established);
  acked += b->info().in_flight;
  b.exchange("A 1 ack " + std::to_string(acked) + " win 65535");
  CHECK(b->info().in_flight > 0);
}

TEST_CASE("[T17] what SACK reported and the peer dropped is sent again by the timer (RFC 2018 8)") {
  Flight b("mss 1000 sackok", 10'000);
  b.exchange("A 1 ack 1 sack 1001-10001");
  b.in("A 1 ack 1001");  // it kept nothing
  CHECK(b.run(b->info().rto).find(" A 1001+1000 ack 1") != std::string::npos);
  CHECK(b.exchange("A 1 ack 2001") == "A 2001+1000 ack 1 | A 3001+1000 ack 1");
  b.exchange("A 1 ack 4001");
  b.exchange("A 1 ack 8001");
  b.exchange("A 1 ack 10001");
  CHECK(b->unacknowledged() == 0);
  CHECK(b->deadline() == kNever);
}

TEST_CASE(
    "a smaller path MTU sends again in smaller segments, with the same window (RFC 1191 6.4)") {
  Flight b("mss 1000", 3000 + 17'000);
  const std::uint64_t window = b.cwnd();
  b->on_path_mss(500, false);
  CHECK(b.out() == "A 1+500 ack 1");
  CHECK(b.out() == "A 501+500 ack 1");
  b.all();
  CHECK(b.cwnd() == window);
  CHECK(b.ssthresh() == UINT64_MAX);
}

TEST_CASE("a larger path MTU after a timeout does not stop the sender") {
  Bench b;
  b.start.path_mss = 500;
  b.establish();
  b.send(500);
  b.all();
  b.run(300 * kMillisecond);
  CHECK(b->info().cwnd == 500);
  b.in("A 1 ack 501");
  b->on_path_mss(1460, false);
  b.send(5000);
  CHECK(b.out() == "A 501+1460 ack 1");
  b.all();
}

TEST_CASE("SACK blocks of ours, which shorten our segments, do not stop the sender") {
  Bench b;
  b.peer_options = "mss 1000 sackok";
  b.establish();
  b.in("A 101+10 ack 1");
  b->on_path_mss(900, false);
  b.send(12);
  b.all();
  b.run(300 * kMillisecond);
  CHECK(b->info().cwnd == 888);
  b.in("A 1+100 ack 13");
  b.all();
  b.send(900);
  CHECK(b.all() == "PA 13+900 ack 111");
}
