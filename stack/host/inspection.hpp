// SPDX-License-Identifier: MIT
// How the inspector's objects are written: what networks and switches have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "host/inspector.hpp"
#include "host/json.hpp"
#include "host/links/link.hpp"

namespace vpollnet::host {

/// Fields for those of `counts` that are not 0, by their names.
inline void describe_drops(JsonWriter& json, std::span<const std::uint64_t> counts,
                           std::span<const std::string_view> names) {
  for (std::size_t i = 0; i < counts.size(); i++) {
    if (counts[i] != 0) json.field(names[i], counts[i]);
  }
}

/// "framesIn", "bytesIn", "framesOut", "bytesOut": what a link has carried.
inline void describe_traffic(JsonWriter& json, const LinkCounters& counters) {
  json.field("framesIn", counters.frames_in);
  json.field("bytesIn", counters.bytes_in);
  json.field("framesOut", counters.frames_out);
  json.field("bytesOut", counters.bytes_out);
}

/// An array of objects, up to Inspected::kListed of them; `left_out` counts the others, if any.
template <class List, class Write>
void describe_list(JsonWriter& json, std::string_view key, std::string_view left_out,
                   const List& list, Write write) {
  json.begin_array(key);
  const std::size_t count = std::min(list.size(), Inspected::kListed);
  for (std::size_t i = 0; i < count; i++) {
    json.begin_object();
    write(list[i]);
    json.end_object();
  }
  json.end_array();
  if (count < list.size()) json.field(left_out, static_cast<std::uint64_t>(list.size() - count));
}

}  // namespace vpollnet::host
