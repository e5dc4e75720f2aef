// SPDX-License-Identifier: MIT
#include "host/links/link_url.hpp"

#include <cctype>
#include <charconv>

namespace vpollnet::host {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3986 2.1. None for a '%' that is not followed by two hexadecimal digits.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return decoded;
}

template <class Number>
bool parse_whole(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

Failure invalid_link(std::string detail) { return {Errno::invalid, "", std::move(detail)}; }

std::string LinkUrl::scheme_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  std::string scheme;
  if (colon == std::string_view::npos) return scheme;
  for (const char c : text.substr(0, colon)) {
    scheme += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return scheme;
}

Failure LinkUrl::parse(std::string_view text, LinkUrl& url) {
  url = LinkUrl();
  url.text_ = text;
  url.scheme_ = scheme_of(text);
  if (url.scheme_.empty()) {
    return invalid_link("'" + url.text_ + "' is no URL: it has no scheme, such as 'cable:'");
  }
  std::string_view rest = text.substr(url.scheme_.size() + 1);
  if (rest.starts_with("//")) rest.remove_prefix(2);
  std::string_view query;
  if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  const auto bad_escape = [&] {
    return invalid_link("'" + url.text_ + "': a '%' is followed by two hexadecimal digits");
  };
  const auto place = percent_decoded(rest);
  if (!place) return bad_escape();
  url.place_ = *place;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const std::size_t equals = std::min(part.find('='), part.size());
    const auto value = percent_decoded(part.substr(std::min(equals + 1, part.size())));
    if (!value) return bad_escape();
    const auto [at, fresh] = url.parameters_.emplace(part.substr(0, equals), *value);
    if (!fresh) return invalid_link("'" + at->first + "' is given twice");
  }
  return {};
}

std::optional<std::string> LinkUrl::take(std::string_view key) {
  const auto found = parameters_.find(key);
  if (found == parameters_.end()) return std::nullopt;
  std::string value = std::move(found->second);
  parameters_.erase(found);
  return value;
}

std::uint64_t LinkUrl::take_number(std::string_view key, std::uint64_t least, std::uint64_t most,
                                   std::uint64_t otherwise, Failure& failure) {
  const auto value = take(key);
  if (!value) return otherwise;
  std::uint64_t number = 0;
  if (parse_whole(*value, number) && number >= least && number <= most) return number;
  failure =
      invalid_link("'" + std::string(key) + "' is a whole number from " + std::to_string(least) +
                   " to " + std::to_string(most) + ", not '" + *value + "'");
  return otherwise;
}

bool LinkUrl::take_flag(std::string_view key, Failure& failure) {
  const auto value = take(key);
  if (!value || *value == "0" || *value == "false") return false;
  if (value->empty() || *value == "1" || *value == "true") return true;
  failure = invalid_link("'" + std::string(key) +
                         "' is given or not, or has the value 1 or 0, not '" + *value + "'");
  return false;
}

Failure LinkUrl::finish() const {
  if (parameters_.empty()) return {};
  return invalid_link("a link of " + scheme_ + ": has no parameter '" + parameters_.begin()->first +
                      "'");
}

Failure parse_endpoint(std::string_view text, const Endpoint& defaults, std::string_view what,
                       Endpoint& endpoint) {
  const auto refuse = [&] {
    return invalid_link(std::string(what) +
                        " is an address and a port, such as '10.0.0.1:4789' or " +
                        "'[fd00::1]:4789', not '" + std::string(text) + "'");
  };
  endpoint = defaults;
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos || end == 1) return refuse();
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return refuse();
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (!host.empty()) {
    const auto address = IpAddress::parse(host);
    if (!address) return refuse();
    endpoint.address = *address;
  }
  if (!port.empty() && !parse_whole(port.substr(1), endpoint.port)) return refuse();
  if (endpoint.address.family() == Family::none || endpoint.port == 0) return refuse();
  return {};
}

}  // namespace vpollnet::host
