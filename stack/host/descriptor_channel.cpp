// SPDX-License-Identifier: MIT
#include "host/descriptor_channel.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vpollnet::host {
namespace {

constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxDescriptors = 16;

}  // namespace

Result<std::array<Descriptor, 2>> open_descriptor_channel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return Errno(errno);
  return std::array<Descriptor, 2>{Descriptor(ends[0]), Descriptor(ends[1])};
}

Result<ChannelMessage> receive_message(int channel) {
  ChannelMessage result;
  result.text.resize(kMaxText);
  iovec piece{result.text.data(), result.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  // ECONNRESET: it has gone with a message of ours unread.
  if (got < 0 && errno != ECONNRESET) return Errno(errno);
  result.text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  for (cmsghdr* header = got < 0 ? nullptr : CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      result.descriptors.emplace_back(fd);
    }
  }
  // MSG_CTRUNC: also where no descriptor was left for one of those that came.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return Errno::too_many_open;
  if ((message.msg_flags & MSG_TRUNC) != 0) return Errno::message_size;
  return result;
}

Errno send_message(int channel, std::string_view text) {
  while (::send(channel, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return Errno(errno);
  }
  return Errno::ok;
}

Result<Descriptor> memory_file(std::string_view bytes) {
  Descriptor file(memfd_create("vpollnet", MFD_CLOEXEC));
  if (!file) return Errno(errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Errno(errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return file;
}

}  // namespace vpollnet::host
