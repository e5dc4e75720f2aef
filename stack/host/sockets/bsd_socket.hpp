// SPDX-License-Identifier: MIT
// A SocketHandle over BSD calls: of the host's kernel, or of a plug-in.
//
// Family. A socket of ours takes both families; BSD's has one from the start. On the host's kernel
// a tcp or udp socket is one of AF_INET6 that takes IPv4 as v4-mapped addresses (RFC 4291 2.5.5.2),
// whose text form is never shown; where the host has no IPv6, one of AF_INET. On a plug-in, which
// may not know mapped addresses, and for icmp, whose protocol depends on the family, the descriptor
// is made when the family is known: by bind, connect or sendto with an address. Read before, `fd`
// makes one of AF_INET6 (icmp: of AF_INET). Options set before are tried on a socket that is made
// for it, and kept.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "host/network.hpp"
#include "host/readiness.hpp"
#include "host/sockets/bsd_calls.hpp"
#include "host/sockets/bsd_options.hpp"

namespace vpollnet::host {

class BsdStack;

class BsdSocket final : public SocketHandle {
 public:
  BsdSocket(std::shared_ptr<BsdStack> stack, std::shared_ptr<const BsdCalls> calls,
            socket::Type type);
  ~BsdSocket() override { close(); }
  BsdSocket(const BsdSocket&) = delete;
  BsdSocket& operator=(const BsdSocket&) = delete;

  /// Once, before any other call: makes the descriptor, or looks whether it could be made.
  Errno open();

  Errno bind(const Endpoint& local) override;
  Errno connect(const Endpoint& peer) override;
  Errno listen(int backlog) override;
  Result<std::shared_ptr<SocketHandle>> accept() override;
  Result<std::size_t> send(std::span<const std::uint8_t> data, std::uint32_t flags) override;
  Result<std::size_t> send_to(std::span<const std::uint8_t> data, const Endpoint& to,
                              std::uint32_t flags) override;
  /// `from` is left empty for tcp.
  Result<socket::Received> receive(std::span<std::uint8_t> buffer, std::uint32_t flags) override;
  Errno shutdown(socket::Shutdown how) override;
  Errno set_membership(const IpAddress& group, InterfaceId interface, bool member) override;
  Errno set_source_membership(const IpAddress& group, const IpAddress& source,
                              InterfaceId interface, bool member) override;
  Errno set_option(socket::Option option, std::int64_t value) override;
  Result<std::int64_t> option(socket::Option option) override;
  Errno set_text_option(socket::Option option, std::string_view value) override;
  Result<std::string> text_option(socket::Option option) override;
  Result<Endpoint> local() override;
  Result<Endpoint> peer() override;
  Errno info(socket::TcpInfo& out) override;
  std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) override;
  void stop_recording(const std::shared_ptr<Recording>& recording) override;
  std::string state() override;
  /// Never waits: of a `linger` above 0 nothing is left but that the connection ends on its own.
  void close() override;
  bool closed() const override;
  std::uint32_t readiness() const override;
  /// The socket's own descriptor. Closed by somebody else, and its number in use for another socket
  /// of this process: EBADF.
  Result<int> fd() override;

  /// Closes, with a reset to the peer.
  void reset();

 private:
  bool is_made() const { return domain_ != 0; }
  Errno make(Family family);
  Result<BsdDescriptor> make_one(int domain) const;
  void adopt(int fd, int domain);
  Result<BsdDescriptor> descriptor(Family family);
  bool family_allowed(Family family) const;
  using OptionValue = std::variant<std::int64_t, std::string>;
  static Errno apply(const BsdDescriptor& socket, socket::Option option, const OptionValue& value);
  Errno set_value(socket::Option option, const OptionValue& value);
  Errno remember(socket::Option option, const OptionValue& value);
  /// What `read` gives for a socket that is made for it, with `option` as it is remembered.
  template <class Read>
  auto read_unmade(socket::Option option, Read read) const;
  std::string tcp_state();
  void close_locked(bool with_reset);
  Result<std::size_t> send_message(const BsdDescriptor& socket, std::span<const std::uint8_t> data,
                                   const Endpoint* to, std::uint32_t flags);
  Result<socket::Received> receive_message(const BsdDescriptor& socket,
                                           std::span<std::uint8_t> buffer, int flags);
  Result<std::size_t> send_echo(const BsdDescriptor& socket, std::span<const std::uint8_t> data,
                                const Endpoint* to);

  const std::shared_ptr<BsdStack> stack_;
  const socket::Type type_;
  const std::shared_ptr<Readiness> readiness_;  ///< knows the descriptor, which shows itself
  mutable std::mutex mutex_;               ///< over every call, so that close() comes between two
  std::shared_ptr<const BsdCalls> calls_;  ///< null once closed
  int domain_ = 0;                         ///< AF_INET or AF_INET6; 0: not made yet
  std::pair<std::uint64_t, std::uint64_t> file_{};  ///< device and inode of the descriptor
  bool ipv6_only_ = false;
  bool lingers_ = false;  ///< SO_LINGER above 0: close(2) would wait
  Endpoint bound_;
  std::vector<std::pair<socket::Option, OptionValue>> remembered_;
  std::uint16_t next_sequence_ = 0;  ///< of echo requests
};

}  // namespace vpollnet::host
