// SPDX-License-Identifier: MIT
#include "host/links/tap.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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
  int header_size = sizeof(VnetHeader);
  const unsigned offload = offloads ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_size) != 0 || ioctl(fd, TUNSETOFFLOAD, offload) != 0) {
    failure = failed(errno, "ioctl(TUNSETOFFLOAD)");
    return nullptr;
  }
  LinkCapabilities& is = tap->capabilities_;
  is.type = mode == Mode::ethernet ? LinkType::ethernet : LinkType::ip;
  if (const std::uint32_t mtu = mtu_of(name); mtu != 0) is.mtu = mtu;
  is.offloads = {.segmentation = offloads, .checksum = offloads};
  return tap;
}

Tap::~Tap() { ::close(fd_); }

Errno Tap::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  Slice block;
  while (limit > 0) {
    if (block.block() == nullptr) block = pool.allocate(BlockPool::kLargeCapacity);
    VnetHeader header{};
    const std::array<iovec, 2> pieces{
        iovec{&header, sizeof header},
        iovec{block.block()->data(), block.block()->capacity},
    };
    const ssize_t got = ::readv(fd_, pieces.data(), static_cast<int>(pieces.size()));
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EWOULDBLOCK ? Errno::again : Errno(errno);
    }
    limit--;
    if (static_cast<std::size_t>(got) <= sizeof header) continue;
    const auto size = static_cast<std::uint32_t>(static_cast<std::size_t>(got) - sizeof header);
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
  add(&header, sizeof header);
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
