// SPDX-License-Identifier: MIT
// The addresses of a stack, and the timers that each has: duplicate address detection for IPv6
// (RFC 4862 5.4, with the nonce of RFC 7527) and announcements for IPv4 (RFC 5227 2.3).
//
// An IPv4 address is used at once, without the probes of RFC 5227 2.1: it comes from whoever set
// up the stack, as with `ip address add` on Linux, and a second of silence for each start would
// buy nothing that the announcement and its defence do not.
//
// It sends nothing itself: it returns what is to be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "util/timer_queue.hpp"
#include "wire/address.hpp"
#include "wire/ndp.hpp"

namespace vpollnet::ip {

struct Address {
  enum class State : std::uint8_t { tentative, preferred, duplicated };

  InterfaceId interface = kAnyInterface;
  Cidr cidr;
  IpAddress broadcast;  ///< directed broadcast of an IPv4 prefix, or none
  State state = State::preferred;
  bool formed = false;  ///< the link-local address that the stack made itself

  // For Addresses.
  unsigned transmits = 0;    ///< DupAddrDetectTransmits
  unsigned probes_left = 0;  ///< solicitations still to be sent
  unsigned announcements_left = 0;
  wire::NdpNonce nonce{};  ///< of the last solicitation
  Nanos deadline = kNever;
  std::optional<Nanos> defended_at;
  TimerEntry timer;

  bool usable() const { return state == State::preferred; }
};

/// How an address is taken up.
struct Uptake {
  unsigned transmits = 0;   ///< IPv6: solicitations of duplicate address detection, 0 for none
  bool wait_first = false;  ///< IPv6: nothing was sent on the interface yet (RFC 4862 5.4.2)
  bool announce = false;    ///< IPv4: ARP announcements
  bool formed = false;
};

struct AddressEvent {
  enum class Kind : std::uint8_t {
    probe,     ///< send a neighbour solicitation for it from "::", with `nonce`
    assigned,  ///< nobody has it: it may be used
    announce,  ///< send an ARP announcement
  };
  Kind kind = Kind::probe;
  InterfaceId interface = kAnyInterface;
  IpAddress address;
  wire::NdpNonce nonce{};
};

/// `random` must outlive it.
class Addresses {
 public:
  static constexpr std::size_t kMax = 1024;
  static constexpr Nanos kMaxDelay = kSecond;    ///< MAX_RTR_SOLICITATION_DELAY (RFC 4861 10)
  static constexpr Nanos kRetransmit = kSecond;  ///< RetransTimer
  static constexpr unsigned kAnnouncements = 2;  ///< ANNOUNCE_NUM (RFC 5227 1.1)
  static constexpr Nanos kAnnounceInterval = 2 * kSecond;  ///< ANNOUNCE_INTERVAL
  static constexpr Nanos kDefendInterval = 10 * kSecond;   ///< DEFEND_INTERVAL

  explicit Addresses(KeyedRandom& random) : random_(random) {}
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;

  /// EEXIST, also for an address of another interface unless it is link-local; ENOBUFS.
  Errno add(InterfaceId interface, const Cidr& cidr, const Uptake& uptake, Nanos now);
  bool remove(InterfaceId interface, const IpAddress& address);

  /// Any state. `scope` matters for IPv6 link-local addresses alone; kAnyInterface finds the first.
  Address* find(const IpAddress& address, InterfaceId scope);
  const Address* find(const IpAddress& address, InterfaceId scope) const {
    return const_cast<Addresses*>(this)->find(address, scope);
  }
  /// The same among the addresses of `interface`.
  Address* find_on(InterfaceId interface, const IpAddress& address);
  /// A directed broadcast address: of `interface`, or of any.
  bool is_directed_broadcast(const IpAddress& address, InterfaceId interface) const;
  /// `group` is the solicited-node group of an address of `interface`.
  bool listens(InterfaceId interface, const IpAddress& group) const;
  /// In the order in which they came.
  const std::vector<std::unique_ptr<Address>>& all() const { return all_; }

  /// Somebody else has it: it stays listed, and is not used.
  void mark_duplicated(Address& address);
  /// Somebody else uses our IPv4 address. True if that is to be answered with an announcement: once
  /// in kDefendInterval (RFC 5227 2.4 (c), the choice for addresses that must be kept).
  bool defend(Address& address, Nanos now);

  /// The link went down: nothing can be found out.
  void suspend(InterfaceId interface);
  /// It came up: what is tentative is checked from the beginning, what is IPv4 announced.
  void resume(InterfaceId interface, Nanos now);

  Nanos next_deadline() const { return timers_.next(); }
  /// One thing that is due. Call until it is nothing.
  std::optional<AddressEvent> advance(Nanos now);

 private:
  /// Unkeyed: only our own addresses are in the table, so no peer can fill a bucket.
  struct Hash {
    std::size_t operator()(const IpAddress& address) const {
      std::uint64_t value = 0xcbf29ce484222325;
      for (const std::uint8_t byte : address.bytes()) value = (value ^ byte) * 0x100000001b3;
      return value ^ value >> 29;
    }
  };

  void begin(Address& address, bool wait_first, Nanos now);
  void set_deadline(Address& address, Nanos deadline);

  KeyedRandom& random_;
  std::vector<std::unique_ptr<Address>> all_;
  std::unordered_multimap<IpAddress, Address*, Hash> index_;
  TimerQueue<Address, &Address::timer> timers_;
};

/// The address that packets to `destination` carry, by RFC 6724 5; null if none will do.
/// `next_hop` is the gateway, or the destination itself.
const Address* select_source(const Addresses& addresses, const IpAddress& destination,
                             InterfaceId interface, const IpAddress& next_hop);

}  // namespace vpollnet::ip
