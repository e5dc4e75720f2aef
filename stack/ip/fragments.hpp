// SPDX-License-Identifier: MIT
// Reassembly of fragmented packets (RFC 791 3.2, RFC 815, RFC 1122 3.3.2, RFC 8200 4.5).
//
// A datagram whose fragments overlap is given up whole, for both families: RFC 5722 3 and RFC 8200
// 4.5 demand it of IPv6, and no IPv4 host makes such fragments either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "util/budget.hpp"
#include "util/counters.hpp"
#include "util/packet.hpp"
#include "util/random.hpp"
#include "util/time.hpp"
#include "wire/ipv4.hpp"
#include "wire/ipv6.hpp"

namespace vpollnet::ip {

struct FragmentLimits {
  std::size_t bytes = 4u << 20;    ///< in all datagrams, bookkeeping included
  std::size_t datagrams = 1024;    ///< being put together at a time
  std::size_t per_datagram = 256;  ///< fragments; 65,535 bytes over an MTU of 576 make 119
};

/// What became of a fragment.
struct FragmentResult {
  /// The datagram, whole: begins with its IP header, which no longer says that it is a fragment,
  /// and is good to be received again. Nothing while fragments are missing.
  std::optional<Packet> complete;
  /// Set if the fragment, and maybe its datagram, was thrown away.
  std::optional<Drop> dropped;
  /// Of `complete`: bytes of the largest packet that it came in.
  std::size_t largest = 0;
};

/// A datagram that was not whole in time.
struct FragmentTimeout {
  /// The fragment with offset 0, IP header first, for ICMP Time Exceeded to quote. Nothing if it
  /// never came: then no error is due (RFC 792, RFC 4443 3.3).
  std::optional<Packet> first;
};

/// `pool` and `budget` must outlive it. Not thread-safe.
class Fragments {
 public:
  /// From the first fragment to arrive. RFC 8200 4.5 says 60 s, RFC 1122 3.3.2 says 60 to 120 s:
  /// one value for both makes the oldest datagram always the first to end.
  static constexpr Nanos kTimeout = 60 * kSecond;

  Fragments(BlockPool& pool, Budget& budget, const SecretKey& key, FragmentLimits limits = {});
  ~Fragments();
  Fragments(const Fragments&) = delete;
  Fragments& operator=(const Fragments&) = delete;

  /// `packet` begins with the header that `parsed` was read from and is cut to its total length.
  /// parsed.header.is_fragment() holds.
  FragmentResult add(const wire::ParsedIpv4& parsed, Packet&& packet, Nanos now);
  /// `packet` begins with `header` and is cut to its length; `chain` is what walk_ipv6 found in it,
  /// with Verdict::fragment.
  FragmentResult add(const wire::Ipv6Header& header, const wire::Ipv6Chain& chain, Packet&& packet,
                     Nanos now);

  Nanos next_deadline() const;
  /// Gives up one datagram whose time is over; nothing if there is none. Call until it is nothing.
  std::optional<FragmentTimeout> advance(Nanos now);

  std::size_t datagrams() const { return order_.size(); }
  std::size_t bytes() const { return charged_; }

 private:
  /// RFC 791 3.2: source, destination, protocol and identification; RFC 8200 4.5: without protocol.
  struct Key {
    IpAddress source;
    IpAddress destination;
    std::uint32_t identification = 0;
    std::uint8_t protocol = 0;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    SecretKey key;
    std::size_t operator()(const Key& value) const;
  };
  struct Piece {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
    std::vector<Slice> bytes;
  };
  struct Datagram {
    Key key;
    Nanos deadline = kNever;
    std::vector<Piece> pieces;  ///< sorted, none overlap
    std::uint32_t have = 0;     ///< bytes in pieces
    std::optional<std::uint32_t> end;
    Slice header;                    ///< all in front of the data of the fragment with offset 0
    std::size_t fragment_at = 0;     ///< IPv6: where its fragment header is in `header`
    std::size_t fragment_field = 0;  ///< IPv6: where the byte is that names it
    std::size_t charged = 0;
    std::size_t largest = 0;
    std::uint8_t ecn_seen = 0;  ///< a bit for each codepoint among the fragments
    bool poisoned = false;      ///< given up; kept, so that late fragments do not begin anew
  };
  using Order = std::list<Datagram>;

  struct Fragment {
    Key key;
    std::uint32_t offset = 0;
    bool more = false;
    std::size_t header_length = 0;  ///< bytes before the data
    std::size_t fragment_at = 0;
    std::size_t fragment_field = 0;
    std::uint8_t ecn = 0;
  };

  FragmentResult add(const Fragment& fragment, Packet&& packet, Nanos now);
  FragmentResult finish(Order::iterator datagram);
  Datagram* find_or_begin(const Key& key, Nanos now);
  bool charge(Datagram& datagram, std::size_t bytes);
  void poison(Datagram& datagram);
  void erase(Order::iterator datagram);

  BlockPool& pool_;
  Budget& budget_;
  FragmentLimits limits_;
  Order order_;  ///< oldest first, which is the order of the deadlines
  std::unordered_map<Key, Order::iterator, KeyHash> index_;
  std::size_t charged_ = 0;
};

}  // namespace vpollnet::ip
