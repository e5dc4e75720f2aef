// SPDX-License-Identifier: MIT
// What an fd shows: each event alone, combined, in any order, to each kind of waiter.
#include "support.hpp"

#include <random>

using namespace vpoll_test;

namespace {
const uint32_t kEachBit[] = {EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR};
}

TEST_CASE("at least one back end works here") {
  std::string names;
  for (const std::string& name : available_backends()) names += " " + name;
  MESSAGE("back ends on this kernel:", names);
  REQUIRE(!available_backends().empty());
}

TEST_CASE("a new fd shows nothing") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    CHECK(shown_by_poll(fd.get()) == 0);
    CHECK(shown_by_epoll(fd.get()) == 0);
  });
}

TEST_CASE("each event alone shows to poll and epoll as a level, and goes when taken back") {
  on_each_backend([](const std::string& backend) {
    for (uint32_t bit : kEachBit) {
      CAPTURE(bit);
      Model model(backend);
      VpollFd fd;
      REQUIRE(fd.add(bit) == 0);
      model.set(bit);
      CHECK((model.shown() & bit) == bit);
      for (int times = 0; times < 2; times++) {
        CHECK(shown_by_poll(fd.get()) == model.shown());
        CHECK(shown_by_epoll(fd.get()) == model.shown());
      }
      REQUIRE(fd.del(bit) == 0);
      model.set(0);
      CHECK(shown_by_poll(fd.get()) == model.shown());
      CHECK(shown_by_epoll(fd.get()) == model.shown());
      if ((exact_events(backend) & bit) != 0) CHECK(shown_by_poll(fd.get()) == 0);
    }
  });
}

TEST_CASE("an event that was taken back can be set again, many times") {
  on_each_backend([](const std::string&) {
    for (uint32_t bit : {EPOLLIN, EPOLLOUT, EPOLLPRI}) {
      CAPTURE(bit);
      VpollFd fd;
      for (int i = 0; i < 1000; i++) {
        REQUIRE(fd.add(bit) == 0);
        REQUIRE((shown_by_poll(fd.get()) & bit) == bit);
        REQUIRE(fd.del(bit) == 0);
        REQUIRE(shown_by_poll(fd.get()) == 0);
      }
    }
  });
}

TEST_CASE("select sees readable, writable and exceptional") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    SelectSets sets = shown_by_select(fd.get());
    CHECK_FALSE((sets.read || sets.write || sets.except));
    fd.set(EPOLLOUT);
    sets = shown_by_select(fd.get());
    CHECK((sets.write && !sets.read && !sets.except));
    fd.set(EPOLLIN);
    sets = shown_by_select(fd.get());
    CHECK((sets.read && !sets.write && !sets.except));
    fd.set(EPOLLPRI);
    sets = shown_by_select(fd.get());
    CHECK((sets.except && !sets.write));
    fd.set(0);
    sets = shown_by_select(fd.get());
    CHECK_FALSE((sets.read || sets.write || sets.except));
  });
}

TEST_CASE("init_events shows from the start, for each of the 64 sets") {
  on_each_backend([](const std::string& backend) {
    for (unsigned set = 0; set < 64; set++) {
      uint32_t events = 0;
      for (int i = 0; i < 6; i++)
        if ((set >> i & 1) != 0) events |= kEachBit[i];
      CAPTURE(events);
      Model model(backend);
      model.set(events);
      VpollFd fd(events);
      CHECK(shown_by_poll(fd.get()) == model.shown());
    }
  });
}

TEST_CASE("any sequence of operations shows what the table in the README says") {
  on_each_backend([](const std::string& backend) {
    std::mt19937 random(20240601);
    for (int round = 0; round < 400; round++) {
      CAPTURE(round);
      Model model(backend);
      VpollFd fd;
      // Most rounds leave out some of what cannot be taken back, so that the others get their turn.
      uint32_t allowed = EPOLLIN | EPOLLOUT | EPOLLPRI;
      if (round % 4 >= 1) allowed |= EPOLLRDHUP;
      if (round % 4 >= 2) allowed |= EPOLLHUP;
      if (round % 4 >= 3) allowed |= EPOLLERR;
      std::string history;
      for (int step = 0; step < 60; step++) {
        uint32_t events = 0;
        for (uint32_t bit : kEachBit)
          if ((bit & allowed) != 0 && random() % (bit > EPOLLOUT ? 12 : 3) == 0) events |= bit;
        int op = 1 + static_cast<int>(random() % 3);
        history += " " + std::to_string(op) + ":" + std::to_string(events);
        REQUIRE(vpoll_ctl(fd.get(), op, events) == 0);
        uint32_t mask = model.mask();
        model.set(op == VPOLL_CTL_ADDEVENTS   ? mask | events
                  : op == VPOLL_CTL_DELEVENTS ? mask & ~events
                                              : events);
        REQUIRE_MESSAGE(shown_by_poll(fd.get()) == model.shown(), history);
      }
    }
  });
}

TEST_CASE("the events of normal-priority data are IN and OUT to a socket pair") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    REQUIRE(fd.set(EPOLLRDNORM | EPOLLWRNORM) == 0);
    pollfd shown{fd.get(), POLLRDNORM | POLLWRNORM, 0};
    CHECK(poll(&shown, 1, 0) == 1);
    CHECK(shown.revents == (POLLRDNORM | POLLWRNORM));
    REQUIRE(fd.set(0) == 0);
    CHECK(poll(&shown, 1, 0) == 0);
  });
}

TEST_CASE("an edge-triggered waiter gets one event for each time an event is set") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    int set = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd.get(), &event) == 0);
    epoll_event got{};
    CHECK(epoll_wait(set, &got, 1, 0) == 0);
    for (uint32_t bit : {EPOLLIN, EPOLLOUT}) {
      for (int i = 0; i < 5; i++) {
        fd.add(bit);
        REQUIRE(epoll_wait(set, &got, 1, 1000) == 1);
        CHECK(uint32_t{got.events} == bit);
        CHECK(epoll_wait(set, &got, 1, 0) == 0);
        fd.del(bit);
        CHECK(epoll_wait(set, &got, 1, 0) == 0);
      }
    }
    close(set);
  });
}
