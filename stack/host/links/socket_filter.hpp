// SPDX-License-Identifier: MIT
// Which frames are those of one socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "filter/flow.hpp"
#include "socket/table.hpp"
#include "stack.hpp"
#include "util/packet.hpp"

namespace vpollnet::host {

/// The packets of a tcp or udp socket, in both directions: those between its two ends, or of its
/// port while it has no peer; the fragments of them, behind a first one that was seen; and ICMP
/// errors that quote one. All calls come with the pump's lock held.
class SocketFilter {
 public:
  explicit SocketFilter(BlockPool& pool) : pool_(pool) {}

  /// `socket` must stay until detach(): its ends are read anew for each frame, as it may connect.
  void attach(const socket::Socket& socket);
  /// The socket is about to go: its ends stay as they are.
  void detach();
  /// The socket has gone: no frame fits any more.
  void forget() {
    socket_ = nullptr;
    local_ = remote_ = {};
  }
  const socket::Socket* socket() const { return socket_; }

  /// Whether the packet, which begins `header` bytes into the frame, is one of the socket's.
  bool wants(const Packet& frame, std::size_t header);
  /// The connection, or the socket that has none, is gone for good.
  bool is_over(const socket::SocketTable& table);

 private:
  struct Fragment {
    IpAddress source;
    IpAddress destination;
    std::uint32_t identification = 0;
    bool operator==(const Fragment&) const = default;
  };
  /// So many fragmented datagrams may be under way at once; more lose their later fragments here.
  static constexpr std::size_t kFragments = 64;

  void look();
  bool fits(const IpAddress& near, std::uint16_t near_port, const IpAddress& far,
            std::uint16_t far_port) const;
  bool fits(const filter::FlowTuple& tuple) const;

  BlockPool& pool_;
  const socket::Socket* socket_ = nullptr;
  std::uint8_t protocol_ = 0;
  Endpoint local_;
  Endpoint remote_;
  std::array<Fragment, kFragments> fragments_{};
  std::size_t next_fragment_ = 0;
};

}  // namespace vpollnet::host
