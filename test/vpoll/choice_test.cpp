// SPDX-License-Identifier: MIT
// Which back end serves a new fd, what is exact about it, and what a refusal says.
#include "support.hpp"

#include <algorithm>

using namespace vpoll_test;

namespace {

/// 0, or the errno of vpoll_create.
int create_errno(int flags, std::string* text = nullptr) {
  int fd = vpoll_create(0, flags);
  int error = fd < 0 ? errno : 0;
  if (fd < 0 && text != nullptr) *text = vpoll_error();
  if (fd >= 0) vpoll_close(fd);
  return error;
}

bool is_available(const std::string& name) {
  const std::vector<std::string>& names = available_backends();
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The tests of the order are about a program that asks for nothing by name.
bool all_were_tried() { return std::getenv("VPOLL_BACKEND") == nullptr; }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("VPOLL_BACKEND chooses, and an unknown name is refused with the names that there are") {
  for (const char* unknown : {"kqueue", "event", "socketpairs"}) {
    Backend forced(unknown);
    std::string text;
    CHECK(create_errno(0, &text) == EINVAL);
    CHECK(contains(text, unknown));
    CHECK(contains(text, "socketpair"));
  }
  {
    Backend none_named("");
    CHECK(create_errno(0) == 0);
  }
  on_each_backend([](const std::string& backend) {
    VpollFd fd;
    CHECK(vpoll_backend(fd.get()) == backend);
  });
}

TEST_CASE("without a wish the first back end is taken that works and is not on request") {
  if (!all_were_tried()) return;
  VpollFd chosen;
  CHECK(vpoll_backend(chosen.get()) == available_backends().front());
  CHECK(vpoll_backend(chosen.get()) != std::string("fuse"));
}

TEST_CASE("a back end that cannot be had says what failed") {
  for (const char* name : kBackendNames) {
    CAPTURE(name);
    if (is_available(name)) continue;
    Backend forced(name);
    std::string text;
    int error = create_errno(0, &text);
    CAPTURE(text);
    // Left out by whoever named one for this run.
    if (error == 0) continue;
    CHECK((error == EOPNOTSUPP || error == EACCES));
    CHECK(text.rfind(std::string(name) + ": ", 0) == 0);
    CHECK(text.size() > std::strlen(name) + 4);
  }
}

TEST_CASE("VPOLL_EXACT gives an fd all of whose events are exact, or says of each way why not") {
  for (bool by_environment : {false, true}) {
    CAPTURE(by_environment);
    Environment demand("VPOLL_EXACT", by_environment ? "1" : nullptr);
    Backend none_named("");
    int fd = vpoll_create(0, FD_CLOEXEC | (by_environment ? 0 : VPOLL_EXACT));
    if (fd >= 0) {
      CHECK((static_cast<uint32_t>(vpoll_exact(fd)) & kAllSix) == kAllSix);
      CHECK(vpoll_backend(fd) != std::string("socketpair"));
      CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
      vpoll_close(fd);
    } else {
      CHECK((errno == EOPNOTSUPP || errno == EACCES));
      std::string text = vpoll_error();
      CAPTURE(text);
      for (const char* way : {"table: ", "eventfd: ", "dev: ", "fuse: "})
        CHECK(contains(text, way));
      CHECK_FALSE(contains(text, "socketpair"));
    }
  }
}

TEST_CASE("VPOLL_EXACT in the environment is 0 or 1, else EINVAL") {
  Backend none_named("");
  {
    Environment demand("VPOLL_EXACT", "0");
    CHECK(create_errno(0) == 0);
  }
  for (const char* wrong : {"yes", "2", "01"}) {
    Environment demand("VPOLL_EXACT", wrong);
    std::string text;
    CHECK(create_errno(0, &text) == EINVAL);
    CHECK(contains(text, wrong));
  }
}

TEST_CASE("a socket pair is refused to whoever asks for exact events") {
  if (!is_available("socketpair")) return;
  Backend forced("socketpair");
  std::string text;
  CHECK(create_errno(VPOLL_EXACT, &text) == EOPNOTSUPP);
  CHECK(contains(text, "VPOLL_BACKEND=socketpair is not exact"));
}

TEST_CASE("a wrong argument is named with its value") {
  std::string text;
  CHECK(create_errno(0x40, &text) == EINVAL);
  CHECK(contains(text, "0x40"));
  CHECK(vpoll_create(EPOLLET | EPOLLIN, 0) == -1);
  CHECK(contains(vpoll_error(), "0x80000000"));
}

TEST_CASE("vpoll_exact gives the events that are exact, as far as they still are") {
  on_each_backend([](const std::string& backend) {
    VpollFd fd;
    auto exact = [&] { return static_cast<uint32_t>(vpoll_exact(fd.get())) & kAllSix; };
    CHECK(exact() == exact_events(backend));
    if (backend != "socketpair") {
      REQUIRE(fd.set(kAllSix) == 0);
      CHECK(exact() == kAllSix);
      return;
    }
    REQUIRE(fd.set(EPOLLIN | EPOLLOUT) == 0);
    CHECK(exact() == (EPOLLIN | EPOLLOUT));
    if (fd.set(EPOLLPRI) == 0) {
      CHECK(exact() == EPOLLOUT);
      REQUIRE(fd.set(0) == 0);
      CHECK(exact() == (EPOLLIN | EPOLLOUT));
    }
    REQUIRE(fd.set(EPOLLRDHUP) == 0);
    REQUIRE(fd.set(0) == 0);
    CHECK(exact() == EPOLLOUT);
    REQUIRE(fd.set(EPOLLERR) == 0);
    REQUIRE(fd.set(0) == 0);
    CHECK(exact() == 0);
  });
}
