// SPDX-License-Identifier: MIT
#include "host/sockets/licence.hpp"

#include <algorithm>

namespace vpollnet::host {
namespace {

constexpr std::size_t kLongest = 512;  // bytes; bounds the depth of parentheses too

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// A licence and whether later versions of it may be taken.
struct Versions {
  std::string licence;
  bool or_later = false;

  explicit Versions(std::string_view id) : licence(lower(id)) {
    or_later = strip("+") || strip("-or-later");
    if (!or_later) strip("-only");
  }
  bool strip(std::string_view suffix) {
    if (!std::string_view(licence).ends_with(suffix)) return false;
    licence.resize(licence.size() - suffix.size());
    return true;
  }
};

class Parser {
 public:
  Parser(std::string_view text, std::span<const std::string> accepted)
      : text_(text), accepted_(accepted) {
    advance();
  }

  LicenceCheck run() {
    const bool met = alternatives();
    if (!well_formed_ || !token_.empty()) return LicenceCheck::malformed;
    return met ? LicenceCheck::accepted : LicenceCheck::refused;
  }

 private:
  static bool is_id_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '+' || c == ':';
  }

  void advance() {
    while (!text_.empty() && text_.front() == ' ') text_.remove_prefix(1);
    std::size_t length = 0;
    while (length < text_.size() && is_id_character(text_[length])) length++;
    if (length == 0 && !text_.empty()) length = 1;  // a parenthesis, or what no rule takes
    token_ = text_.substr(0, length);
    text_.remove_prefix(length);
  }

  bool take(std::string_view word) {
    if (lower(token_) != word) return false;
    advance();
    return true;
  }

  std::string_view id() {
    const std::string word = lower(token_);
    const bool fine = !token_.empty() && is_id_character(token_.front()) && word != "and" &&
                      word != "or" && word != "with";
    if (!fine) {
      well_formed_ = false;
      return {};
    }
    const std::string_view found = token_;
    advance();
    return found;
  }

  bool alternatives() {
    bool met = all();
    while (well_formed_ && take("or")) {
      const bool other = all();
      met = met || other;
    }
    return met;
  }

  bool all() {
    bool met = one();
    while (well_formed_ && take("and")) {
      const bool other = one();
      met = met && other;
    }
    return met;
  }

  bool one() {
    if (take("(")) {
      const bool met = alternatives();
      if (!take(")")) well_formed_ = false;
      return met;
    }
    const std::string_view licence = id();
    if (!well_formed_ || !take("with")) return accepts(licence);
    const std::string_view exception = id();
    return accepts(licence) ||
           lists(lower(std::string(licence) + " with " + std::string(exception)));
  }

  bool lists(const std::string& text) const {
    return std::any_of(accepted_.begin(), accepted_.end(),
                       [&](const std::string& entry) { return lower(entry) == text; });
  }

  bool accepts(std::string_view id) const {
    const Versions offered(id);
    return std::any_of(accepted_.begin(), accepted_.end(), [&](const std::string& entry) {
      const Versions wanted(entry);
      return wanted.licence == offered.licence && (offered.or_later || !wanted.or_later);
    });
  }

  std::string_view text_;
  std::string_view token_;
  std::span<const std::string> accepted_;
  bool well_formed_ = true;
};

}  // namespace

std::string_view licence_expression(std::string_view text) {
  constexpr std::string_view kPrefix = "SPDX-License-Identifier:";
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

LicenceCheck check_licence(std::string_view expression, std::span<const std::string> accepted) {
  if (expression.empty() || expression.size() > kLongest) return LicenceCheck::malformed;
  return Parser(expression, accepted).run();
}

}  // namespace vpollnet::host
