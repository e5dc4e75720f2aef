// SPDX-License-Identifier: MIT
// The URL that names a link: SCHEME:PLACE, or SCHEME://PLACE, then perhaps ?KEY=VALUE&KEY=VALUE.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "host/failure.hpp"
#include "wire/address.hpp"

namespace vpollnet::host {

/// Taken apart once; each kind of link takes the parameters that it knows, and what is left over is
/// an error that names it (finish).
class LinkUrl {
 public:
  /// EINVAL where it has no scheme, or a percent sign without two hexadecimal digits.
  static Failure parse(std::string_view text, LinkUrl& url);

  /// What stands before the first colon, in lower case; "" if that is nothing.
  static std::string scheme_of(std::string_view text);

  /// As it was given.
  const std::string& text() const { return text_; }
  /// Without the colon, in lower case.
  const std::string& scheme() const { return scheme_; }
  /// What stands between the scheme, with its "//" if it has that, and the parameters;
  /// percent-decoded.
  const std::string& place() const { return place_; }

  /// The parameter's value, percent-decoded ("" for a key without '='), and takes it off; none if
  /// it was not given.
  std::optional<std::string> take(std::string_view key);
  /// take() of a whole number in [least, most], `otherwise` if it was not given. Fills in `failure`
  /// with EINVAL, which names the key, for anything else.
  std::uint64_t take_number(std::string_view key, std::uint64_t least, std::uint64_t most,
                            std::uint64_t otherwise, Failure& failure);
  /// take() of a switch: true for "?key", "1" and "true", false for "0" and "false", or if it was
  /// not given. Fills in `failure` for anything else.
  bool take_flag(std::string_view key, Failure& failure);
  /// EINVAL, naming the first, if there are parameters that nobody took.
  Failure finish() const;

 private:
  std::string text_;
  std::string scheme_;
  std::string place_;
  std::map<std::string, std::string, std::less<>> parameters_;
};

/// "10.0.0.1:4789", "[fd00::1]:4789"; ":4789" and "10.0.0.1" where the other half has a default.
/// `what` names it in the error.
Failure parse_endpoint(std::string_view text, const Endpoint& defaults, std::string_view what,
                       Endpoint& endpoint);

/// EINVAL with `detail`.
Failure invalid_link(std::string detail);

}  // namespace vpollnet::host
