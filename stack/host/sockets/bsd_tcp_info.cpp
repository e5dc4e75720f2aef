// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_tcp_info.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace vpollnet::host {
namespace {

/// struct tcp_info of <linux/tcp.h> (Linux 6.12). Kernels only ever add to its end, and tell how
/// much they have. The C library's <netinet/tcp.h> ends at total_retrans, and both cannot be
/// included.
struct KernelTcpInfo {
  std::uint8_t state, ca_state, retransmits, probes, backoff, options;
  std::uint8_t scales;  ///< of the peer in the low half, ours in the high one
  std::uint8_t flags;
  std::uint32_t rto, ato, snd_mss, rcv_mss;
  std::uint32_t unacked, sacked, lost, retrans, fackets;
  std::uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
  std::uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
  std::uint32_t rcv_rtt, rcv_space;
  std::uint32_t total_retrans;
  std::uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  std::uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
  std::uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
  std::uint32_t delivered, delivered_ce;
  std::uint64_t bytes_sent, bytes_retrans;
  std::uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
};
static_assert(offsetof(KernelTcpInfo, total_retrans) == offsetof(tcp_info, tcpi_total_retrans));

constexpr std::uint32_t kInfinite = 0x7fffffff;  // TCP_INFINITE_SSTHRESH
constexpr std::uint32_t kNoRtt = UINT32_MAX;     // min_rtt before the first measurement

/// By TCP_ESTABLISHED and its kin of <netinet/tcp.h>, which count from 1. LISTEN is none of ours.
constexpr tcp::State kStates[] = {
    tcp::State::established, tcp::State::syn_sent,   tcp::State::syn_received,
    tcp::State::fin_wait_1,  tcp::State::fin_wait_2, tcp::State::time_wait,
    tcp::State::closed,      tcp::State::close_wait, tcp::State::last_ack,
    tcp::State::closed,      tcp::State::closing};

Nanos microseconds(std::uint32_t count) { return std::int64_t{count} * kMicrosecond; }

tcp::Info to_info(const KernelTcpInfo& kernel, std::size_t known, std::uint64_t not_acked) {
  const auto tells = [known](std::size_t offset, std::size_t size) {
    return known >= offset + size;
  };
#define VPOLLNET_TELLS(field) tells(offsetof(KernelTcpInfo, field), sizeof kernel.field)
  const std::uint64_t mss = kernel.snd_mss;
  tcp::Info info;
  info.state = kStates[kernel.state - 1];
  info.congestion_state =
      static_cast<tcp::CongestionState>(std::min<std::uint8_t>(kernel.ca_state, 4));
  info.srtt = microseconds(kernel.rtt);
  info.rttvar = kernel.rtt == 0 ? 0 : microseconds(kernel.rttvar);
  info.rto = microseconds(kernel.rto);
  info.mss = kernel.snd_mss;
  info.receive_mss = kernel.rcv_mss;
  info.cwnd = kernel.snd_cwnd * mss;
  if (kernel.snd_ssthresh < kInfinite) info.ssthresh = kernel.snd_ssthresh * mss;
  info.timeouts = kernel.retransmits;
  info.retransmits = kernel.total_retrans;
  info.sacked = kernel.sacked;
  info.lost = kernel.lost;
  info.reordering = kernel.reordering;
  const std::uint64_t gone = std::uint64_t{kernel.sacked} + kernel.lost;
  const std::uint64_t sent = std::uint64_t{kernel.unacked} + kernel.retrans;
  info.pipe = sent > gone ? (sent - gone) * mss : 0;
  if (VPOLLNET_TELLS(bytes_received)) {
    info.bytes_acked = kernel.bytes_acked;
    info.bytes_received = kernel.bytes_received;
  }
  if (VPOLLNET_TELLS(segs_in)) {
    info.segments_sent = kernel.segs_out;
    info.segments_received = kernel.segs_in;
  }
  if (VPOLLNET_TELLS(notsent_bytes)) info.unsent = kernel.notsent_bytes;
  // The kernel counts segments; what is not acknowledged less what was not sent is exact.
  info.in_flight = not_acked > info.unsent ? not_acked - info.unsent : 0;
  info.pipe = std::min(info.pipe, info.in_flight);
  if (VPOLLNET_TELLS(min_rtt) && kernel.min_rtt != kNoRtt)
    info.min_rtt = microseconds(kernel.min_rtt);
  if (VPOLLNET_TELLS(bytes_retrans)) {
    info.bytes_sent = kernel.bytes_sent;
    info.bytes_retransmitted = kernel.bytes_retrans;
  }
  if (VPOLLNET_TELLS(snd_wnd)) info.send_window = kernel.snd_wnd;
  if (VPOLLNET_TELLS(rcv_wnd)) info.receive_window = kernel.rcv_wnd;
#undef VPOLLNET_TELLS
  info.timestamps = (kernel.options & TCPI_OPT_TIMESTAMPS) != 0;
  info.sack = (kernel.options & TCPI_OPT_SACK) != 0;
  info.ecn = (kernel.options & TCPI_OPT_ECN) != 0;
  if ((kernel.options & TCPI_OPT_WSCALE) != 0) {
    info.send_scale = static_cast<std::uint8_t>(kernel.scales & 0x0f);
    info.receive_scale = static_cast<std::uint8_t>(kernel.scales >> 4);
  }
  return info;
}

}  // namespace

Errno bsd_tcp_info(const BsdDescriptor& socket, socket::TcpInfo& out) {
  if (socket.type != socket::Type::tcp) return Errno::not_supported;
  KernelTcpInfo kernel{};
  socklen_t known = sizeof kernel;
  const Errno error = socket.calls->getsockopt(socket.fd, IPPROTO_TCP, TCP_INFO, &kernel, &known);
  if (error == Errno::no_protocol_option || error == Errno(ENOSYS)) return Errno::not_supported;
  if (error != Errno::ok) return error;
  if (known < offsetof(KernelTcpInfo, pacing_rate) - sizeof(std::uint32_t) || kernel.state < 1 ||
      kernel.state > std::size(kStates)) {
    return Errno::not_supported;
  }
  out = {};
  if (const auto name = bsd_text_option(socket, socket::Option::congestion)) out.congestion = *name;
  const bool listening = kernel.state == TCP_LISTEN;
  out.state = listening ? "LISTEN" : tcp::to_string(kStates[kernel.state - 1]);
  if (listening || kernel.state == TCP_CLOSE) return Errno::ok;  // its figures mean other things
  out.path_mtu = kernel.pmtu;
  const auto not_acked = bsd_option(socket, socket::Option::unsent);
  const std::uint64_t queued = not_acked ? static_cast<std::uint64_t>(*not_acked) : 0;
  out.connection = to_info(kernel, known, queued);
  return Errno::ok;
}

}  // namespace vpollnet::host
