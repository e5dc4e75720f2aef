// SPDX-License-Identifier: MIT
// One TCP connection (RFC 9293), from its first SYN to the end of TIME-WAIT.
//
// It knows nothing of addresses, IP or other connections: segments come in as values, and
// next_segment() gives out what is due to be sent, one after the other, until there is nothing.
// receive.cpp has the segments that arrive, send.cpp what goes out, timers.cpp what time does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tcp/congestion.hpp"
#include "tcp/info.hpp"
#include "tcp/reassembly.hpp"
#include "tcp/rtt.hpp"
#include "tcp/scoreboard.hpp"
#include "util/budget.hpp"
#include "util/byte_queue.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/tcp.hpp"

namespace vpollnet::tcp {

/// What a user can set. Times in nanoseconds, sizes in bytes.
struct Settings {
  std::uint32_t send_buffer = 512 * 1024;
  std::uint32_t receive_buffer = 512 * 1024;
  std::uint32_t max_segment = 0;  ///< 0: what the path gives
  Algorithm congestion = Algorithm::cubic;
  bool no_delay = false;
  bool quick_ack = false;
  bool cork = false;
  bool oob_inline = false;
  bool keep_alive = false;
  Nanos keep_idle = 7200 * kSecond;  ///< RFC 9293 MUST-28: at least two hours by default
  Nanos keep_interval = 75 * kSecond;
  unsigned keep_count = 9;
  Nanos user_timeout = 0;  ///< 0: kUserTimeout
};

/// What a connection takes from its surroundings. All must outlive it.
struct Resources {
  BlockPool& pool;
  Budget& budget;
  Counters& counters;
};

/// A segment that arrived, its checksum verified.
struct Segment {
  wire::TcpHeader header;
  std::vector<Slice> payload;
  std::uint32_t length = 0;    ///< bytes of payload
  std::uint16_t gso_size = 0;  ///< not 0: several segments of this size in one
};

/// A segment to be sent. The ports are the caller's to fill in; `packet` holds the payload, with
/// gso_size set if it is more than one segment's.
struct Outgoing {
  wire::TcpHeader header;
  Packet packet;
};

/// What the caller has to do about a segment.
enum class Answer : std::uint8_t {
  none,
  reset,  ///< send the RST of RFC 9293 3.10.7.1 for this segment
};

class Connection {
 public:
  /// RFC 9293 3.4.2 with MSL 30 s, as the systems that we talk to have it: TIME-WAIT is 60 s.
  static constexpr Nanos kTimeWait = 60 * kSecond;
  /// A peer that never sends its FIN holds an orphaned connection no longer.
  static constexpr Nanos kFinWait2 = 60 * kSecond;
  /// RFC 9293 3.8.3: R2 for a SYN, at least 3 minutes.
  static constexpr Nanos kSynTimeout = 180 * kSecond;
  /// RFC 9293 3.9.1.2: the default user timeout, five minutes (and R2, at least 100 s).
  static constexpr Nanos kUserTimeout = 300 * kSecond;
  /// RFC 9293 3.8.6.3: below 0.5 s; 40 ms as is common.
  static constexpr Nanos kDelayedAck = 40 * kMillisecond;
  /// tcp(7), TCP_CORK: a short segment is held back 200 ms at the most.
  static constexpr Nanos kMaxCork = 200 * kMillisecond;
  /// RFC 9293 MUST-16: without an option the peer takes 536 (IPv4) or 1220 (IPv6) bytes.
  static constexpr std::uint16_t kDefaultMssV4 = 536;
  static constexpr std::uint16_t kDefaultMssV6 = 1220;
  /// No peer makes us send smaller segments (security case T02).
  static constexpr std::uint16_t kMinimumMss = 88;

  /// How a connection begins.
  struct Start {
    std::uint32_t initial_sequence = 0;  ///< RFC 6528
    std::uint32_t timestamp_offset = 0;  ///< RFC 7323 5.4
    std::uint16_t path_mss = 1460;       ///< MTU less IP and TCP headers without options
    bool ipv6 = false;
    bool segmentation = false;  ///< may give out packets with gso_size
  };

  Connection(const Resources& resources, const Settings& settings);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// OPEN, active (RFC 9293 3.10.1).
  void connect(const Start& start, Nanos now);
  /// A listener got `syn`: SYN-RECEIVED (RFC 9293 3.10.7.2).
  void accept(const Start& start, const wire::TcpHeader& syn, Nanos now);
  /// A valid SYN cookie came back: ESTABLISHED at once (RFC 4987 3.6). `ack` is the peer's segment
  /// and `mss` what the cookie remembers.
  void accept_cookie(const Start& start, const wire::TcpHeader& ack, std::uint16_t mss, Nanos now);

  /// SEGMENT ARRIVES (RFC 9293 3.10.7). Afterwards next_segment() has the answers.
  Answer on_segment(Segment&& segment, Nanos now);
  /// An ICMP error quotes a segment with this sequence number (RFC 9293 3.9.2.2, RFC 5927). False
  /// if no such segment is under way: then the error is not about this connection.
  bool on_icmp_error(Errno error, std::uint32_t sequence);
  /// True if the byte with this sequence number was sent and not acknowledged.
  bool in_flight(std::uint32_t sequence) const;
  /// The path takes segments of `path_mss` bytes from now on.
  void on_path_mss(std::uint16_t path_mss, bool segmentation);
  /// The network below is gone: fails the connection with `error`, without a word to the peer.
  void fail(Errno error);

  /// The earliest time at which on_deadline() has something to do.
  Nanos deadline() const;
  void on_deadline(Nanos now);

  /// The next segment to send, if any may be sent now.
  std::optional<Outgoing> next_segment(Nanos now);

  /// SEND (RFC 9293 3.10.2): bytes taken, or EAGAIN, EPIPE, ENOTCONN, or the pending error.
  Result<std::size_t> send(std::span<const std::uint8_t> data, bool urgent, bool more, Nanos now);
  /// RECEIVE (3.10.3): bytes copied, 0 at the end of the stream, or EAGAIN, or the pending error.
  Result<std::size_t> receive(std::span<std::uint8_t> buffer, bool peek);
  /// RECEIVE without a copy, and without a place for urgent data, which has to be in line: what is
  /// there, up to `limit` bytes, behind `out`. It stays until consume(). Errors as receive().
  Result<std::size_t> peek_slices(std::size_t limit, std::vector<Slice>& out);
  /// Takes `count` bytes off what is there to be received.
  void consume(std::size_t count);
  /// Bytes that send() would take now.
  std::size_t send_room() const;
  /// SEND without a copy: takes all of `slices`, at most send_room() bytes. Errors as send().
  Errno send_slices(std::vector<Slice>&& slices, Nanos now);
  /// The urgent byte (recv(2) MSG_OOB). EINVAL if there is none, EAGAIN if it is on its way.
  Result<std::size_t> receive_urgent(std::span<std::uint8_t> buffer, bool peek);
  /// CLOSE (3.10.4): no more data; a FIN follows what is queued.
  void shutdown_write();
  void shutdown_read();
  /// The user is gone: like shutdown_write(), but unread or further data is answered with RST
  /// (RFC 9293 3.6.1).
  void orphan(Nanos now);
  /// ABORT (3.10.5): RST, and CLOSED.
  void abort();

  void configure(const Settings& settings, Nanos now);
  const Settings& settings() const { return settings_; }

  State state() const { return state_; }
  /// ESTABLISHED was reached at some time.
  bool was_established() const { return was_established_; }
  /// The pending error; Errno::ok if none.
  Errno error() const { return error_; }
  Errno take_error();
  bool readable() const;      ///< receive() would not return EAGAIN
  bool writable() const;      ///< send() would take a sensible amount
  bool urgent_ready() const;  ///< receive_urgent() has a byte
  bool read_closed() const;   ///< FIN seen, or shut down for reading
  bool write_closed() const { return fin_queued_ || state_ == State::closed; }
  std::size_t unread() const;
  std::size_t unacknowledged() const;
  /// The next sequence number expected, and the peer's last timestamp (RFC 6191).
  std::uint32_t receive_next() const { return static_cast<std::uint32_t>(rcv_nxt_); }
  std::optional<std::uint32_t> recent_timestamp() const;
  /// In TIME-WAIT so long that a connection which we open between the same ends may take its place:
  /// the peer tells their segments apart by the timestamps, as in RFC 6191 2 (Linux:
  /// tcp_tw_reuse).
  bool gives_way(Nanos now) const;
  /// Moves with each acknowledgment of something new.
  std::uint64_t acknowledged_position() const { return snd_una_; }
  Info info() const;
  /// The same as info().mss.
  std::uint32_t segment_size() const;

 private:
  // Positions in the stream are 64 bits wide; the low 32 are the sequence number on the wire.
  static std::uint64_t unwrap(std::uint32_t wire, std::uint64_t near) {
    return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(
                      static_cast<std::int32_t>(wire - static_cast<std::uint32_t>(near))));
  }
  static constexpr std::uint64_t kEpoch = 1ull << 32;  ///< so that nothing goes below 0

  // receive.cpp
  Answer on_syn_sent(Segment& segment, Nanos now);
  bool check_timestamps(const Segment& segment, Nanos now);
  bool check_sequence(const Segment& segment, std::uint64_t begin, std::uint64_t end, Nanos now);
  void on_reset(std::uint64_t begin, Nanos now);
  bool on_acknowledgment(const Segment& segment, Nanos now);
  void on_new_acknowledgment(std::uint64_t ack, const Segment& segment, Nanos now);
  void on_loss_signs(bool duplicate);
  void on_lost_again(std::uint32_t mss);
  std::uint64_t on_sack_option(const wire::TcpHeader& header, std::uint64_t ack);
  bool on_finish_acknowledged(Nanos now);
  bool update_send_window(const wire::TcpHeader& header, std::uint64_t begin, std::uint64_t ack);
  void on_urgent(const wire::TcpHeader& header, std::uint64_t begin);
  Answer on_payload(Segment& segment, std::uint64_t begin, std::uint64_t end, bool fin, Nanos now);
  void on_finish(Nanos now);
  void acknowledge(const Segment& segment, Nanos now);
  void challenge(Nanos now);
  void begin(const Start& start, Nanos now);
  void negotiate(const wire::TcpHeader& syn);

  // send.cpp
  std::optional<Outgoing> syn_segment(Nanos now);
  std::optional<Outgoing> lost_segment(Nanos now);
  /// NextSeg rules 3 and 4 of RFC 6675: what may be lost, when there is nothing else to send.
  std::optional<Outgoing> rescue_segment(Nanos now);
  std::optional<Outgoing> new_segment(Nanos now);
  std::optional<Outgoing> probe_segment(Nanos now);
  Outgoing make(std::uint8_t flags, std::uint64_t sequence, Nanos now);
  Outgoing data_segment(std::uint64_t begin, std::uint64_t end, Nanos now);
  void on_sent(std::uint64_t end, bool again, Nanos now);
  /// Bytes of data below a position of ours.
  std::uint64_t data_below(std::uint64_t position) const {
    const bool with_fin = fin_sent_ != 0 && position > fin_sent_;
    return position > iss_ ? position - iss_ - 1 - (with_fin ? 1 : 0) : 0;
  }
  std::uint64_t queue_begin() const { return std::max(snd_una_, iss_ + 1); }
  std::uint64_t queue_end() const { return queue_begin() + send_queue_.size(); }
  std::uint64_t send_end() const { return queue_end() + (fin_queued_ && !fin_acked_ ? 1 : 0); }
  std::uint8_t sack_count() const;  ///< blocks that the next segment carries
  std::uint64_t window_candidate() const;
  std::uint16_t advertise_window();
  std::uint32_t timestamp(Nanos now) const {
    return static_cast<std::uint32_t>(now / kMillisecond) + timestamp_offset_;
  }

  // connection.cpp
  /// Why there is nothing to receive: 0 at the end of the stream.
  Result<std::size_t> nothing_to_receive();
  /// Errno::ok if a send could be taken, room or not.
  Errno may_send();

  // timers.cpp
  void on_retransmission_timeout(Nanos now);
  void on_persist_timeout(Nanos now);
  void on_keepalive(Nanos now);
  void restart_retransmission(Nanos now);
  void update_persist(Nanos now);
  bool gave_up(Nanos now) const;
  void enter_established(Nanos now);
  void enter_time_wait(Nanos now);
  void enter_closed(Errno error);
  void set_keepalive(Nanos now);

  Resources resources_;
  Settings settings_;
  State state_ = State::closed;
  Errno error_ = Errno::ok;
  Errno soft_error_ = Errno::ok;
  bool was_established_ = false;
  bool passive_ = false;
  bool orphan_ = false;
  bool ipv6_ = false;
  bool segmentation_ = false;

  // What the two SYNs agreed on.
  bool timestamps_on_ = false;
  bool sack_on_ = false;
  bool window_scaling_ = false;
  std::uint8_t send_shift_ = 0;     ///< Snd.Wind.Shift
  std::uint8_t receive_shift_ = 0;  ///< Rcv.Wind.Shift
  std::uint16_t peer_mss_ = kDefaultMssV4;
  std::uint16_t path_mss_ = 1460;

  // Sending (RFC 9293 3.3.1 for the names).
  std::uint64_t iss_ = 0;
  std::uint64_t snd_una_ = 0;
  std::uint64_t snd_nxt_ = 0;  ///< never goes back: what is sent again, the scoreboard says
  std::uint64_t snd_wnd_ = 0;
  std::uint64_t max_snd_wnd_ = 0;
  std::uint64_t snd_wl1_ = 0;
  std::uint64_t snd_wl2_ = 0;
  std::uint64_t snd_up_ = 0;
  ByteQueue send_queue_;
  std::uint64_t fin_sent_ = 0;  ///< position of our FIN once it went out; 0: it did not
  Scoreboard scoreboard_;
  Congestion congestion_;
  std::uint64_t lost_again_point_ = 0;  ///< no third cut below it
  std::uint64_t recovery_point_ = 0;    ///< RFC 6675 2; no second cut below it (RFC 6582)
  unsigned duplicate_acks_ = 0;
  bool fin_queued_ = false;
  bool fin_acked_ = false;
  bool more_ = false;      ///< the last send() said that more comes
  bool push_due_ = false;  ///< a tail was held back long enough
  bool syn_due_ = false;
  bool reset_due_ = false;
  bool probe_due_ = false;
  bool keepalive_due_ = false;
  bool retransmit_due_ = false;  ///< one segment regardless of the window (RFC 6675 5 step 4.3)
  bool in_recovery_ = false;     ///< fast recovery
  bool timed_out_ = false;       ///< the retransmission timer's recovery is under way
  bool syn_lost_ = false;        ///< a SYN was sent again
  bool was_cut_ = false;         ///< recovery_point_ is that of a cut, not of the handshake
  bool rescued_ = false;         ///< this recovery had its rescue retransmission (RFC 6675 4 (4))
  bool probing_ = false;         ///< something was sent into a window of 0

  // Receiving.
  std::uint64_t irs_ = 0;
  std::uint64_t rcv_nxt_ = 0;
  std::uint64_t rcv_edge_ = 0;  ///< right edge of the window as advertised; never goes back
  ByteQueue receive_queue_;
  Reassembly reassembly_;
  static constexpr std::uint64_t kNoFin = UINT64_MAX;
  std::uint64_t fin_position_ = kNoFin;  ///< of a FIN that came, in order or not
  std::uint64_t rcv_up_ = 0;             ///< position of the urgent byte, while urgent_ is set
  bool fin_received_ = false;            ///< in order
  bool read_shutdown_ = false;
  bool ack_now_ = false;
  enum class Urgent : std::uint8_t { none, pending, read } urgent_ = Urgent::none;
  wire::SackBlock duplicate_block_{};  ///< D-SACK to be sent (RFC 2883)
  std::uint32_t ts_recent_ = 0;
  Nanos ts_recent_at_ = 0;
  std::uint64_t last_ack_sent_ = 0;
  std::uint32_t timestamp_offset_ = 0;
  std::uint32_t unacknowledged_bytes_ = 0;      ///< received since the last ACK went out
  std::uint32_t peer_segment_ = kDefaultMssV4;  ///< the peer's full segment, as seen

  // Time.
  RttEstimator rtt_;
  std::uint64_t timed_end_ = 0;  ///< the segment whose round trip is measured ends here; 0: none
  Nanos timed_at_ = 0;
  Nanos retransmit_at_ = kNever;
  Nanos persist_at_ = kNever;
  Nanos delayed_ack_at_ = kNever;
  Nanos push_at_ = kNever;  ///< when a corked tail goes anyway
  Nanos keepalive_at_ = kNever;
  Nanos close_at_ = kNever;  ///< end of TIME-WAIT or of an orphaned FIN-WAIT-2
  Nanos progress_at_ = 0;    ///< when the peer last acknowledged something new, or the wait began
  Nanos last_received_at_ = 0;
  Nanos last_sent_at_ = 0;
  Nanos challenge_since_ = 0;
  unsigned challenges_ = 0;
  unsigned persist_backoff_ = 0;
  unsigned keepalive_probes_ = 0;
  unsigned timeouts_ = 0;  ///< of retransmission, since the last acknowledgment of something new

  std::uint64_t charged_ = 0;  ///< bytes charged to the budget
  void charge();
  // For info(); what it can work out of the positions is not counted.
  std::uint64_t bytes_retransmitted_ = 0;
  std::uint32_t retransmits_ = 0;
  std::uint32_t segments_sent_ = 0;
  std::uint32_t segments_received_ = 0;
};

}  // namespace vpollnet::tcp
