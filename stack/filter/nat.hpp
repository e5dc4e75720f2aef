// SPDX-License-Identifier: MIT
// Network address and port translation (RFC 3022): which rule a new flow falls under, and which
// outer address and port an inner end has.
//
// Mappings are endpoint-independent for TCP, UDP and ICMP queries (RFC 4787 REQ-1, RFC 5382 REQ-1,
// RFC 5508 REQ-2): an inner address and port have one outer port towards everybody, as long as any
// flow uses it. Ports are preserved where free, and never overloaded (RFC 4787 REQ-3); parity is
// not kept (RFC 7857 5). One inner host always has the same outer address (REQ-2, "paired").
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "filter/flow.hpp"
#include "filter/prefix.hpp"
#include "filter/rules.hpp"
#include "util/random.hpp"
#include "wire/address.hpp"

namespace vpollnet::filter {

/// Who may send to an outer port that is mapped (RFC 4787 5).
enum class Admission : std::uint8_t {
  address_and_port,      ///< ends that were sent to
  endpoint_independent,  ///< everybody
};

/// Flows that leave over `out` get another source.
struct SourceNat {
  InterfaceId out = kAnyInterface;
  std::vector<Cidr> sources;       ///< empty: all
  std::vector<Cidr> destinations;  ///< empty: all
  std::optional<std::uint8_t> protocol;
  std::vector<IpAddress> addresses;  ///< to choose from; empty: that of `out` ("masquerade")
  std::optional<PortRange> ports;  ///< nothing: 1024 to 65535, and below 1024 for those from there
  Admission admission = Admission::address_and_port;
};

/// Flows to an outer address get another destination ("port forward").
struct DestinationNat {
  InterfaceId in = kAnyInterface;    ///< the outer link
  std::vector<IpAddress> addresses;  ///< outer ones; empty: those of `in`
  std::vector<Cidr> sources;         ///< empty: all
  std::optional<std::uint8_t> protocol;
  std::optional<PortRange> ports;  ///< nothing: all, of all protocols if none is given
  IpAddress to;
  std::uint16_t to_port = 0;  ///< of ports->first; the others follow. 0: as they are
  /// From the other links too, with the source translated, so that answers come back this way
  /// (RFC 4787 REQ-9).
  bool hairpin = true;
};

struct NatRules {
  static constexpr std::size_t kMaxRules = 1024;

  std::vector<SourceNat> sources;
  std::vector<DestinationNat> destinations;
  std::vector<PrefixNat> prefixes;
};

/// An inner end and the outer one that stands for it.
struct Mapping {
  std::uint8_t protocol = 0;
  IpAddress inner;
  std::uint16_t inner_port = 0;
  IpAddress outer;
  std::uint16_t outer_port = 0;
  InterfaceId out = kAnyInterface;
  Admission admission = Admission::address_and_port;
  std::size_t flows = 0;
};

/// What translation has to know of the stack around it.
class NatHost {
 public:
  /// The stack's own address on `out` towards `destination`; none if it has none.
  virtual IpAddress address_on(InterfaceId out, const IpAddress& destination) const = 0;
  virtual bool is_address_of(InterfaceId interface, const IpAddress& address) const = 0;
  /// A socket of the stack has the port.
  virtual bool uses_port(std::uint8_t protocol, std::uint16_t port) const = 0;

 protected:
  ~NatHost() = default;
};

/// `host` and `random` must outlive it.
class Nat {
 public:
  /// Ports that are tried for a mapping before it is given up.
  static constexpr unsigned kTries = 128;

  Nat(const NatHost& host, KeyedRandom& random);

  /// New flows fall under these; those that are known go on as they were.
  void set(NatRules rules) { rules_ = std::move(rules); }
  const NatRules& rules() const { return rules_; }
  bool stateful() const { return !rules_.sources.empty() || !rules_.destinations.empty(); }

  struct Inward {
    IpAddress to;
    std::uint16_t to_port = 0;
    InterfaceId outer_link = kAnyInterface;
    bool hairpin = false;  ///< came from another link than the outer one
  };
  /// Where a new flow is to go that came in over `in`: by a DestinationNat, or by a mapping.
  std::optional<Inward> inward(const FlowTuple& tuple, InterfaceId in) const;

  /// What makes the source of a new flow over `out`, or nothing if it stays.
  const SourceNat* outward(const FlowTuple& tuple, InterfaceId out) const;
  /// The mapping of the source of `tuple`, a new one if need be; null if no port is free. `rule`
  /// may be null, for a hairpin without a rule: then `outer` is the address, else it may be none.
  Mapping* map(const FlowTuple& tuple, const SourceNat* rule, InterfaceId out,
               const IpAddress& outer);
  /// One flow fewer uses it; the last takes it along.
  void release(Mapping& mapping);

  std::size_t mappings() const { return inner_.size(); }

 private:
  /// An outer end has no `out` and no `as`; an inner one stands for a mapping over `out` as `as`.
  struct End {
    IpAddress address;
    std::uint16_t port = 0;
    std::uint8_t protocol = 0;
    InterfaceId out = kAnyInterface;
    IpAddress as;
    bool operator==(const End&) const = default;
  };
  struct EndHash {
    SecretKey key;
    std::size_t operator()(const End& end) const;
  };

  IpAddress outer_address(const FlowTuple& tuple, const SourceNat* rule, InterfaceId out) const;
  static End inner_end(const Mapping& mapping);
  static End outer_end(const IpAddress& address, std::uint16_t port, std::uint8_t protocol);
  bool is_free(const IpAddress& outer, std::uint8_t protocol, std::uint16_t port) const;
  std::optional<std::uint16_t> choose_port(const IpAddress& outer, std::uint8_t protocol,
                                           std::uint16_t preferred, const SourceNat* rule);

  const NatHost& host_;
  KeyedRandom& random_;
  SecretKey pairing_;
  NatRules rules_;
  std::unordered_map<End, std::unique_ptr<Mapping>, EndHash> inner_;
  std::unordered_map<End, Mapping*, EndHash> outer_;
};

}  // namespace vpollnet::filter
