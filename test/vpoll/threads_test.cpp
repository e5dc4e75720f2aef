// SPDX-License-Identifier: MIT
// Many threads on one fd, waiters that are woken, and fds that come and go meanwhile.
#include "support.hpp"

#include <atomic>
#include <chrono>
#include <pthread.h>
#include <random>
#include <thread>

using namespace vpoll_test;

namespace {

// Lets a thread reach its poll. A waiter that comes later sees the level and passes all the same.
void give_time_to_wait() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

}  // namespace

TEST_CASE("a waiter in another thread is woken by each event") {
  on_each_backend([](const std::string&) {
    for (uint32_t bit : {EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLHUP, EPOLLERR}) {
      CAPTURE(bit);
      VpollFd fd;
      std::atomic<uint32_t> by_poll{0};
      std::atomic<uint32_t> by_epoll{0};
      std::thread poller([&] {
        pollfd wait{fd.get(), static_cast<short>(bit), 0};
        if (poll(&wait, 1, 5000) == 1) by_poll = static_cast<uint16_t>(wait.revents);
      });
      std::thread epoller([&] {
        int set = epoll_create1(EPOLL_CLOEXEC);
        epoll_event event{};
        event.events = bit;
        epoll_ctl(set, EPOLL_CTL_ADD, fd.get(), &event);
        if (epoll_wait(set, &event, 1, 5000) == 1) by_epoll = event.events;
        close(set);
      });
      give_time_to_wait();
      CHECK(fd.add(bit) == 0);
      poller.join();
      epoller.join();
      CHECK((by_poll & bit) == bit);
      CHECK((by_epoll & bit) == bit);
    }
  });
}

TEST_CASE("threads that race on one fd leave what the last call says") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (unsigned seed = 0; seed < 4; seed++)
      threads.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 3000; i++) {
          uint32_t events = random() & (EPOLLIN | EPOLLOUT | EPOLLPRI);
          int op = 1 + static_cast<int>(random() % 3);
          if (vpoll_ctl(fd.get(), op, events) != 0) failures++;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(failures == 0);
    for (uint32_t events : {uint32_t{EPOLLIN}, uint32_t{EPOLLOUT}, uint32_t{0}}) {
      REQUIRE(fd.set(events) == 0);
      CHECK(shown_by_poll(fd.get()) == events);
    }
  });
}

TEST_CASE("each thread's own bit is right whatever the others do") {
  on_each_backend([](const std::string&) {
    VpollFd fd;
    std::atomic<int> wrong{0};
    auto flip = [&](uint32_t bit) {
      for (int i = 0; i < 3000; i++) {
        pollfd shown{fd.get(), static_cast<short>(bit), 0};
        if (fd.add(bit) != 0 || poll(&shown, 1, 0) != 1) wrong++;
        if (fd.del(bit) != 0 || poll(&shown, 1, 0) != 0) wrong++;
      }
    };
    std::thread in(flip, EPOLLIN);
    std::thread out(flip, EPOLLOUT);
    in.join();
    out.join();
    CHECK(wrong == 0);
  });
}

TEST_CASE("vpoll_ctl against vpoll_close and vpoll_create: success or EBADF, and no fd is lost") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    std::atomic<int> number{vpoll_create(0, FD_CLOEXEC)};
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; i++)
      callers.emplace_back([&] {
        for (uint32_t turn = 0; !stop; turn++)
          if (vpoll_ctl(number, VPOLL_CTL_SETEVENTS, turn % 2 == 0 ? EPOLLIN : EPOLLOUT) != 0 &&
              errno != EBADF)
            wrong++;
      });
    for (int i = 0; i < 2000; i++) {
      if (vpoll_close(number) != 0) wrong++;
      number = vpoll_create(EPOLLIN, FD_CLOEXEC);
      if (number < 0) wrong++;
    }
    stop = true;
    for (std::thread& caller : callers) caller.join();
    CHECK(vpoll_close(number) == 0);
    CHECK(wrong == 0);
    CHECK(open_fds().size() == before);
  });
}

TEST_CASE("a thread that is cancelled meanwhile loses no fd, and keeps nobody from going on") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    static int made;
    pthread_t thread;
    void* result = nullptr;
    auto run = [&](void* (*body)(void*)) {
      REQUIRE(pthread_create(&thread, nullptr, body, nullptr) == 0);
      REQUIRE(pthread_join(thread, &result) == 0);
    };
    for (int i = 0; i < 3; i++) {
      made = -1;
      run([](void*) -> void* {
        pthread_cancel(pthread_self());
        made = vpoll_create(0, FD_CLOEXEC);
        return nullptr;
      });
      REQUIRE(made >= 0);
      // This one may end on the way; what it was about to set is set by the next.
      run([](void*) -> void* {
        pthread_cancel(pthread_self());
        vpoll_ctl(made, VPOLL_CTL_SETEVENTS, EPOLLIN);
        return nullptr;
      });
      CHECK(vpoll_ctl(made, VPOLL_CTL_SETEVENTS, EPOLLOUT) == 0);
      CHECK(shown_by_poll(made) == EPOLLOUT);
      run([](void*) -> void* {
        pthread_cancel(pthread_self());
        vpoll_close(made);
        return nullptr;
      });
      CHECK(vpoll_close(made) == -1);
      CHECK(open_fds().size() == before);
    }
  });
}

TEST_CASE("threads that make and close fds at once do not meet") {
  on_each_backend([](const std::string&) {
    size_t before = open_fds().size();
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
      threads.emplace_back([&] {
        for (int round = 0; round < 300; round++) {
          int fd = vpoll_create(EPOLLOUT, FD_CLOEXEC);
          pollfd shown{fd, POLLIN | POLLOUT, 0};
          if (fd < 0 || poll(&shown, 1, 0) != 1 || shown.revents != POLLOUT) wrong++;
          if (vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, EPOLLIN) != 0) wrong++;
          if (poll(&shown, 1, 0) != 1 || shown.revents != POLLIN) wrong++;
          if (vpoll_close(fd) != 0) wrong++;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(open_fds().size() == before);
  });
}
