// SPDX-License-Identifier: MIT
#include "wire/domain_name.hpp"

#include <algorithm>

namespace vpollnet::wire {

namespace {

constexpr std::size_t kLongestLabel = 63;
constexpr std::size_t kLongestName = 255;

}  // namespace

bool append_domain_name(std::string_view name, std::vector<std::uint8_t>& out) {
  if (name.ends_with('.')) name.remove_suffix(1);
  // A length before the first label, a root behind the last, and each dot becomes a length.
  if (name.empty() || name.size() + 2 > kLongestName) return false;
  const std::size_t before = out.size();
  for (;;) {
    const std::size_t length = std::min(name.find('.'), name.size());
    if (length == 0 || length > kLongestLabel) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<std::uint8_t>(length));
    out.insert(out.end(), name.begin(), name.begin() + static_cast<std::ptrdiff_t>(length));
    if (length == name.size()) break;
    name.remove_prefix(length + 1);
  }
  out.push_back(0);
  return true;
}

bool are_domain_names(std::span<const std::uint8_t> bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && bytes[at] != 0) {
    const std::size_t start = at;
    while (at < bytes.size() && bytes[at] != 0) {
      if (bytes[at] > kLongestLabel) return false;
      at += std::size_t{1} + bytes[at];
    }
    if (at >= bytes.size()) return false;
    at++;
    if (at - start > kLongestName) return false;
  }
  // RFC 8106 5.2: padding is zeros.
  return std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(std::min(at, bytes.size())),
                     bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace vpollnet::wire
