// SPDX-License-Identifier: MIT
#include "host/links/packet_socket.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "link/offload.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {
namespace {

constexpr std::size_t kRingBytes = 8u << 20;
constexpr std::size_t kBlockBytes = 256u << 10;
constexpr std::size_t kLeastSlot = 2048;
/// In a slot before the frame: tpacket2_hdr, sockaddr_ll, virtio_net_hdr, alignment.
constexpr std::size_t kSlotOverhead = 128;
/// Large frames in the socket's queue, and frames on their way out, at most.
constexpr int kSocketBuffer = 4 << 20;
constexpr std::size_t kMaxPieces = 64;

Failure failed(int error, const char* syscall, std::string detail = {}) {
  return {static_cast<Errno>(error), syscall, std::move(detail)};
}

std::string interface_names() {
  std::string names;
  struct if_nameindex* all = if_nameindex();
  for (const struct if_nameindex* one = all; one != nullptr && one->if_index != 0; one++) {
    names += (names.empty() ? "" : ", ") + std::string(one->if_name);
  }
  if (all != nullptr) if_freenameindex(all);
  return names;
}

template <class Value>
bool set(int fd, int level, int option, const Value& value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

bool set_packet(int fd, int option, int value) { return set(fd, SOL_PACKET, option, value); }

/// Lets frames to `mac` and to groups pass; what is for the kernel itself needs no place in the
/// ring.
bool attach_filter(int fd, const MacAddress& mac) {
  const auto& b = mac.bytes;
  const std::uint32_t high = std::uint32_t{b[0]} << 8 | b[1];
  const std::uint32_t low = std::uint32_t{b[2]} << 24 | std::uint32_t{b[3]} << 16 |
                            std::uint32_t{b[4]} << 8 | std::uint32_t{b[5]};
  constexpr std::uint32_t kAll = 0x40000;
  std::array<sock_filter, 8> program{
      sock_filter BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 4, 0),
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 3),
      sock_filter BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, kAll),
      sock_filter BPF_STMT(BPF_RET | BPF_K, 0),
  };
  return set(fd, SOL_SOCKET, SO_ATTACH_FILTER,
             sock_fprog{static_cast<unsigned short>(program.size()), program.data()});
}

}  // namespace

std::unique_ptr<PacketSocket> PacketSocket::open(const std::string& name, const MacAddress& mac,
                                                 bool offloads, Failure& failure) {
  // Protocol 0: nothing comes before everything is set up.
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    failure = failed(errno, "socket",
                     errno == EPERM
                         ? "a packet socket needs CAP_NET_RAW: run as root, or give it to the "
                           "program by: sudo setcap cap_net_raw+ep $(readlink -f $(which node))"
                         : "");
    return nullptr;
  }
  std::unique_ptr<PacketSocket> socket(new PacketSocket(fd));
  socket->capabilities_.offloads = {.segmentation = offloads, .checksum = offloads};
  return socket->set_up(name, mac, failure) ? std::move(socket) : nullptr;
}

bool PacketSocket::set_up(const std::string& name, const MacAddress& mac, Failure& failure) {
  ifreq request{};
  const bool possible = !name.empty() && name.size() < IFNAMSIZ;
  if (possible) name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int index = possible ? static_cast<int>(if_nametoindex(request.ifr_name)) : 0;
  if (index == 0) {
    failure = failed(ENODEV, "if_nametoindex",
                     "there is no interface '" + name + "'; there are " + interface_names());
    return false;
  }
  const auto ask = [&](unsigned long what, const char* call) {
    if (ioctl(fd_, what, &request) == 0) return true;
    failure = failed(errno, call);
    return false;
  };
  if (!ask(SIOCGIFHWADDR, "ioctl(SIOCGIFHWADDR)")) return false;
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
    failure = {Errno::invalid, "", "'" + name + "' is no Ethernet interface"};
    return false;
  }
  if (!ask(SIOCGIFFLAGS, "ioctl(SIOCGIFFLAGS)")) return false;
  if ((request.ifr_flags & IFF_UP) == 0) {
    failure = failed(ENETDOWN, "ioctl(SIOCGIFFLAGS)",
                     "'" + name + "' is down; take it up with: sudo ip link set " + name + " up");
    return false;
  }
  if (!ask(SIOCGIFMTU, "ioctl(SIOCGIFMTU)")) return false;
  capabilities_.mtu = static_cast<std::uint32_t>(request.ifr_mtu);

  // Kernels before 4.20 lack it: read() looks at each frame's direction, too.
  set_packet(fd_, PACKET_IGNORE_OUTGOING, 1);
  // With CAP_NET_ADMIN beyond the limit of rmem_max and wmem_max.
  if (!set(fd_, SOL_SOCKET, SO_RCVBUFFORCE, kSocketBuffer)) {
    set(fd_, SOL_SOCKET, SO_RCVBUF, kSocketBuffer);
  }
  if (!set(fd_, SOL_SOCKET, SO_SNDBUFFORCE, kSocketBuffer)) {
    set(fd_, SOL_SOCKET, SO_SNDBUF, kSocketBuffer);
  }
  if (!set_packet(fd_, PACKET_VERSION, TPACKET_V2) || !set_packet(fd_, PACKET_VNET_HDR, 1) ||
      !set_packet(fd_, PACKET_COPY_THRESH, 1)) {
    failure = failed(errno, "setsockopt(PACKET_VNET_HDR)");
    return false;
  }
  if (!mac.is_zero() && !attach_filter(fd_, mac)) {
    failure = failed(errno, "setsockopt(SO_ATTACH_FILTER)");
    return false;
  }
  if (!map_ring(failure)) return false;
  packet_mreq membership{};
  membership.mr_ifindex = index;
  membership.mr_type = PACKET_MR_PROMISC;
  if (!set(fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)) {
    failure = failed(errno, "setsockopt(PACKET_ADD_MEMBERSHIP)");
    return false;
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = index;
  if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    failure = failed(errno, "bind");
    return false;
  }
  return true;
}

bool PacketSocket::map_ring(Failure& failure) {
  const std::size_t wanted = capabilities_.mtu + wire::kEthernetTagged + kSlotOverhead;
  slot_size_ = kLeastSlot;
  while (slot_size_ < wanted && slot_size_ < kBlockBytes) slot_size_ *= 2;
  slots_ = kRingBytes / slot_size_;
  tpacket_req ring{};
  ring.tp_block_size = kBlockBytes;
  ring.tp_block_nr = kRingBytes / kBlockBytes;
  ring.tp_frame_size = static_cast<unsigned>(slot_size_);
  ring.tp_frame_nr = static_cast<unsigned>(slots_);
  if (!set(fd_, SOL_PACKET, PACKET_RX_RING, ring)) {
    failure = failed(errno, "setsockopt(PACKET_RX_RING)");
    return false;
  }
  void* mapped = mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) {
    failure = failed(errno, "mmap");
    return false;
  }
  ring_ = static_cast<std::uint8_t*>(mapped);
  ring_size_ = kRingBytes;
  return true;
}

PacketSocket::~PacketSocket() {
  if (ring_ != nullptr) munmap(ring_, ring_size_);
  ::close(fd_);
}

// --- receiving ---

Errno PacketSocket::read(std::size_t limit, BlockPool& pool, std::vector<Packet>& frames) {
  for (bool first = true; limit > 0; limit--, first = false) {
    std::uint8_t* slot = ring_ + next_ * slot_size_;
    const std::atomic_ref status(reinterpret_cast<tpacket2_hdr*>(slot)->tp_status);
    const std::uint32_t now = status.load(std::memory_order_acquire);
    if ((now & TP_STATUS_USER) == 0) {
      if (!first) return Errno::again;
      // Woken by no frame: the interface went down, or away.
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
      return error == 0 ? Errno::again : Errno(error);
    }
    take(slot, now, pool, frames);
    status.store(TP_STATUS_KERNEL, std::memory_order_release);
    next_ = (next_ + 1) % slots_;
  }
  return Errno::ok;
}

void PacketSocket::take(std::uint8_t* slot, std::uint32_t status, BlockPool& pool,
                        std::vector<Packet>& frames) {
  const auto& header = *reinterpret_cast<const tpacket2_hdr*>(slot);
  if ((status & TP_STATUS_LOSING) != 0) count_lost();
  const Tag tag{.present = (status & TP_STATUS_VLAN_VALID) != 0,
                .protocol = (status & TP_STATUS_VLAN_TPID_VALID) != 0
                                ? header.tp_vlan_tpid
                                : std::uint16_t{wire::kEtherVlan},
                .control = header.tp_vlan_tci};
  const auto* from =
      reinterpret_cast<const sockaddr_ll*>(slot + TPACKET_ALIGN(sizeof(tpacket2_hdr)));
  const bool ours = from->sll_pkttype == PACKET_OUTGOING;
  if ((status & TP_STATUS_COPY) != 0) {
    // It is in the queue whatever it is.
    std::vector<Packet> ignored;
    return take_queued(tag, pool, ours ? ignored : frames);
  }
  if (ours) return;
  const std::size_t size = header.tp_snaplen;
  if (size < header.tp_len) return drop(LinkDrop::queue_full);  // too large, the queue was full
  if (header.tp_mac < sizeof(VnetHeader) || header.tp_mac + size > slot_size_) {
    return drop(LinkDrop::malformed);
  }
  VnetHeader vnet;
  std::memcpy(&vnet, slot + header.tp_mac - sizeof vnet, sizeof vnet);
  Slice room = pool.allocate(static_cast<std::uint32_t>(size + wire::kVlanTag));
  std::memcpy(room.block()->data() + wire::kVlanTag, slot + header.tp_mac, size);
  deliver(std::move(room), size, tag, vnet, pool, frames);
}

void PacketSocket::take_queued(const Tag& tag, BlockPool& pool, std::vector<Packet>& frames) {
  VnetHeader vnet;
  Slice room = pool.allocate(BlockPool::kLargeCapacity);
  std::array<iovec, 2> pieces{
      iovec{&vnet, sizeof vnet},
      iovec{room.block()->data() + wire::kVlanTag, room.block()->capacity - wire::kVlanTag},
  };
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t got = ::recvmsg(fd_, &message, MSG_DONTWAIT);
  if (got <= static_cast<ssize_t>(sizeof vnet)) return drop(LinkDrop::malformed);
  if ((message.msg_flags & MSG_TRUNC) != 0) return drop(LinkDrop::too_long);
  deliver(std::move(room), static_cast<std::size_t>(got) - sizeof vnet, tag, vnet, pool, frames);
}

/// `room` holds the frame behind a place for a tag.
void PacketSocket::deliver(Slice&& room, std::size_t size, const Tag& tag, VnetHeader header,
                           BlockPool& pool, std::vector<Packet>& frames) {
  if (size < wire::kEthernetHeader) return drop(LinkDrop::malformed);
  std::uint8_t* bytes = room.block()->data();
  const auto end = static_cast<std::uint32_t>(size + wire::kVlanTag);
  room.block()->filled = end;
  room.extend(end);
  std::size_t link_header = wire::kEthernetHeader;
  if (tag.present) {
    constexpr std::size_t kAddresses = 12;
    std::memmove(bytes, bytes + wire::kVlanTag, kAddresses);
    const std::array<std::uint16_t, 2> words{htons(tag.protocol), htons(tag.control)};
    std::memcpy(bytes + kAddresses, words.data(), sizeof words);
    header.checksum_start = static_cast<std::uint16_t>(header.checksum_start + wire::kVlanTag);
    link_header += wire::kVlanTag;
  } else {
    room.trim_front(wire::kVlanTag);
  }
  Packet frame(std::move(room));
  if (!apply_vnet_header(header, frame)) return drop(LinkDrop::malformed);
  if ((header.gso_type & ~VnetHeader::kEcn) != VnetHeader::kUdp) {
    frames.push_back(std::move(frame));
    return;
  }
  // Datagrams that a sender on this machine gave to the kernel in one call (UDP_SEGMENT): no link
  // and no stack here takes them as one packet.
  link::segment(std::move(frame), link_header, false, pool,
                [&](Packet&& piece) { frames.push_back(std::move(piece)); });
}

void PacketSocket::count_lost() {
  tpacket_stats lost{};
  socklen_t size = sizeof lost;
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &lost, &size) == 0) {
    drop(LinkDrop::queue_full, lost.tp_drops);
  }
}

// --- sending ---

Errno PacketSocket::write(Packet& frame, BlockPool& pool) {
  VnetHeader header = to_vnet_header(frame, LinkType::ethernet);
  if (frame.body().size() > kMaxPieces) frame.linear(pool);
  std::array<iovec, 2 + kMaxPieces> pieces;
  std::size_t count = 0;
  const auto add = [&](const void* bytes, std::size_t size) {
    // sendmsg(2) does not write to what iov_base points to.
    if (size > 0) pieces[count++] = {const_cast<void*>(bytes), size};
  };
  add(&header, sizeof header);
  add(frame.head().data(), frame.head().size());
  for (const Slice& slice : frame.body()) add(slice.bytes().data(), slice.size());
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  while (::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EWOULDBLOCK) return Errno::again;
    if (errno != EINTR) return Errno(errno);
  }
  return Errno::ok;
}

bool PacketSocket::is_gone(Errno error) const {
  // ENOBUFS, of a full queue of the interface, and the like pass.
  const int number = static_cast<int>(error);
  return number == ENETDOWN || number == ENXIO || number == ENODEV || number == EBADF;
}

}  // namespace vpollnet::host
