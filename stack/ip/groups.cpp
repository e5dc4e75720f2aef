// SPDX-License-Identifier: MIT
#include "ip/groups.hpp"

#include <algorithm>
#include <iterator>

namespace vpollnet::ip {

using wire::GroupChange;
using wire::GroupRecord;

/// RFC 3376 5, RFC 3810 6: all-hosts and all-nodes never, nor what stays within the node.
bool Groups::is_reported(const IpAddress& group) {
  if (group.is_v4()) return group != IpAddress::v4(224, 0, 0, 1);
  return group != IpAddress::all_nodes() && (group.bytes()[1] & 0x0f) >= 2;
}

std::uint8_t Groups::version(const Key& key, Nanos now) const {
  const Family family = key.second.family();
  const auto found = queriers_.find({key.first, family});
  const bool older = found != queriers_.end() && found->second.older_until > now;
  return older ? found->second.older : newest(family);
}

/// At random, not at once and not later than `span` from now.
Nanos Groups::within(Nanos span) {
  const auto milliseconds =
      static_cast<std::uint32_t>(std::min(span / kMillisecond, Nanos{1} << 30));
  return milliseconds == 0 ? 0 : (1 + Nanos{random_.below(milliseconds)}) * kMillisecond;
}

std::vector<IpAddress> Groups::Group::heard() const {
  std::vector<IpAddress> heard;
  for (const auto& [source, listeners] : sources) heard.push_back(source);
  return heard;
}

/// One report has told all that there is to tell.
void Groups::Group::count_down() {
  if (presence_left > 0) presence_left--;
  if (mode_left > 0) mode_left--;
  for (auto at = sources_left.begin(); at != sources_left.end();)
    at = --at->second == 0 ? sources_left.erase(at) : std::next(at);
}

GroupRecord Groups::state(const IpAddress& address, const Group& group) {
  if (group.any > 0) return {GroupChange::is_exclude, address};
  return {GroupChange::is_include, address, group.heard()};
}

/// The state of a group is another one: by `source`; Family::none: by its mode. `presence`: it has
/// got its first listener or lost its last.
void Groups::changed(const Key& key, Group& group, const IpAddress& source, bool presence,
                     Nanos now) {
  if (!is_reported(key.second)) return;
  if (presence) group.presence_left = kRobustness;
  if (source.family() == Family::none) {
    group.mode_left = kRobustness;
    group.sources_left.clear();
  } else {
    group.sources_left[source] = kRobustness;
  }
  // RFC 3376 5.1, RFC 3810 6.1: at once, and again.
  group.change_due = now;
}

Errno Groups::join(InterfaceId interface, const IpAddress& group, const IpAddress& source,
                   Nanos now) {
  const bool any = source.family() == Family::none;
  const Key key{interface, group};
  const auto found = groups_.find(key);
  const bool first = found == groups_.end() || !found->second.listened();
  if (first && listened_ >= kMax) return Errno::no_buffers;
  const bool new_source = !any && (first || !found->second.sources.contains(source));
  if (new_source && sources_ >= kMaxSources) return Errno::no_buffers;
  Group& joined = groups_[key];
  listened_ += first ? 1 : 0;
  sources_ += new_source ? 1 : 0;
  // While there are listeners to any source, others change nothing (RFC 3376 3.2).
  const bool changes = joined.any == 0 && (any || new_source);
  (any ? joined.any : joined.sources[source])++;
  if (changes) changed(key, joined, source, first, now);
  schedule();
  return Errno::ok;
}

bool Groups::leave(InterfaceId interface, const IpAddress& group, const IpAddress& source,
                   Nanos now) {
  const bool any = source.family() == Family::none;
  const auto found = groups_.find({interface, group});
  if (found == groups_.end()) return false;
  Group& left = found->second;
  const auto one = left.sources.find(source);
  if (any ? left.any == 0 : one == left.sources.end()) return false;
  if (--(any ? left.any : one->second) > 0) return true;
  if (!any) {
    left.sources.erase(one);
    sources_--;
  }
  const bool last = !left.listened();
  if (any || left.any == 0) changed(found->first, left, source, last, now);
  if (last) {
    listened_--;
    answers_.erase(found->first);
    // What was left and is still to be told is bounded too.
    const bool full = groups_.size() > 2 * kMax;
    if (left.change_due == kNever || full) groups_.erase(found);
  }
  schedule();
  return true;
}

bool Groups::listens(InterfaceId interface, const IpAddress& group) const {
  if (listened_ == 0) return false;
  const auto found = groups_.find({interface, group});
  return found != groups_.end() && found->second.listened();
}

void Groups::remove_interface(InterfaceId interface) {
  std::erase_if(groups_, [&](const auto& each) {
    if (each.first.first != interface) return false;
    if (each.second.listened()) listened_--;
    sources_ -= each.second.sources.size();
    return true;
  });
  std::erase_if(answers_, [&](const auto& each) { return each.first.first == interface; });
  std::erase_if(queriers_, [&](const auto& each) { return each.first.first == interface; });
  schedule();
}

void Groups::suspend(InterfaceId interface) {
  for (auto at = groups_.begin(); at != groups_.end();) {
    const bool here = at->first.first == interface;
    if (here) at->second.change_due = kNever;
    at = here && !at->second.listened() ? groups_.erase(at) : std::next(at);
  }
  std::erase_if(answers_, [&](const auto& each) { return each.first.first == interface; });
  std::erase_if(queriers_, [&](const auto& each) { return each.first.first == interface; });
  schedule();
}

void Groups::resume(InterfaceId interface, Nanos now) {
  for (auto& [key, group] : groups_) {
    if (key.first != interface || !group.listened()) continue;
    group.mode_left = 0;
    group.sources_left.clear();
    // As by one who has just joined: before, nothing was heard.
    if (group.any > 0) changed(key, group, {}, true, now);
    for (const auto& [source, listeners] : group.sources) {
      if (group.any == 0) changed(key, group, source, true, now);
    }
  }
  schedule();
}

void Groups::on_query(InterfaceId interface, Family family, const wire::GroupQuery& query,
                      bool member, Nanos now) {
  Querier& querier = queriers_[{interface, family}];
  const Nanos longest = Nanos{query.max_response} * kMillisecond;
  if (query.version < newest(family)) {
    // RFC 3376 7.2.1, RFC 3810 8.2.1: the oldest version that was heard lately.
    const bool known = querier.older_until > now && querier.older < query.version;
    if (!known) {
      querier.older = query.version;
      querier.older_until = now + kOlderVersionTime + longest;
    }
  }
  if (query.group.family() != Family::none) {
    if (member && is_reported(query.group))
      ask({interface, query.group}, query.sources, now + within(longest));
  } else if (querier.older_until > now) {
    // RFC 2236 3, RFC 2710 4: each group at a time of its own.
    for (const auto& [key, group] : groups_) {
      if (key.first != interface || key.second.family() != family) continue;
      if (group.listened() && is_reported(key.second)) ask(key, {}, now + within(longest));
    }
  } else {
    querier.general_due = std::min(querier.general_due, now + within(longest));
  }
  schedule();
}

/// RFC 3376 5.2, RFC 3810 6.2: the sources of all queries since the last answer, at the earliest
/// time that one of them got; or the whole group, if one of them asked for it.
void Groups::ask(const Key& key, const std::vector<IpAddress>& sources, Nanos due) {
  const auto [at, added] = answers_.try_emplace(key);
  Answer& answer = at->second;
  const bool all = sources.empty() || (!added && answer.sources.empty());
  answer.due = std::min(answer.due, due);
  if (!all) answer.sources.insert(sources.begin(), sources.end());
  if (all || answer.sources.size() > kMaxAsked) answer.sources.clear();
}

std::optional<DueReport> Groups::advance(Nanos now) {
  if (next_ > now) return std::nullopt;
  auto report = due_change(now);
  if (!report) report = due_answer(now);
  if (!report) report = due_general(now);
  schedule();
  return report;
}

/// RFC 3376 5.1, RFC 3810 6.1: a new mode with all that is heard now, or what is heard in addition
/// and no longer.
void Groups::add_changes(const IpAddress& address, const Group& group,
                         std::vector<GroupRecord>& records) {
  if (group.mode_left > 0) {
    const bool any = group.any > 0;
    records.push_back({any ? GroupChange::to_exclude : GroupChange::to_include, address,
                       any ? std::vector<IpAddress>() : group.heard()});
    return;
  }
  GroupRecord allow{GroupChange::allow_new, address};
  GroupRecord block{GroupChange::block_old, address};
  for (const auto& [source, left] : group.sources_left)
    (group.sources.contains(source) ? allow : block).sources.push_back(source);
  for (GroupRecord* record : {&allow, &block}) {
    if (!record->sources.empty()) records.push_back(std::move(*record));
  }
}

/// Changes, as many of one interface and family as go together.
std::optional<DueReport> Groups::due_change(Nanos now) {
  DueReport due;
  for (auto at = groups_.begin(); at != groups_.end();) {
    auto& [key, group] = *at;
    const bool fits = due.report.records.empty() ||
                      (key.first == due.interface && key.second.family() == due.family);
    if (group.change_due > now || !fits) {
      ++at;
      continue;
    }
    const bool listened = group.listened();
    due.interface = key.first;
    due.family = key.second.family();
    due.report.version = version(key, now);
    const bool newest_version = due.report.version == newest(due.family);
    if (newest_version) {
      add_changes(key.second, group, due.report.records);
    } else if (group.presence_left > 0) {
      // RFC 3376 7.2.1, RFC 3810 8.2.1: older ones know of no sources.
      due.report.records.push_back(
          {listened ? GroupChange::to_exclude : GroupChange::to_include, key.second});
    }
    group.count_down();
    group.change_due = group.is_told() ? kNever
                                       : now + within(newest_version ? kUnsolicitedInterval
                                                                     : kOlderUnsolicitedInterval);
    // RFC 2236 3: one leave will do. Version 1 has none: it is left out by whoever sends this.
    const bool over = !listened && (group.change_due == kNever || !newest_version);
    at = over ? groups_.erase(at) : std::next(at);
    if (!newest_version && !due.report.records.empty()) break;
  }
  if (due.report.records.empty()) return std::nullopt;
  return due;
}

std::optional<DueReport> Groups::due_answer(Nanos now) {
  const auto found = std::find_if(answers_.begin(), answers_.end(),
                                  [now](const auto& each) { return each.second.due <= now; });
  if (found == answers_.end()) return std::nullopt;
  const auto [key, answer] = std::move(*found);
  answers_.erase(found);
  DueReport due{.interface = key.first,
                .family = key.second.family(),
                .report = {.version = version(key, now), .records = {}}};
  // A group that no socket joined came with an address: any source is heard.
  const auto group = groups_.find(key);
  const bool joined = group != groups_.end() && group->second.listened();
  GroupRecord record =
      joined ? state(key.second, group->second) : GroupRecord{GroupChange::is_exclude, key.second};
  if (!answer.sources.empty()) {
    // RFC 3376 5.2, RFC 3810 6.2: of the sources that were asked for, those that are heard.
    const bool any = record.change == GroupChange::is_exclude;
    record = {GroupChange::is_include, key.second};
    for (const IpAddress& source : answer.sources) {
      if (any || group->second.sources.contains(source)) record.sources.push_back(source);
    }
  }
  const bool says_something = record.change == GroupChange::is_exclude || !record.sources.empty();
  if (says_something) due.report.records.push_back(std::move(record));
  return due;
}

std::optional<DueReport> Groups::due_general(Nanos now) {
  for (auto& [key, querier] : queriers_) {
    if (querier.general_due > now) continue;
    querier.general_due = kNever;
    DueReport due{.interface = key.first, .family = key.second, .general = true, .report = {}};
    due.report.version = newest(key.second);
    for (const auto& [which, group] : groups_) {
      if (which.first != key.first || which.second.family() != key.second) continue;
      if (group.listened() && is_reported(which.second))
        due.report.records.push_back(state(which.second, group));
    }
    return due;
  }
  return std::nullopt;
}

void Groups::schedule() {
  next_ = kNever;
  for (const auto& [key, group] : groups_) next_ = std::min(next_, group.change_due);
  for (const auto& [key, answer] : answers_) next_ = std::min(next_, answer.due);
  for (const auto& [key, querier] : queriers_) next_ = std::min(next_, querier.general_due);
}

}  // namespace vpollnet::ip
