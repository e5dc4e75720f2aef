// SPDX-License-Identifier: MIT
// What the tests of links over sockets share.
#pragma once

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "host/links/device.hpp"
#include "host/links/link_url.hpp"
#include "host/links/socket_links.hpp"
#include "host/support.hpp"

namespace vpollnet::host::test {

using Bytes = std::vector<std::uint8_t>;
using Frames = std::vector<Bytes>;

/// A UDP port of 127.0.0.1 that nobody has just now.
inline std::uint16_t free_udp_port() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

/// A folder that is gone at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "vpollnet-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string at(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Opens the device of a udp:, vxlan: or qemu: URL.
inline std::unique_ptr<Device> open_device(const std::string& text, Failure& failure) {
  LinkUrl url;
  failure = LinkUrl::parse(text, url);
  OpenDevice open;
  bool can_be_lost = false;
  if (!failure && url.scheme() == "udp") failure = read_udp_link(url, 0, open);
  if (!failure && url.scheme() == "vxlan") failure = read_vxlan_link(url, 0, open);
  if (!failure && url.scheme() == "qemu") failure = read_qemu_link(url, 0, open, can_be_lost);
  return failure ? nullptr : open(failure);
}

/// A device with what is around it in a link, driven by hand.
struct Driven {
  explicit Driven(const std::string& url) : device(open_device(url, failure)) {
    if (device != nullptr) device->count_in(counters);
  }
  std::string error() const { return failure.syscall + " " + failure.detail; }

  Errno send(const Bytes& bytes) {
    Packet packet(pool.copy(bytes));
    const Errno error = device->write(packet, pool);
    return error == Errno::ok ? device->flush(pool) : error;
  }
  /// Reads until `count` frames have come; what came.
  Frames receive(std::size_t count) {
    Frames all;
    eventually([&] {
      for (Bytes& bytes : poll()) all.push_back(std::move(bytes));
      return all.size() >= count;
    });
    return all;
  }
  /// What is there now.
  Frames poll() {
    Frames all;
    std::vector<Packet> frames;
    last = device->read(16, pool, frames);
    for (Packet& frame : frames) {
      const auto bytes = frame.linear(pool);
      all.emplace_back(bytes.begin(), bytes.end());
    }
    return all;
  }

  BlockPool pool;
  LinkCounters counters;
  Failure failure;
  std::unique_ptr<Device> device;
  Errno last = Errno::ok;
};

/// An Ethernet frame between hosts 02:...:FROM and 02:...:TO; 0xff is broadcast.
inline Bytes ethernet(std::uint8_t to, std::uint8_t from, std::size_t size = 60,
                      std::uint8_t fill = 0) {
  Bytes bytes(size, fill);
  std::fill_n(bytes.begin(), 12, 0);
  bytes[0] = bytes[6] = 2;
  bytes[5] = to;
  bytes[11] = from;
  if (to == 0xff) std::fill_n(bytes.begin(), 6, 0xff);
  bytes[12] = 0x88;
  bytes[13] = 0xb5;  // IEEE 802: for experiments
  return bytes;
}

}  // namespace vpollnet::host::test
