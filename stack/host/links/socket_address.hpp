// SPDX-License-Identifier: MIT
// Addresses as the kernel's socket calls take them, and what is asked of the kernel about them.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "host/failure.hpp"
#include "host/links/descriptor.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// IPv4, IPv6 or the path of a Unix socket.
class SocketAddress {
 public:
  /// Of no family.
  SocketAddress() = default;
  /// `device` is the index of the interface where a link-local address or group is; 0 elsewhere.
  explicit SocketAddress(const Endpoint& endpoint, unsigned device = 0);
  /// EINVAL if the path is empty, has a NUL or is longer than 107 bytes (unix(7)).
  static Failure of_path(const std::string& path, SocketAddress& address);

  int family() const { return storage_.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

  /// The address and port; none for a path.
  Endpoint endpoint() const;
  /// "10.0.0.1:4789", "[fd00::1]:4789", "/run/vm.sock"
  std::string to_string() const;
  /// The same host, whatever the port.
  bool same_host(const SocketAddress& other) const;
  bool operator==(const SocketAddress& other) const;

  /// Of an IPv4 or IPv6 address.
  void set_port(std::uint16_t port);

  /// For a call that fills it in. `size` is then what the call said.
  sockaddr* fill() { return reinterpret_cast<sockaddr*>(&storage_); }
  void set_size(socklen_t size) { size_ = size; }
  static constexpr socklen_t kCapacity = sizeof(sockaddr_storage);

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

/// A socket that does not wait, closed on exec. None, and `failure` filled in, if there is none.
Descriptor open_socket(int family, int type, Failure& failure);

/// The interface's index; ENODEV if there is none of that name. 0 for an empty name.
Failure find_device(const std::string& name, unsigned& index);

/// What the kernel knows of the way to `peer`: the MTU of its outermost link or of the path, and
/// the own address that packets go out from. Sends nothing.
struct PathTo {
  std::uint32_t mtu = 0;
  SocketAddress own;
};
/// `local` is where packets are to come from, if it is not the unspecified address; `device` is the
/// index of the interface of a group. ENETUNREACH, EADDRNOTAVAIL and the like.
Failure find_path_to(const SocketAddress& peer, const SocketAddress& local, unsigned device,
                     PathTo& path);

}  // namespace vpollnet::host
