// SPDX-License-Identifier: MIT
#include "host/descriptor_channel.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

/// As another process sends it: `text`, and `count` times the descriptor `fd`.
bool send_descriptors(int channel, std::string_view text, int fd, std::size_t count) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(64 * sizeof(int))> control{};
  iovec piece{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  for (std::size_t i = 0; i < count; i++) {
    std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
  }
  return sendmsg(channel, &message, 0) == static_cast<ssize_t>(text.size());
}

bool is_closed_on_exec(int fd) { return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

/// A number that would be the next one: it is the same again when nothing was left open.
int next_descriptor() {
  const Descriptor probe(fcntl(0, F_DUPFD_CLOEXEC, 0));
  return probe.get();
}

}  // namespace

TEST_CASE("a channel keeps messages apart, carries descriptors, and tells of the other end's end") {
  const int before = next_descriptor();
  {
    auto ends = open_descriptor_channel();
    REQUIRE(ends);
    auto& [near, far] = *ends;
    CHECK(is_closed_on_exec(near.get()));
    CHECK(is_closed_on_exec(far.get()));
    CHECK(receive_message(near.get()).error() == Errno::again);
    CHECK(send_message(far.get(), "one") == Errno::ok);
    CHECK(send_message(far.get(), "two") == Errno::ok);
    CHECK(receive_message(near.get())->text == "one");
    CHECK(receive_message(near.get())->text == "two");

    auto file = memory_file("content");
    REQUIRE(file);
    CHECK(is_closed_on_exec(file->get()));
    CHECK(send_descriptors(far.get(), "three", file->get(), 2));
    auto message = receive_message(near.get());
    REQUIRE(message);
    CHECK(message->text == "three");
    REQUIRE(message->descriptors.size() == 2);
    std::array<char, 16> bytes{};
    CHECK(pread(message->descriptors[1].get(), bytes.data(), bytes.size(), 0) == 7);
    CHECK(std::string(bytes.data()) == "content");
    CHECK(is_closed_on_exec(message->descriptors[0].get()));

    // With a message of ours that nobody has read.
    CHECK(send_message(near.get(), "go") == Errno::ok);
    far.close();
    auto end = receive_message(near.get());
    REQUIRE(end);
    CHECK(end->text.empty());
    CHECK(send_message(near.get(), "go") == Errno::broken_pipe);
  }
  CHECK(next_descriptor() == before);
}

TEST_CASE(
    "a message that is too long, or has too many descriptors, is an error and leaves none open") {
  auto ends = open_descriptor_channel();
  REQUIRE(ends);
  auto& [near, far] = *ends;
  const int before = next_descriptor();
  CHECK(send_message(far.get(), std::string(5000, 'x')) == Errno::ok);
  CHECK(receive_message(near.get()).error() == Errno::message_size);
  CHECK(send_descriptors(far.get(), "x", near.get(), 40));
  CHECK(receive_message(near.get()).error() == Errno::too_many_open);
  CHECK(next_descriptor() == before);

  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit tight{static_cast<rlim_t>(before), limit.rlim_max};
  CHECK(send_descriptors(far.get(), "x", near.get(), 1));
  setrlimit(RLIMIT_NOFILE, &tight);
  const Errno error = receive_message(near.get()).error();
  setrlimit(RLIMIT_NOFILE, &limit);
  CHECK(error == Errno::too_many_open);
  CHECK(receive_message(near.get()).error() == Errno::again);
}

TEST_CASE("calls on what is no channel say so") {
  const Descriptor file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  CHECK(receive_message(file.get()).error() == Errno(ENOTSOCK));
  CHECK(send_message(file.get(), "x") == Errno(ENOTSOCK));
  CHECK(receive_message(-1).error() == Errno::bad_descriptor);
}
