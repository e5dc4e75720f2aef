// SPDX-License-Identifier: MIT
// The FUSE back end: each way to its mount, and what becomes of its fds as processes come and go.
//
// A process has one server, made with its first fd. So a test that is about the server runs a
// "subject" in a fresh process of the same program:
//
//   test -> supervisor (adopts what the subject leaves) -> subject -> its server
#include "support.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <thread>

using namespace vpoll_test;

namespace {

constexpr int kCannotBeHad = 77;
constexpr int kLeftSomething = 99;
constexpr int kHangs = 98;
constexpr uid_t kNobody = 65534;
const dev_t kFuse = makedev(10, 229);
constexpr auto kMoment = std::chrono::milliseconds(10);
constexpr int kPatience = 1000;  // moments: a limit, never a measure

/// Waits for a child as long as one may; its exit code, or 128 + signal.
int code_of(pid_t child, int options = 0) {
  int status = 0;
  for (int i = 0; i < kPatience; i++) {
    if (waitpid(child, &status, options | WNOHANG) == child)
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::this_thread::sleep_for(kMoment);
  }
  return kHangs;
}

/// Becomes nobody, where /dev/fuse is open to all as on most systems. For root only.
void become_nobody() {
  char folder[] = "/tmp/fuse-test-XXXXXX";
  bool done = unshare(CLONE_NEWNS) == 0 &&
              mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              mkdtemp(folder) != nullptr && mount("none", folder, "tmpfs", 0, nullptr) == 0;
  std::string node = std::string(folder) + "/node";
  done = done && mknod(node.c_str(), S_IFCHR | 0666, kFuse) == 0 &&
         chmod(node.c_str(), 0666) == 0 &&
         mount(node.c_str(), "/dev/fuse", nullptr, MS_BIND, nullptr) == 0 &&
         umount2(folder, MNT_DETACH) == 0 && rmdir(folder) == 0 && setgid(kNobody) == 0 &&
         setuid(kNobody) == 0;
  if (!done) {
    std::perror("become nobody");
    _exit(kHangs);
  }
}

/// Takes away the system calls that Linux 5.1 does not have. For root only.
void become_old() {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsopen, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{std::size(steps), steps};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    std::perror("seccomp");
    _exit(kHangs);
  }
}

enum class As { kSelf, kUnprivileged, kOldKernel };

constexpr const char* kSubjectVariable = "VPOLL_TEST_SUBJECT";

/// What a fresh process is to do, with doctest's checks.
class Subject {
 public:
  Subject(const char* name, void (*body)()) { all()[name] = body; }
  static std::map<std::string, void (*)()>& all() {
    static std::map<std::string, void (*)()> subjects;
    return subjects;
  }
};

[[noreturn]] void exec_subject(const char* subject) {
  setenv(kSubjectVariable, subject, 1);
  execl("/proc/self/exe", "test_vpoll", "--test-case=the subject *", "--minimal", nullptr);
  _exit(kHangs);
}

[[noreturn]] void supervise(const char* subject, As as) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t child = fork();
  if (child == 0) {
    if (as == As::kUnprivileged) become_nobody();
    if (as == As::kOldKernel) become_old();
    exec_subject(subject);
  }
  int code = code_of(child);
  // What is left is ours now: servers, which must end by themselves, and orphans.
  for (int i = 0; i < kPatience; i++) {
    int status = 0;
    pid_t ended = waitpid(-1, &status, WNOHANG | __WALL);
    if (ended < 0) _exit(code);
    if (ended > 0 && status != 0 && code == 0) code = kLeftSomething;
    if (ended == 0) std::this_thread::sleep_for(kMoment);
  }
  _exit(kLeftSomething);
}

/// Runs a subject with a mount made in the given way ("" for any).
void run_subject(const char* subject, const std::string& way = "", As as = As::kSelf) {
  CAPTURE(std::string(subject));
  CAPTURE(way);
  CAPTURE(static_cast<int>(as));
  Backend forced("fuse");
  Environment chosen("VPOLL_FUSE_MOUNT", way.c_str());
  std::fflush(nullptr);
  pid_t supervisor = fork();
  REQUIRE(supervisor >= 0);
  if (supervisor == 0) supervise(subject, as);
  int status = 0;
  REQUIRE(waitpid(supervisor, &status, 0) == supervisor);
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == kCannotBeHad)
    MESSAGE("[skip] fuse ", way, as == As::kUnprivileged ? " as nobody" : "", ": see above");
  else
    CHECK(code == 0);
}

/// The first line of every subject.
void needs_fuse() {
  int fd = vpoll_create(0, FD_CLOEXEC);
  if (fd >= 0) {
    vpoll_close(fd);
    return;
  }
  std::printf("[skip] %s\n", vpoll_error());
  std::fflush(stdout);
  _exit(kCannotBeHad);
}

/// Whoever runs the tests of another back end does not want these.
bool is_asked_for() {
  const char* only = std::getenv("VPOLL_BACKEND");
  return only == nullptr || *only == '\0' || std::strcmp(only, "fuse") == 0;
}

bool is_here() {
  const std::vector<std::string>& names = available_backends();
  if (std::find(names.begin(), names.end(), "fuse") != names.end()) return true;
  MESSAGE("[skip] fuse: cannot be had here, or was not asked for");
  return false;
}

/// All bits that a waiter can see, unlike shown_by_poll.
uint32_t all_shown(int fd) {
  pollfd shown{fd, static_cast<short>(0xffff), 0};
  REQUIRE(poll(&shown, 1, 0) >= 0);
  return static_cast<uint16_t>(shown.revents);
}

/// The devices that a process has open; 0 for what is no device.
std::vector<dev_t> open_in(pid_t process) {
  std::vector<dev_t> found;
  std::string folder = "/proc/" + std::to_string(process) + "/fd";
  DIR* fds = opendir(folder.c_str());
  REQUIRE(fds != nullptr);
  while (dirent* entry = readdir(fds)) {
    struct stat facts {};
    std::string path = folder + "/" + entry->d_name;
    if (entry->d_name[0] != '.' && stat(path.c_str(), &facts) == 0) found.push_back(facts.st_rdev);
  }
  closedir(fds);
  return found;
}

/// A waiter sleeps on fd, then another thread sets `event`.
bool wakes(int fd, uint32_t event) {
  vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, 0);
  std::thread setter([&] {
    std::this_thread::sleep_for(kMoment);
    vpoll_ctl(fd, VPOLL_CTL_SETEVENTS, event);
  });
  pollfd shown{fd, POLLIN | POLLOUT, 0};
  int count = poll(&shown, 1, 10'000);
  setter.join();
  return count == 1 && static_cast<uint16_t>(shown.revents) == event;
}

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Our child that is named so, or 0.
pid_t find_server() {
  std::string parent = "PPid:\t" + std::to_string(getpid()) + "\n";
  pid_t found = 0;
  DIR* folder = opendir("/proc");
  while (dirent* entry = readdir(folder)) {
    std::string text = file_text(std::string("/proc/") + entry->d_name + "/status");
    if (text.rfind("Name:\tvpoll-fuse\n", 0) == 0 && text.find(parent) != std::string::npos)
      found = std::atoi(entry->d_name);
  }
  closedir(folder);
  return found;
}

}  // namespace

TEST_CASE("the subject of another test, if this process was made for one") {
  const char* name = std::getenv(kSubjectVariable);
  if (name == nullptr) return;
  auto found = Subject::all().find(name);
  REQUIRE(found != Subject::all().end());
  found->second();
}

// ---- the ways ----

const Subject every_bit_is_exact("every bit is exact", [] {
  needs_fuse();
  VpollFd fd;
  for (uint32_t bit : {EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDNORM, EPOLLRDBAND,
                       EPOLLWRNORM, EPOLLWRBAND, EPOLLMSG, EPOLLRDHUP}) {
    CAPTURE(bit);
    for (int i = 0; i < 2; i++) {
      REQUIRE(fd.set(bit) == 0);
      CHECK(all_shown(fd.get()) == bit);
      CHECK((vpoll_exact(fd.get()) & bit) == bit);
      REQUIRE(fd.set(0) == 0);
      CHECK(all_shown(fd.get()) == 0);
    }
  }
  REQUIRE(fd.set(kAllSix) == 0);
  CHECK(shown_by_epoll(fd.get()) == kAllSix);
  REQUIRE(fd.del(EPOLLHUP | EPOLLERR) == 0);
  CHECK(shown_by_epoll(fd.get()) == (kAllSix & ~(EPOLLHUP | EPOLLERR)));
  CHECK(wakes(fd.get(), EPOLLIN));
  CHECK(wakes(fd.get(), EPOLLHUP));

  // A pipe of ours that the server held would never end for its reader.
  for (dev_t device : open_in(find_server())) CHECK((device == kFuse || device == makedev(1, 3)));

  // Nothing is left where anybody could find it.
  CHECK(file_text("/proc/self/mountinfo").find("vpoll") == std::string::npos);
  DIR* folder = opendir("/tmp");
  while (dirent* entry = readdir(folder)) {
    struct stat facts {};
    CAPTURE(entry->d_name);
    std::string path = std::string("/tmp/") + entry->d_name;
    if (std::strncmp(entry->d_name, "vpoll-", 6) == 0 && lstat(path.c_str(), &facts) == 0)
      CHECK(facts.st_uid != geteuid());
  }
  closedir(folder);
});

TEST_CASE("each way to a mount shows every bit exactly, and its server ends with the program") {
  if (!is_asked_for()) return;
  for (const char* way : {"direct", "userns", "fusermount"}) run_subject("every bit is exact", way);
  if (geteuid() != 0) return;
  for (const char* way : {"userns", "fusermount", ""})
    run_subject("every bit is exact", way, As::kUnprivileged);
  for (const char* way : {"direct", "userns"})
    run_subject("every bit is exact", way, As::kOldKernel);
}

const Subject the_refusal_says_why("the refusal says why", [] {
  CHECK(vpoll_create(0, FD_CLOEXEC) == -1);
  CHECK(errno == EOPNOTSUPP);
  std::string text = vpoll_error();
  CAPTURE(text);
  CHECK(text.rfind("fuse: direct: ", 0) == 0);
  CHECK(text.find("Operation not permitted") != std::string::npos);
});

const Subject a_way_that_is_none("a way that is none", [] {
  CHECK(vpoll_create(0, FD_CLOEXEC) == -1);
  CHECK(std::string(vpoll_error()).find("VPOLL_FUSE_MOUNT=teleport") != std::string::npos);
});

TEST_CASE("where no way leads to a mount, the error says what failed") {
  if (!is_asked_for()) return;
  if (geteuid() != 0) return;
  run_subject("the refusal says why", "direct", As::kUnprivileged);
  run_subject("a way that is none", "teleport");
}

const Subject another_user("another user", [] {
  needs_fuse();
  VpollFd fd;
  REQUIRE(setuid(kNobody) == 0);
  CHECK(wakes(fd.get(), EPOLLIN));
  CHECK(wakes(fd.get(), EPOLLOUT));
  const char* way = std::getenv("VPOLL_FUSE_MOUNT");
  if (std::strcmp(way, "direct") != 0) return;
  VpollFd fresh(EPOLLIN);
  CHECK(all_shown(fresh.get()) == EPOLLIN);
});

TEST_CASE("a program that gives up root keeps its fds, and makes new ones by the direct way") {
  if (!is_asked_for()) return;
  if (geteuid() != 0) return;
  for (const char* way : {"direct", "fusermount"}) run_subject("another user", way);
}

// ---- processes that come and go ----

const Subject the_maker_ends_first("the maker ends first", [] {
  needs_fuse();
  VpollFd fd(EPOLLOUT);
  pid_t maker = getpid();
  pid_t child = fork();
  REQUIRE(child >= 0);
  if (child > 0) _exit(0);
  while (getppid() == maker) std::this_thread::sleep_for(kMoment);
  bool right = all_shown(fd.get()) == EPOLLOUT;
  right &= wakes(fd.get(), EPOLLIN) && wakes(fd.get(), EPOLLOUT);
  VpollFd fresh(EPOLLPRI);
  right &= all_shown(fresh.get()) == EPOLLPRI && wakes(fresh.get(), EPOLLIN);
  _exit(right ? 0 : 1);
});

TEST_CASE("a child goes on with all fds, and makes more, after the process that made them") {
  if (!is_asked_for()) return;
  run_subject("the maker ends first");
}

const Subject what_an_exec_left("what an exec left", [] {
  int kept = std::atoi(std::getenv("KEPT"));
  CHECK(all_shown(kept) == EPOLLIN);
  CHECK(fcntl(std::atoi(std::getenv("CLOSED")), F_GETFD) == -1);
  CHECK(vpoll_ctl(kept, VPOLL_CTL_SETEVENTS, 0) == -1);
});

const Subject exec("exec", [] {
  needs_fuse();
  // REQUIRE: what CHECK finds would be lost with the exec at the end.
  int kept = vpoll_create(EPOLLIN, 0);
  // The highest number: those that the next program opens come below.
  VpollFd made(EPOLLIN, FD_CLOEXEC);
  REQUIRE(fcntl(kept, F_GETFD) == 0);
  REQUIRE(fcntl(made.get(), F_GETFD) == FD_CLOEXEC);
  int closed = fcntl(made.get(), F_DUPFD_CLOEXEC, 900);
  static std::atomic<bool> polling{false};
  std::thread([closed] {
    for (;;) {
      all_shown(closed);
      polling = true;
    }
  }).detach();
  while (!polling) std::this_thread::yield();
  setenv("KEPT", std::to_string(kept).c_str(), 1);
  setenv("CLOSED", std::to_string(closed).c_str(), 1);
  pid_t child = fork();
  if (child == 0) exec_subject("what an exec left");
  REQUIRE(code_of(child) == 0);
  exec_subject("what an exec left");
});

TEST_CASE("exec closes what is close-on-exec, and the rest shows what it showed") {
  if (!is_asked_for()) return;
  run_subject("exec");
}

const Subject the_server_is_killed("the server is killed", [] {
  needs_fuse();
  VpollFd fd;
  pid_t server = find_server();
  REQUIRE(server > 0);
  std::thread killer([&] {
    std::this_thread::sleep_for(kMoment);
    kill(server, SIGKILL);
  });
  pollfd shown{fd.get(), POLLIN, 0};
  CHECK(poll(&shown, 1, 10'000) == 1);
  killer.join();
  waitpid(server, nullptr, __WALL);
  CHECK((shown.revents & POLLERR) != 0);
  fd.set(EPOLLIN);
  CHECK((shown_by_poll(fd.get()) & EPOLLERR) != 0);
  VpollFd fresh(EPOLLOUT);
  CHECK(all_shown(fresh.get()) == EPOLLOUT);
  CHECK(wakes(fresh.get(), EPOLLIN));
});

TEST_CASE("when the server is killed its fds show ERR, and new ones get another server") {
  if (!is_asked_for()) return;
  run_subject("the server is killed");
}

TEST_CASE("a process ends at any moment, with a thousand fds and threads that poll them") {
  if (!is_here()) return;
  Backend forced("fuse");
  VpollFd ours;
  std::mt19937 random(1);
  for (int i = 0; i < 15; i++) {
    CAPTURE(i);
    unsigned moment = 5000 + random() % 20'000;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      std::vector<int> fds;
      for (int k = 0; k < 1000; k++) fds.push_back(vpoll_create(EPOLLIN, k % 2 * FD_CLOEXEC));
      for (int k = 0; k < 3; k++)
        std::thread([&fds, &ours] {
          for (size_t at = 0;; at++) {
            pollfd both[] = {{fds[at % fds.size()], POLLIN, 0}, {ours.get(), POLLIN, 0}};
            poll(both, 2, 0);
          }
        }).detach();
      std::this_thread::sleep_for(std::chrono::microseconds(moment));
      if (i % 3 == 0) kill(getpid(), SIGKILL);
      if (i % 3 == 1) execl("/bin/true", "true", nullptr);
      _exit(0);
    }
    REQUIRE(code_of(child) == (i % 3 == 0 ? 128 + SIGKILL : 0));
    REQUIRE(ours.set(i % 2 == 0 ? EPOLLOUT : EPOLLPRI) == 0);
    REQUIRE(all_shown(ours.get()) == (i % 2 == 0 ? EPOLLOUT : EPOLLPRI));
  }
}

TEST_CASE("parent and child each poll while the other changes what they share") {
  if (!is_here()) return;
  Backend forced("fuse");
  VpollFd ping;
  VpollFd pong;
  auto wait_and_clear = [](VpollFd& fd) {
    pollfd shown{fd.get(), POLLIN, 0};
    return poll(&shown, 1, 10'000) == 1 && shown.revents == POLLIN && fd.set(0) == 0;
  };
  constexpr int kRounds = 500;
  pid_t child = fork();
  REQUIRE(child >= 0);
  bool right = true;
  for (int i = 0; i < kRounds && right; i++)
    right = child == 0 ? wait_and_clear(ping) && pong.add(EPOLLIN) == 0
                       : ping.add(EPOLLIN) == 0 && wait_and_clear(pong);
  if (child == 0) _exit(right ? 0 : 1);
  CHECK(right);
  CHECK(code_of(child) == 0);
}

// ---- many ----

TEST_CASE("5,000 fds and copies of them are closed in any order, and the others go on") {
  if (!is_here()) return;
  Backend forced("fuse");
  size_t before = open_fds().size();
  struct Pair {
    int fd;
    int copy;
    uint32_t events;
  };
  std::vector<Pair> pairs;
  for (uint32_t i = 0; i < 5000; i++) {
    uint32_t events = i % 0x20;
    int fd = vpoll_create(events & kAllSix, FD_CLOEXEC);
    REQUIRE(fd >= 0);
    pairs.push_back({fd, i % 3 == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1, events & kAllSix});
  }
  std::shuffle(pairs.begin(), pairs.end(), std::mt19937(7));
  while (!pairs.empty()) {
    for (const Pair& each : pairs)
      if (pairs.size() % 1000 == 0) REQUIRE(all_shown(each.fd) == each.events);
    Pair last = pairs.back();
    pairs.pop_back();
    if (last.copy >= 0) {
      REQUIRE(vpoll_ctl(last.fd, VPOLL_CTL_SETEVENTS, EPOLLPRI) == 0);
      REQUIRE(vpoll_close(last.fd) == 0);
      REQUIRE(all_shown(last.copy) == EPOLLPRI);
      close(last.copy);
    } else {
      REQUIRE(vpoll_close(last.fd) == 0);
    }
  }
  CHECK(open_fds().size() == before);
}
