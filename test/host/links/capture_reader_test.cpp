// SPDX-License-Identifier: MIT
// Capture files: what is written is read back, what others write is read, and no bytes whatever are
// read past their end.
#include "host/links/capture_reader.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "wire/checksum.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using pcapng::Direction;

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Read {
  std::vector<CapturedFrame> frames;
  std::string error;
};

Read read(const Bytes& file) {
  CaptureReader reader(file);
  Read result;
  while (const auto frame = reader.next()) result.frames.push_back(*frame);
  result.error = reader.error();
  return result;
}

Bytes bytes_of(const Bytes& file, const CapturedFrame& frame) {
  const auto at = file.begin() + static_cast<std::ptrdiff_t>(frame.offset);
  return {at, at + frame.length};
}

/// Numbers in either byte order.
struct Writer {
  bool big;
  Bytes out{};

  void put(std::uint64_t value, int size) {
    for (int i = 0; i < size; i++) {
      const int shift = 8 * (big ? size - 1 - i : i);
      out.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  }
  void put16(std::uint64_t value) { put(value, 2); }
  void put32(std::uint64_t value) { put(value, 4); }
  void block(std::uint32_t type, const Bytes& body) {
    put32(type);
    put32(body.size() + 12);
    out.insert(out.end(), body.begin(), body.end());
    put32(body.size() + 12);
  }
  void section() {
    Writer body{big};
    body.put32(pcapng::kByteOrderMagic);
    body.put16(1);
    body.put16(0);
    body.put(UINT64_MAX, 8);
    block(pcapng::kSection, body.out);
  }
  void interface(std::uint8_t resolution, std::uint32_t snap_length = 0) {
    Writer body{big};
    body.put16(1);
    body.put16(0);
    body.put32(snap_length);
    body.put16(9);
    body.put16(1);
    body.out.insert(body.out.end(), {resolution, 0, 0, 0});
    block(pcapng::kInterface, body.out);
  }
  void packet(std::uint32_t from, std::uint64_t time, const Bytes& data) {
    Writer body{big};
    body.put32(from);
    body.put32(time >> 32);
    body.put32(time & UINT32_MAX);
    body.put32(data.size());
    body.put32(data.size());
    body.out.insert(body.out.end(), data.begin(), data.end());
    body.out.resize((body.out.size() + 3) / 4 * 4);
    block(pcapng::kPacket, body.out);
  }
};

struct Recorded {
  BlockPool pool;
  Bytes file;
  std::vector<Bytes> frames;

  /// Two interfaces, frames of many lengths, a comment, statistics.
  Recorded() {
    pcapng::append_section(file, "test");
    pcapng::append_interface(file,
                             {.name = "eth0", .description = "cable:x", .snap_length = 262144});
    pcapng::append_interface(
        file,
        {.name = "eth1", .description = "tun://t", .type = LinkType::ip, .snap_length = 262144});
    for (std::uint32_t i = 0; i < 9; i++) {
      frames.emplace_back(60 + i, static_cast<std::uint8_t>(i));
      const std::size_t at = file.size();
      pcapng::append_packet(file, i % 2, 1'700'000'000'000'000'000u + i,
                            i % 3 == 0 ? Direction::inbound : Direction::outbound,
                            Packet(pool.copy(frames[i])), 262144);
      if (i == 4) pcapng::add_comment(file, at, "dropped: tcp_bad_checksum");
    }
    pcapng::append_statistics(file, 0, {.received = 5, .recorded = 5, .comment = "fine"});
  }
};

}  // namespace

TEST_CASE("capture: what is written is read back") {
  const Recorded recorded;
  const Read result = read(recorded.file);
  CHECK(result.error == "");
  REQUIRE(result.frames.size() == 9);
  for (std::uint32_t i = 0; i < 9; i++) {
    const CapturedFrame& frame = result.frames[i];
    CHECK(bytes_of(recorded.file, frame) == recorded.frames[i]);
    CHECK(frame.original == 60 + i);
    CHECK(frame.time == 1'700'000'000'000'000'000u + i);
    CHECK(frame.direction == (i % 3 == 0 ? Direction::inbound : Direction::outbound));
    CHECK(frame.link_type == (i % 2 == 0 ? pcapng::kLinkEthernet : pcapng::kLinkRaw));
  }
  CHECK(pcapng::count_packets(recorded.file, 0) == 9);
  CHECK(pcapng::count_packets(recorded.file, recorded.file.size()) == 0);
}

TEST_CASE("capture: a comment is put into the block that it is about, behind which others stand") {
  BlockPool pool;
  Bytes file;
  pcapng::append_section(file, "");
  pcapng::append_interface(file, {.name = "a", .description = "", .snap_length = 65535});
  const std::size_t first = file.size();
  for (int i = 0; i < 3; i++) {
    pcapng::append_packet(file, 0, 1, Direction::inbound, Packet(pool.copy(Bytes(61))), 65535);
  }
  pcapng::add_comment(file, first, "one");
  pcapng::add_comment(file, first, "and another");
  const Read result = read(file);
  CHECK(result.error == "");
  CHECK(result.frames.size() == 3);
  const std::string text(file.begin(), file.end());
  CHECK(text.find("one") < text.find("and another"));
}

TEST_CASE("capture: a frame is cut to the snap length, and its length is kept") {
  BlockPool pool;
  Bytes file;
  pcapng::append_section(file, "");
  pcapng::append_interface(file, {.name = "a", .description = "", .snap_length = 65});
  pcapng::append_packet(file, 0, 1, Direction::inbound, Packet(pool.copy(Bytes(1500))), 65);
  CHECK(file.size() % 4 == 0);
  const Read result = read(file);
  REQUIRE(result.frames.size() == 1);
  CHECK(result.frames[0].length == 65);
  CHECK(result.frames[0].original == 1500);
}

TEST_CASE("capture: a partial checksum is written complete, and the packet stays as it is") {
  BlockPool pool;
  Bytes bytes(40, 3);
  bytes[26] = 0x12;  // the folded pseudo header
  bytes[27] = 0x34;
  Packet packet(pool.copy(bytes));
  packet.checksum = ChecksumState::partial;
  packet.checksum_from_end = 20;
  packet.checksum_field = 6;
  Bytes file;
  pcapng::append_section(file, "");
  pcapng::append_interface(file, {.name = "a", .description = "", .snap_length = 65535});
  pcapng::append_packet(file, 0, 1, Direction::outbound, packet, 65535);
  const Bytes written = bytes_of(file, read(file).frames.at(0));
  // The sum of the covered bytes with the pseudo header's is all ones.
  wire::Checksum sum;
  sum.add(std::span(written).subspan(20));
  sum.add16(0x1234);
  CHECK(sum.folded() == 0xffff);
  CHECK(packet.checksum == ChecksumState::partial);
  Bytes after(40);
  packet.copy_out(0, after);
  CHECK(after == bytes);
}

TEST_CASE("capture: pcapng of either byte order, with several sections, and unknown blocks") {
  for (const bool big : {false, true}) {
    Writer file{big};
    file.section();
    file.block(0x0badcafe, Bytes(8));
    file.interface(6);         // microseconds
    file.interface(9);         // nanoseconds
    file.interface(0x80 | 1);  // halves of a second
    file.interface(12);        // picoseconds
    for (std::uint32_t i = 0; i < 4; i++) file.packet(i, 5'000'000'001, Bytes(13, 1));
    // The other order in the second section, whose interfaces begin anew.
    Writer second{!big};
    second.section();
    second.interface(3);
    second.packet(0, 7, Bytes(14, 2));
    file.out.insert(file.out.end(), second.out.begin(), second.out.end());

    const Read result = read(file.out);
    CHECK(result.error == "");
    REQUIRE(result.frames.size() == 5);
    CHECK(result.frames[0].time == 5'000'000'001'000);
    CHECK(result.frames[1].time == 5'000'000'001);
    CHECK(result.frames[2].time == 2'500'000'000'500'000'000);
    CHECK(result.frames[3].time == 5'000'000);
    CHECK(result.frames[4].time == 7'000'000);
    CHECK(result.frames[4].length == 14);
  }
}

TEST_CASE("capture: simple and old packet blocks") {
  Writer file{false};
  file.section();
  file.interface(9, 5);
  Writer simple{false};
  simple.put32(9);  // of which the snap length leaves 5
  simple.out.resize(12);
  file.block(pcapng::kSimplePacket, simple.out);
  Writer old{false};
  old.put16(0);
  old.put16(3);  // drops
  old.put32(0);
  old.put32(77);
  old.put32(2);
  old.put32(2);
  old.put32(0xaabb);
  file.block(pcapng::kOldPacket, old.out);
  const Read result = read(file.out);
  CHECK(result.error == "");
  REQUIRE(result.frames.size() == 2);
  CHECK(result.frames[0].length == 5);
  CHECK(result.frames[0].original == 9);
  CHECK(result.frames[1].time == 77);
  CHECK(result.frames[1].length == 2);
}

TEST_CASE("capture: classic pcap of either byte order and resolution") {
  for (const bool big : {false, true}) {
    for (const bool nanoseconds : {false, true}) {
      Writer file{big};
      file.put32(nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
      file.put16(2);
      file.put16(4);
      file.put32(0);
      file.put32(0);
      file.put32(65535);
      file.put32(1);
      for (std::uint32_t i = 0; i < 2; i++) {
        file.put32(100 + i);
        file.put32(5);
        file.put32(3);
        file.put32(60);
        file.out.insert(file.out.end(), {1, 2, 3});
      }
      const Read result = read(file.out);
      CHECK(result.error == "");
      REQUIRE(result.frames.size() == 2);
      CHECK(result.frames[1].time == 101'000'000'000u + (nanoseconds ? 5 : 5000));
      CHECK(bytes_of(file.out, result.frames[1]) == Bytes{1, 2, 3});
      CHECK(result.frames[1].original == 60);
      CHECK(result.frames[1].link_type == 1);

      file.out.pop_back();
      CHECK(read(file.out).error == "byte 43: the file ends within a frame of 3 bytes");
    }
  }
}

TEST_CASE("capture: what is wrong is said with its byte") {
  const auto error_of = [](const Bytes& file) { return read(file).error; };
  CHECK(error_of({}) == "byte 0: no capture file: it has 0 bytes");
  CHECK(error_of(Bytes(100, 'x')) ==
        "byte 0: neither pcapng nor pcap: a file of those begins otherwise");

  Writer file{false};
  file.section();  // 28 bytes
  file.interface(9);
  const std::size_t end = file.out.size();
  Bytes broken = file.out;
  broken[32] = 29;
  CHECK(error_of(broken) == "byte 32: a block cannot have a length of 29");
  broken[32] = 200;
  CHECK(error_of(broken) == "byte 28: the file ends within a block of 200 bytes");
  broken = file.out;
  broken[end - 4] = 99;
  CHECK(error_of(broken) ==
        "byte " + std::to_string(end - 4) + ": a block of 28 bytes that ends with the length 99");
  broken = file.out;
  broken[46] = 200;
  CHECK(error_of(broken) == "byte 44: an option of 200 bytes is longer than its block");
  Writer stray = file;
  stray.packet(1, 0, Bytes(4));
  CHECK(error_of(stray.out) ==
        "byte " + std::to_string(end + 8) + ": a frame of interface 1, where 1 are described");
  Writer liar = file;
  liar.packet(0, 0, Bytes(4));
  liar.out[end + 20] = 5;
  CHECK(error_of(liar.out) ==
        "byte " + std::to_string(end + 20) + ": a frame of 5 bytes in a block of 36");
}

TEST_CASE("capture: a file cut anywhere is read up to there, or refused") {
  const Recorded recorded;
  std::size_t whole = 0;
  for (std::size_t size = 0; size < recorded.file.size(); size++) {
    // A vector of its own, so that a sanitizer sees a read past the end.
    const Bytes cut(recorded.file.begin(),
                    recorded.file.begin() + static_cast<std::ptrdiff_t>(size));
    const Read result = read(cut);
    if (result.error.empty()) whole++;
  }
  // Between two blocks a file may end: behind the section, 2 interfaces, 9 frames.
  CHECK(whole == 12);
}

TEST_CASE("capture: no mutation of a file leads out of it") {
  const Recorded recorded;
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; round++) {
    Bytes file = recorded.file;
    for (unsigned changes = random() % 4 + 1; changes > 0; changes--) {
      std::uint8_t& byte = file[random() % file.size()];
      byte = random() % 2 == 0 ? static_cast<std::uint8_t>(random())
                               : static_cast<std::uint8_t>(byte ^ 1u << random() % 8);
    }
    if (random() % 4 == 0) file.resize(random() % file.size());
    for (const CapturedFrame& frame : read(file).frames) {
      REQUIRE(frame.offset <= file.size());
      REQUIRE(frame.length <= file.size() - frame.offset);
    }
  }
}
