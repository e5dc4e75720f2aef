// SPDX-License-Identifier: MIT
// The relay between ends that do what a real one does only now and then.
#include "host/gateway/relay.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

/// What a test says to an end, and what became of it.
struct Script {
  std::string input;        ///< what comes
  bool input_ends = false;  ///< and then the end of the stream
  Errno read_error = Errno::ok;
  std::size_t room = 1 << 20;
  std::size_t takes = SIZE_MAX;  ///< the most that one write takes
  Errno write_error = Errno::ok;
  Errno failure = Errno::ok;
  bool is_starved = false;

  std::string output;
  int finished = 0, resets = 0, peeks = 0;
  bool gone = false;
};

class FakeEnd final : public StreamEnd {
 public:
  FakeEnd(Script& script, BlockPool& pool) : script_(script), pool_(pool) {}
  ~FakeEnd() override { script_.gone = true; }
  Errno progress(Nanos) override { return Errno::ok; }
  Errno failure(Nanos) override { return script_.failure; }
  std::size_t room() override { return script_.room; }
  bool starved() override { return script_.is_starved; }
  Result<std::size_t> peek(std::size_t limit, std::vector<Slice>& out, Nanos) override {
    script_.peeks++;
    if (script_.input.empty()) {
      if (script_.read_error != Errno::ok) return script_.read_error;
      if (script_.input_ends) return std::size_t{0};
      return Errno::again;
    }
    const std::size_t bytes = std::min(limit, script_.input.size());
    // In pieces, as they come.
    for (std::size_t from = 0; from < bytes; from += 1000) {
      const std::size_t piece = std::min<std::size_t>(1000, bytes - from);
      out.push_back(
          pool_.copy({reinterpret_cast<const std::uint8_t*>(script_.input.data()) + from, piece}));
    }
    return bytes;
  }
  void consume(std::size_t count, Nanos) override {
    REQUIRE(count <= script_.input.size());
    script_.input.erase(0, count);
  }
  Result<std::size_t> write(std::vector<Slice>& slices, Nanos) override {
    std::string text;
    for (const Slice& slice : slices) {
      text.append(reinterpret_cast<const char*>(slice.bytes().data()), slice.size());
    }
    slices.clear();
    CHECK(text.size() <= script_.room);
    if (script_.write_error != Errno::ok) return script_.write_error;
    const std::size_t taken = std::min(text.size(), script_.takes);
    if (taken == 0) return Errno::again;
    script_.output.append(text, 0, taken);
    script_.room -= taken;
    return taken;
  }
  void finish(Nanos) override { script_.finished++; }
  void reset(Nanos) override { script_.resets++; }

 private:
  Script& script_;
  BlockPool& pool_;
};

struct Joined {
  BlockPool pool;
  Script source, target;
  Relay relay{std::make_unique<FakeEnd>(source, pool), std::make_unique<FakeEnd>(target, pool)};
  bool run(int budget = 1000) { return relay.run(0, budget); }
};

std::string text_of(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; i++) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

TEST_CASE("what comes on one stream goes to the other, as it came") {
  Joined joined;
  joined.source.input = text_of(5000);
  joined.target.input = "answer";
  CHECK(!joined.run());
  CHECK(joined.target.output == text_of(5000));
  CHECK(joined.source.output == "answer");
  CHECK(joined.relay.bytes_out() == 5000);
  CHECK(joined.relay.bytes_in() == 6);
  CHECK(!joined.relay.half_closed());
}

TEST_CASE("nothing is read that the other side has no room for (backpressure)") {
  Joined joined;
  joined.source.input = text_of(5000);
  joined.target.room = 0;
  CHECK(!joined.run());
  CHECK(joined.source.peeks == 0);
  CHECK(joined.source.input.size() == 5000);
  joined.target.room = 700;
  joined.run();
  CHECK(joined.target.output == text_of(700));
  CHECK(joined.source.input.size() == 4300);
  joined.target.room = 1 << 20;
  joined.run();
  CHECK(joined.target.output == text_of(5000));
}

TEST_CASE("what a write did not take is not lost, and not sent twice") {
  Joined joined;
  joined.source.input = text_of(10'000);
  for (const std::size_t takes : {0u, 1u, 999u, 1000u, 1001u, 2500u}) {
    joined.target.takes = takes;
    joined.run();
  }
  while (joined.run()) {
  }
  CHECK(joined.target.output == text_of(10'000));
  CHECK(joined.relay.bytes_out() == 10'000);
}

TEST_CASE("the end of one direction is passed on once, behind the last byte; the other goes on") {
  Joined joined;
  joined.source.input = "last words";
  joined.source.input_ends = true;
  joined.target.takes = 4;
  while (joined.run()) {
  }
  CHECK(joined.target.output == "last words");
  CHECK(joined.target.finished == 1);
  CHECK(joined.relay.half_closed());
  CHECK(!joined.relay.finished());
  joined.target.input = "still here";
  joined.run();
  CHECK(joined.source.output == "still here");
  CHECK(joined.target.finished == 1);
  joined.target.input_ends = true;
  joined.run();
  CHECK(joined.relay.finished());
  CHECK(joined.source.finished == 1);
  CHECK(joined.source.resets + joined.target.resets == 0);
}

TEST_CASE("an end that comes while there is no room for a byte waits for room") {
  Joined joined;
  joined.source.input_ends = true;
  joined.target.room = 0;
  CHECK(!joined.run());
  CHECK(joined.target.finished == 0);
  joined.target.room = 1;
  joined.run();
  CHECK(joined.target.finished == 1);
}

TEST_CASE("a broken stream breaks the other, and it is known whose it was") {
  SUBCASE("the source, between two calls") {
    Joined joined;
    joined.source.failure = Errno::reset;
    CHECK(!joined.run());
    CHECK(joined.relay.broken() == Relay::Broken::source);
    CHECK(joined.relay.error() == Errno::reset);
    CHECK(joined.target.resets == 1);
    CHECK(joined.source.resets == 1);
  }
  SUBCASE("the target, between two calls") {
    Joined joined;
    joined.target.failure = Errno::timed_out;
    joined.run();
    CHECK(joined.relay.broken() == Relay::Broken::target);
    CHECK(joined.relay.error() == Errno::timed_out);
    CHECK(joined.source.resets == 1);
  }
  SUBCASE("the source, when it is read") {
    Joined joined;
    joined.source.input = "some";
    joined.source.read_error = Errno::reset;
    joined.run();
    CHECK(joined.target.output == "some");
    CHECK(joined.relay.broken() == Relay::Broken::source);
    CHECK(joined.target.resets == 1);
  }
  SUBCASE("the target, when it is written to") {
    Joined joined;
    joined.source.input = "some";
    joined.target.write_error = Errno::broken_pipe;
    joined.run();
    CHECK(joined.relay.broken() == Relay::Broken::target);
    CHECK(joined.relay.error() == Errno::broken_pipe);
    CHECK(joined.source.resets == 1);
    CHECK(joined.relay.bytes_out() == 0);
  }
  SUBCASE("and nothing is asked of a stream that was reset") {
    Joined joined;
    joined.source.read_error = Errno::reset;
    joined.target.input = "more";
    joined.run();
    CHECK(joined.source.output == "");
    CHECK(joined.target.peeks == 0);
  }
}

TEST_CASE("one flow takes no more than its turn, and says that there is more") {
  Joined joined;
  joined.source.input = text_of(8 << 20);
  joined.target.room = 16 << 20;
  int budget = 64;
  CHECK(joined.relay.run(0, budget));
  CHECK(budget < 64);
  CHECK(!joined.source.input.empty());
  CHECK(!joined.target.output.empty());
  int none = 0;
  const std::size_t before = joined.target.output.size();
  CHECK(joined.relay.run(0, none));
  CHECK(joined.target.output.size() == before);
  for (int turns = 0; turns < 1000 && joined.run(); turns++) {
  }
  CHECK(joined.target.output == text_of(8 << 20));
}

TEST_CASE("a stream without memory for its bytes asks for another turn later") {
  Joined joined;
  joined.source.input = "some";
  joined.target.room = 0;
  joined.target.is_starved = true;
  CHECK(!joined.run());
  CHECK(joined.relay.starved());
  joined.target.room = 10;
  joined.target.is_starved = false;
  joined.run();
  CHECK(!joined.relay.starved());
  CHECK(joined.target.output == "some");
}

TEST_CASE("a relay that goes closes its streams") {
  Script source, target;
  BlockPool pool;
  {
    Relay relay{std::make_unique<FakeEnd>(source, pool), std::make_unique<FakeEnd>(target, pool)};
    relay.reset(0);
  }
  CHECK(source.gone);
  CHECK(target.gone);
  CHECK(source.resets == 1);
  CHECK(target.resets == 1);
}

}  // namespace
