// SPDX-License-Identifier: MIT
#include "host/links/tap.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "host/links/vnet_header.hpp"

namespace vpollnet::host {
namespace {

// Below this a frame is copied into a block of its size: a queue of small frames must not hold
// 64 KiB for each.
constexpr std::size_t kKeepWhole = 16 * 1024;
constexpr std::size_t kMaxPieces = 64;

Failure failed(int error, const char* syscall, std::string detail = {}) {
  return {static_cast<Errno>(error), syscall, std::move(detail)};
}

/// dev_valid_name() of the kernel, and no '%', which asks it to make up a number.
bool is_device_name(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  return name.find_first_of("/:% \t\n\v\f\r") == std::string::npos;
}

std::string advice(int error, const std::string& name, Tap::Mode mode) {
  const std::string kind = mode == Tap::Mode::ethernet ? "tap" : "tun";
  switch (error) {
  case EPERM:
  case EACCES:
    return "'" + name + "' does not exist, or belongs to another user; make it with: " +
           "sudo ip tuntap add dev " + name + " mode " + kind + " user $USER";
  case EBUSY: return "another program has '" + name + "' open";
  case EINVAL: return "'" + name + "' exists, and is no " + kind + " device with a single queue";
  default: return {};
  }
}

/// The device's MTU, or 0.
std::uint32_t mtu_of(const std::string& name) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  const bool known = ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0;
  ::close(fd);
  return known ? static_cast<std::uint32_t>(request.ifr_mtu) : 0;
}

/// Whether the device behind `fd` is in the network namespace of this thread: its name says nothing
/// in another one.
bool is_in_our_namespace(int fd) {
  const int theirs = ioctl(fd, TUNGETDEVNETNS);
  if (theirs < 0) return false;
  struct stat device {};
  struct stat own {};
  const bool known = fstat(theirs, &device) == 0 && stat("/proc/thread-self/ns/net", &own) == 0;
  ::close(theirs);
  return known && device.st_dev == own.st_dev && device.st_ino == own.st_ino;
}

std::string mode_name(Tap::Mode mode) { return mode == Tap::Mode::ethernet ? "TAP" : "TUN"; }

}  // namespace

std::unique_ptr<Tap> Tap::open(const std::string& name, Mode mode, bool offloads,
                               Failure& failure) {
  if (!is_device_name(name)) {
    failure = {Errno::invalid, "",
               "'" + name +
                   "' is no device name: 1 to 15 characters, without "
                   "space, '/', ':' and '%'"};
    return nullptr;
  }
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    failure = failed(errno, "open",
                     "/dev/net/tun: is the tun module loaded, and may this user "
                     "open it?");
    return nullptr;
  }
  std::unique_ptr<Tap> tap(new Tap(fd));

  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags =
      static_cast<short>((mode == Mode::ethernet ? IFF_TAP : IFF_TUN) | IFF_NO_PI | IFF_VNET_HDR);
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    failure = failed(errno, "ioctl(TUNSETIFF)", advice(errno, name, mode));
    return nullptr;
  }
  failure = tap->set_up(mode, mtu_of(name), offloads);
  return failure ? nullptr : std::move(tap);
}

std::unique_ptr<Tap> Tap::adopt(int descriptor, Mode mode, bool offloads, Failure& failure) {
  const std::string what = "descriptor " + std::to_string(descriptor);
  const int fd = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    failure = failed(errno, "fcntl", errno == EBADF ? what + " is not open" : std::string());
    return nullptr;
  }
  std::unique_ptr<Tap> tap(new Tap(fd));
  ifreq request{};
  struct stat kind {};
  // Of other files, a number of ours may ask for something else.
  if (fstat(fd, &kind) != 0 || !S_ISCHR(kind.st_mode) || ioctl(fd, TUNGETIFF, &request) != 0) {
    const bool unattached = S_ISCHR(kind.st_mode) && errno == EBADFD;
    failure = {Errno::invalid, "",
               what + (unattached ? " is attached to no device yet: ioctl(TUNSETIFF)"
                                  : " is no TUN or TAP")};
    return nullptr;
  }
  // IFF_NO_PI is no use here: its bit is IFF_NOFILTER too, which the kernel sets.
  const int flags = request.ifr_flags;
  const Mode found = (flags & IFF_TAP) != 0 ? Mode::ethernet : Mode::ip;
  if (found != mode) {
    failure = {Errno::invalid, "",
               what + " is a " + mode_name(found) + ", not a " + mode_name(mode)};
    return nullptr;
  }
  const int status = fcntl(fd, F_GETFL);
  if (status < 0 || fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0) {
    failure = failed(errno, "fcntl");
    return nullptr;
  }
  tap->has_header_ = (flags & IFF_VNET_HDR) != 0;
  const std::string name(request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ));
  const std::uint32_t mtu = is_in_our_namespace(fd) ? mtu_of(name) : 0;
  failure = tap->set_up(mode, mtu, offloads);
  return failure ? nullptr : std::move(tap);
}

/// `mtu` 0: not known.
Failure Tap::set_up(Mode mode, std::uint32_t mtu, bool offloads) {
  // Without the header nobody could say what is left to do: the kernel then does it.
  const bool leaves = offloads && has_header_;
  int header_size = sizeof(VnetHeader);
  const unsigned offload = leaves ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
  if ((has_header_ && ioctl(fd_, TUNSETVNETHDRSZ, &header_size) != 0) ||
      ioctl(fd_, TUNSETOFFLOAD, offload) != 0) {
    return failed(errno, "ioctl(TUNSETOFFLOAD)");
  }
  capabilities_.type = mode == Mode::ethernet ? LinkType::ethernet : LinkType::ip;
  if (mtu != 0) capabilities_.mtu = mtu;
  capabilities_.offloads = {.segmentation = leaves, .checksum = leaves};
  return {};
}

Tap::~Tap() { ::close(fd_); }

Errno Tap::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  Slice block;
  while (limit > 0) {
    if (block.block() == nullptr) block = pool.allocate(BlockPool::kLargeCapacity);
    VnetHeader header{};
    const std::size_t header_size = has_header_ ? sizeof header : 0;
    const std::array<iovec, 2> pieces{
        iovec{&header, header_size},
        iovec{block.block()->data(), block.block()->capacity},
    };
    const ssize_t got = ::readv(fd_, pieces.data(), static_cast<int>(pieces.size()));
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EWOULDBLOCK ? Errno::again : Errno(errno);
    }
    limit--;
    if (static_cast<std::size_t>(got) <= header_size) continue;
    const auto size = static_cast<std::uint32_t>(static_cast<std::size_t>(got) - header_size);
    Slice bytes;
    if (size < kKeepWhole) {
      bytes = pool.copy({block.block()->data(), size});
    } else {
      bytes = std::move(block);
      bytes.block()->filled = size;
      bytes.extend(size);
      block = Slice();
    }
    Packet frame(std::move(bytes));
    if (apply_vnet_header(header, frame)) frames.push_back(std::move(frame));
  }
  return Errno::ok;
}

Errno Tap::write(Packet& frame, BlockPool& pool) {
  VnetHeader header = to_vnet_header(frame, capabilities_.type);
  // A stream of tiny writes makes a packet of many slices.
  if (frame.body().size() > kMaxPieces) frame.linear(pool);
  std::array<iovec, 2 + kMaxPieces> pieces;
  int count = 0;
  const auto add = [&](const void* bytes, std::size_t size) {
    // writev(2) does not write to what iov_base points to.
    if (size > 0) pieces[static_cast<std::size_t>(count++)] = {const_cast<void*>(bytes), size};
  };
  if (has_header_) add(&header, sizeof header);
  add(frame.head().data(), frame.head().size());
  for (const Slice& slice : frame.body()) add(slice.bytes().data(), slice.size());
  while (::writev(fd_, pieces.data(), count) < 0) {
    if (errno == EWOULDBLOCK) return Errno::again;
    if (errno != EINTR) return Errno(errno);
  }
  return Errno::ok;
}

bool Tap::is_gone(Errno error) const {
  // EBADFD: the device was deleted. EIO (it is down) and the like pass.
  const int number = static_cast<int>(error);
  return number == ENODEV || number == EBADFD || number == EBADF;
}

}  // namespace vpollnet::host
