// SPDX-License-Identifier: MIT
#include "host/links/frame_stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "wire/bytes.hpp"

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes frame(std::size_t size, std::uint8_t fill) {
  Bytes bytes(kFramePrefix + size, fill);
  wire::store32(bytes.data(), static_cast<std::uint32_t>(size));
  return bytes;
}

/// Feeds `bytes` in steps; the sizes and first bytes of the frames, such as "60a 1b".
struct Feeder {
  FrameParser parser;
  Errno error = Errno::ok;
  std::vector<Bytes> frames;

  void feed(std::span<const std::uint8_t> bytes, std::size_t step) {
    while (!bytes.empty() && error == Errno::ok) {
      const auto room = parser.room();
      REQUIRE(!room.empty());
      const std::size_t count = std::min({step, bytes.size(), room.size()});
      std::copy_n(bytes.begin(), count, room.begin());
      parser.filled(count);
      bytes = bytes.subspan(count);
      for (;;) {
        const auto next = parser.next();
        if (!next) error = next.error();
        if (!next || !*next) break;
        frames.emplace_back((*next)->begin(), (*next)->end());
      }
    }
  }
};

Bytes joined(const std::vector<Bytes>& all) {
  Bytes result;
  for (const Bytes& one : all) result.insert(result.end(), one.begin(), one.end());
  return result;
}

}  // namespace

TEST_CASE("frames come out of a stream whole, however it was cut") {
  std::vector<Bytes> sent;
  for (const std::size_t size : {1u, 14u, 60u, 1514u, 65549u, 69632u, 2u, 69632u, 1514u}) {
    sent.push_back(frame(size, static_cast<std::uint8_t>(size % 251)));
  }
  const Bytes stream = joined(sent);
  for (const std::size_t step : {1u, 2u, 3u, 4u, 5u, 1000u, 4096u, 65536u, 1u << 20}) {
    CAPTURE(step);
    Feeder feeder;
    feeder.feed(stream, step);
    CHECK(feeder.error == Errno::ok);
    REQUIRE(feeder.frames.size() == sent.size());
    for (std::size_t i = 0; i < sent.size(); i++) {
      CHECK(std::equal(sent[i].begin() + kFramePrefix, sent[i].end(), feeder.frames[i].begin(),
                       feeder.frames[i].end()));
    }
  }
}

TEST_CASE("a length of zero ends a stream of frames, after the frames before it") {
  Feeder feeder;
  feeder.feed(joined({frame(60, 1), frame(60, 2), frame(0, 0), frame(60, 3)}), 1000);
  CHECK(feeder.frames.size() == 2);
  CHECK(feeder.error == Errno::protocol);
}

TEST_CASE("a length above the bound ends a stream of frames at once, without waiting for it") {
  for (const std::uint32_t length : {69633u, 0x01000000u, 0xffffffffu}) {
    Bytes bytes(kFramePrefix);
    wire::store32(bytes.data(), length);
    Feeder feeder;
    feeder.feed(bytes, 4);
    CHECK(feeder.frames.empty());
    CHECK(feeder.error == Errno::protocol);
  }
}

TEST_CASE("a stream that begins anew has nothing of the one before") {
  Feeder feeder;
  Bytes half = frame(60, 1);
  half.resize(30);
  feeder.feed(half, 30);
  feeder.parser.clear();
  feeder.feed(frame(60, 2), 64);
  REQUIRE(feeder.frames.size() == 1);
  CHECK(feeder.frames[0][0] == 2);
}
