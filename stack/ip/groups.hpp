// SPDX-License-Identifier: MIT
// Which multicast groups this host listens to because sockets asked for it (RFC 1112 7.1), from
// which sources (RFC 3376 3.2, RFC 3810 4.2), and when routers and switches are told so: IGMPv3
// (RFC 3376 5) and MLDv2 (RFC 3810 6), and the older versions where the querier has one. The groups
// that come with an address are in addresses.hpp: of those only queries are answered.
//
// It sends nothing itself: it returns what is to be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "util/random.hpp"
#include "util/result.hpp"
#include "util/time.hpp"
#include "wire/address.hpp"
#include "wire/group_membership.hpp"

namespace vpollnet::ip {

/// A report that is due. Records of is_exclude and is_include are for groups that were asked for:
/// whether they are listened to is for the caller to see. `general`: every other group of the
/// interface belongs to it too.
struct DueReport {
  InterfaceId interface = kAnyInterface;
  Family family = Family::none;
  bool general = false;
  wire::GroupReport report;
};

/// `random` must outlive it.
class Groups {
 public:
  static constexpr std::size_t kMax = 1024;
  static constexpr std::size_t kMaxSources = 4096;  ///< of all groups together
  /// Sources of one group that queries ask for until they are answered. With more the answer is of
  /// all.
  static constexpr std::size_t kMaxAsked = 64;
  static constexpr unsigned kRobustness = 2;              ///< Robustness Variable
  static constexpr Nanos kUnsolicitedInterval = kSecond;  ///< Unsolicited Report Interval
  static constexpr Nanos kOlderUnsolicitedInterval =
      10 * kSecond;  ///< RFC 2236 8.10, RFC 2710 7.10
  /// Older Version Querier Present Timeout, less the response time: 2 * 125 s (RFC 3376 8.12).
  static constexpr Nanos kOlderVersionTime = 250 * kSecond;

  explicit Groups(KeyedRandom& random) : random_(random) {}

  /// One more listener to `source`; Family::none: to any. ENOBUFS when there are kMax groups, or
  /// kMaxSources.
  Errno join(InterfaceId interface, const IpAddress& group, const IpAddress& source, Nanos now);
  /// One less. False if there was none.
  bool leave(InterfaceId interface, const IpAddress& group, const IpAddress& source, Nanos now);
  bool listens(InterfaceId interface, const IpAddress& group) const;
  void remove_interface(InterfaceId interface);
  /// The link is down: nothing is due.
  void suspend(InterfaceId interface);
  /// It is up, perhaps another one: all groups are told anew.
  void resume(InterfaceId interface, Nanos now);

  /// `member`: the group of the query is one that is listened to.
  void on_query(InterfaceId interface, Family family, const wire::GroupQuery& query, bool member,
                Nanos now);

  Nanos next_deadline() const { return next_; }
  /// One report that is due. Call until it is nothing.
  std::optional<DueReport> advance(Nanos now);

 private:
  using Key = std::pair<InterfaceId, IpAddress>;
  /// RFC 3376 3.2: EXCLUDE({}) while somebody listens to any source, else INCLUDE(sources). That of
  /// nobody is kept while it is still to be told that the group was left.
  struct Group {
    std::size_t any = 0;                       ///< listeners to any source
    std::map<IpAddress, std::size_t> sources;  ///< listeners to each source alone
    // How often it is still to be told (RFC 3376 5.1, RFC 3810 6.1):
    unsigned presence_left = 0;  ///< that there are listeners, or none: to older ones
    unsigned mode_left = 0;      ///< that it has become EXCLUDE or INCLUDE
    std::map<IpAddress, unsigned> sources_left;  ///< that the source is heard, or no longer
    Nanos change_due = kNever;

    bool listened() const { return any > 0 || !sources.empty(); }
    std::vector<IpAddress> heard() const;
    bool is_told() const { return presence_left == 0 && mode_left == 0 && sources_left.empty(); }
    void count_down();
  };
  /// To queries for one group; without sources: for all of it.
  struct Answer {
    Nanos due = kNever;
    std::set<IpAddress> sources;
  };
  /// What was heard of queriers, for an interface and a family.
  struct Querier {
    std::uint8_t older = 0;  ///< the oldest version heard
    Nanos older_until = 0;
    Nanos general_due = kNever;
  };

  static bool is_reported(const IpAddress& group);
  std::uint8_t version(const Key& querier, Nanos now) const;
  static std::uint8_t newest(Family family) { return family == Family::ipv4 ? 3 : 2; }
  Nanos within(Nanos span);
  static wire::GroupRecord state(const IpAddress& address, const Group& group);
  static void add_changes(const IpAddress& address, const Group& group,
                          std::vector<wire::GroupRecord>& records);
  void changed(const Key& key, Group& group, const IpAddress& source, bool presence, Nanos now);
  void ask(const Key& key, const std::vector<IpAddress>& sources, Nanos due);
  std::optional<DueReport> due_change(Nanos now);
  std::optional<DueReport> due_answer(Nanos now);
  std::optional<DueReport> due_general(Nanos now);
  void schedule();

  KeyedRandom& random_;
  std::map<Key, Group> groups_;
  std::map<Key, Answer> answers_;
  std::map<std::pair<InterfaceId, Family>, Querier> queriers_;  ///< only of those that were heard
  std::size_t listened_ = 0;                                    ///< groups
  std::size_t sources_ = 0;                                     ///< of all groups
  Nanos next_ = kNever;
};

}  // namespace vpollnet::ip
