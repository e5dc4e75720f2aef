// SPDX-License-Identifier: MIT
#include "host/json.hpp"

namespace vpollnet::host {
namespace {

/// The length of the UTF-8 character at the beginning of `text`, or 0 if there is none (RFC 3629
/// 4).
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  // Overlong forms, surrogates, and what lies above U+10FFFF show in the second byte.
  const unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < least || byte(1) > most) return 0;
  for (std::size_t i = 2; i < length; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

void JsonWriter::comma() {
  if (!first_) text_ += ',';
  first_ = false;
}

void JsonWriter::put_key(std::string_view key) {
  comma();
  put_text(key);
  text_ += ':';
  first_ = true;  // the value follows without a comma
}

void JsonWriter::open(char bracket) {
  comma();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::close(char bracket) {
  text_ += bracket;
  first_ = false;
}

void JsonWriter::put_text(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  text_ += '"';
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      text_ += "\\ufffd";
    } else if (byte == '"' || byte == '\\') {
      text_ += '\\';
      text_ += text[0];
    } else if (byte < 0x20 || byte == 0x7f) {
      text_ += "\\u00";
      text_ += kHex[byte >> 4];
      text_ += kHex[byte & 15];
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  text_ += '"';
}

void JsonWriter::field(std::string_view key, std::string_view text) {
  put_key(key);
  put_text(text);
  first_ = false;
}

void JsonWriter::field(std::string_view key, std::uint64_t number) {
  put_key(key);
  text_ += std::to_string(number);
  first_ = false;
}

void JsonWriter::field(std::string_view key, bool flag) {
  put_key(key);
  text_ += flag ? "true" : "false";
  first_ = false;
}

}  // namespace vpollnet::host
