// SPDX-License-Identifier: MIT
// Domain names as options of neighbour discovery carry them: text <-> bytes (RFC 1035 3.1, without
// compression).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vpollnet::wire {

/// Puts the labels of `name` and the root behind `out`. False, and nothing is put there, for a name
/// that is empty, has a label of 0 or more than 63 bytes, or is longer than 255 bytes (RFC 1035
/// 2.3.4). A dot at the end says nothing new.
bool append_domain_name(std::string_view name, std::vector<std::uint8_t>& out);

/// True if `bytes` are whole names, none of them compressed, and behind them zeros alone.
bool are_domain_names(std::span<const std::uint8_t> bytes);

}  // namespace vpollnet::wire
