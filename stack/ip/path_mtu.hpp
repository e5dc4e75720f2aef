// SPDX-License-Identifier: MIT
// What routers have said about the size of packets to a destination (RFC 1191 6.3, RFC 8201 5.2).
// Who calls has checked that the message quotes a packet that was really sent (RFC 5927 7.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "util/random.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"

namespace vpollnet::ip {

class PathMtu {
 public:
  static constexpr std::size_t kMax = 1024;          ///< the one learned first gives way
  static constexpr Nanos kLifetime = 600 * kSecond;  ///< RFC 1191 6.3, RFC 8201 5.3: ten minutes
  /// No path of today is narrower, and a forged message must not make packets smaller than this
  /// (security case C02). A link with a smaller MTU of its own still has that.
  static constexpr std::uint32_t kFloorIpv4 = 552;
  static constexpr std::uint32_t kFloorIpv6 = 1280;  ///< RFC 8201 4 (security case V11)

  explicit PathMtu(const SecretKey& key) : index_(16, Hash{key}) {}

  /// `mtu`, but not less than the family's floor.
  static std::uint32_t floored(Family family, std::uint32_t mtu);

  /// Bytes, or UINT32_MAX when nothing is known. `scope` is the interface of a link-local address.
  std::uint32_t find(const IpAddress& destination, InterfaceId scope) const;
  /// True if the path is narrower than was known. A message never widens it (RFC 8201 4).
  bool learn(const IpAddress& destination, InterfaceId scope, std::uint32_t mtu, Nanos now);
  Nanos next_deadline() const { return order_.empty() ? kNever : order_.front().deadline; }
  /// Forgets what is too old; true if there was any.
  bool advance(Nanos now);
  std::size_t size() const { return order_.size(); }

 private:
  struct Key {
    IpAddress destination;
    InterfaceId scope = kAnyInterface;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    SecretKey key;
    std::size_t operator()(const Key& value) const {
      return siphash(key, value.destination.bytes()) + value.scope;
    }
  };
  struct Entry {
    Key key;
    std::uint32_t mtu = 0;
    Nanos deadline = kNever;
  };

  static Key key_of(const IpAddress& destination, InterfaceId scope);
  void drop_first();

  std::list<Entry> order_;  ///< the oldest first, so the first to end first
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> index_;
};

}  // namespace vpollnet::ip
