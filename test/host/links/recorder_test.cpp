// SPDX-License-Identifier: MIT
#include "host/links/recorder.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "host/links/capture_reader.hpp"
#include "host/support.hpp"

using namespace vpollnet;
using namespace vpollnet::host;
using pcapng::Direction;
using test::back_to;
using test::eventually;
using test::Holdings;

namespace {

struct Folder {
  Folder() {
    char pattern[] = "/tmp/vpollnet-recorder-XXXXXX";
    REQUIRE(mkdtemp(pattern) != nullptr);
    path = pattern;
  }
  ~Folder() {
    ::unlink((path + "/file").c_str());
    ::rmdir(path.c_str());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

std::vector<std::uint8_t> contents(int fd) {
  std::vector<std::uint8_t> all;
  std::array<std::uint8_t, 65536> buffer{};
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    all.insert(all.end(), buffer.begin(), buffer.begin() + got);
  }
  return all;
}

std::vector<std::uint8_t> contents(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  auto all = contents(fd);
  ::close(fd);
  return all;
}

/// Frames in a capture that must be whole.
std::size_t frames_in(const std::vector<std::uint8_t>& file) {
  CaptureReader reader(file);
  std::size_t count = 0;
  while (reader.next()) count++;
  CHECK(reader.error() == "");
  return count;
}

struct Fixture {
  std::shared_ptr<Pump> pump = Pump::create();
  Failure failure;

  std::shared_ptr<Recording> open(const RecordingSpec& spec) {
    auto recording = Recording::open(*pump, spec, failure);
    if (recording == nullptr) return nullptr;
    Pump::Hold hold(*pump);
    recording->add_interface("eth0", "cable:x", LinkType::ethernet, {});
    return recording;
  }
  void record(Recording& recording, int count, std::size_t size = 1000) {
    Pump::Hold hold(*pump);
    for (int i = 0; i < count; i++) {
      recording.add_frame(0, Direction::inbound,
                          Packet(pump->pool().copy(std::vector<std::uint8_t>(size))));
    }
  }
  void finish(Recording& recording) {
    Pump::Hold hold(*pump);
    recording.end_interface(0, {});
    recording.finish();
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "recording: a file has every frame, and nothing stays open") {
  const Folder folder;
  const std::string path = folder.path + "/file";
  const Holdings before;
  {
    auto recording = open({.path = path});
    REQUIRE(recording != nullptr);
    for (int i = 0; i < 20; i++) record(*recording, 10);
    finish(*recording);
    CHECK(recording->wait(10'000));
    CHECK(recording->reap());
    CHECK(back_to(before));
    const Recording::Totals totals = recording->totals();
    CHECK(totals.frames == 200);
    CHECK(totals.dropped == 0);
    const auto file = contents(path);
    CHECK(totals.bytes == file.size());
    CHECK(frames_in(file) == 200);
    CHECK_FALSE(recording->failure());
  }
  CHECK(back_to(before));
}

TEST_CASE_FIXTURE(Fixture,
                  "recording: a pipe shows frames while they come, and says when it ends") {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  auto recording = open({.path = "", .descriptor = ends[1]});
  REQUIRE(recording != nullptr);
  ::close(ends[1]);
  record(*recording, 1);
  std::vector<std::uint8_t> seen;
  CHECK(eventually([&] {
    std::array<std::uint8_t, 4096> buffer{};
    const ssize_t got = ::read(ends[0], buffer.data(), buffer.size());
    if (got > 0) seen.insert(seen.end(), buffer.begin(), buffer.begin() + got);
    CaptureReader reader(seen);
    return reader.next().has_value();
  }));
  finish(*recording);
  const auto rest = contents(ends[0]);  // ends: the recording's was the last writer
  seen.insert(seen.end(), rest.begin(), rest.end());
  CHECK(frames_in(seen) == 1);
  ::close(ends[0]);
}

TEST_CASE_FIXTURE(Fixture, "recording: a reader that stands still costs frames, and nobody waits") {
  const Holdings before;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  auto recording = open({.path = "", .descriptor = ends[1]});
  REQUIRE(recording != nullptr);
  for (int i = 0; i < 500; i++) record(*recording, 1, 65'000);
  Recording::Totals totals = recording->totals();
  CHECK(totals.frames + totals.dropped == 500);
  CHECK(totals.dropped > 200);
  CHECK(totals.frames * 65'000 < Recording::kBufferBytes + 65'536);
  SUBCASE("when it reads again, the recording goes on") {
    finish(*recording);
    CHECK_FALSE(recording->wait(20));
    ::close(ends[1]);
    const auto file = contents(ends[0]);
    CHECK(frames_in(file) == totals.frames);
  }
  SUBCASE("what it never reads is given up") {
    finish(*recording);
    ::close(ends[1]);
  }
  recording = nullptr;
  ::close(ends[0]);
  CHECK(back_to(before));
}

TEST_CASE_FIXTURE(Fixture, "recording: a reader that goes away ends it, and kills nobody") {
  const auto handler = std::signal(SIGPIPE, SIG_DFL);
  int ends[2];
  SUBCASE("pipe") { REQUIRE(pipe2(ends, O_CLOEXEC) == 0); }
  SUBCASE("socket") { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0); }
  auto recording = open({.path = "", .descriptor = ends[1]});
  REQUIRE(recording != nullptr);
  ::close(ends[1]);
  ::close(ends[0]);
  record(*recording, 5);
  CHECK(eventually([&] { return recording->ended(); }));
  CHECK(recording->failure().error == Errno::broken_pipe);
  CHECK(recording->failure().syscall == "write");
  record(*recording, 5);
  finish(*recording);
  CHECK(recording->totals().frames == 0);
  CHECK(recording->totals().dropped == 10);
  std::signal(SIGPIPE, handler);
}

TEST_CASE_FIXTURE(Fixture, "recording: a full disk ends it") {
  auto recording = open({.path = "/dev/full"});
  REQUIRE(recording != nullptr);
  record(*recording, 1);
  CHECK(eventually([&] { return recording->ended(); }));
  CHECK(recording->failure().error == Errno(ENOSPC));
  finish(*recording);
}

TEST_CASE_FIXTURE(Fixture, "recording: targets that cannot be opened are refused") {
  const Folder folder;
  const std::string fifo = folder.path + "/file";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(open({.path = folder.path + "/no/such"}) == nullptr);
  CHECK(failure.error == Errno(ENOENT));
  CHECK(open({.path = folder.path}) == nullptr);
  CHECK(failure.error == Errno(EISDIR));
  CHECK(open({.path = fifo}) == nullptr);
  CHECK(failure.error == Errno(ENXIO));
  CHECK(open({.path = "", .descriptor = 4000}) == nullptr);
  CHECK(failure.error == Errno::bad_descriptor);
  const int readable = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(open({.path = "", .descriptor = readable}) == nullptr);
  CHECK(failure.error == Errno::bad_descriptor);
  ::close(readable);
}

TEST_CASE_FIXTURE(Fixture, "recording: a comment finds its frame among those that came after it") {
  const Folder folder;
  const std::string path = folder.path + "/file";
  auto recording = open({.path = path});
  REQUIRE(recording != nullptr);
  {
    Pump::Hold hold(*pump);
    const Packet frame(pump->pool().copy(std::vector<std::uint8_t>(61)));
    const auto first = recording->add_frame(0, Direction::inbound, frame);
    recording->add_frame(0, Direction::outbound, frame);
    recording->comment(first, "dropped: tcp_bad_checksum");
    recording->comment(Recording::kNotRecorded, "nowhere");
  }
  finish(*recording);
  CHECK(recording->wait(10'000));
  const auto file = contents(path);
  CHECK(frames_in(file) == 2);
  const std::string text(file.begin(), file.end());
  CHECK(text.find("dropped: tcp_bad_checksum") != std::string::npos);
  CHECK(text.find("nowhere") == std::string::npos);
}
