// SPDX-License-Identifier: MIT
// Writes JSON (RFC 8259) into a string, a value at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace vpollnet::host {

/// Puts the commas; the caller pairs the brackets. What has been written may be taken out of the
/// string between two calls.
class JsonWriter {
 public:
  JsonWriter() = default;
  JsonWriter(const JsonWriter&) = delete;
  JsonWriter& operator=(const JsonWriter&) = delete;

  void begin_object() { open('{'); }
  void begin_object(std::string_view key) {
    put_key(key);
    open('{');
  }
  void begin_array(std::string_view key) {
    put_key(key);
    open('[');
  }
  void end_object() { close('}'); }
  void end_array() { close(']'); }

  /// Text of any bytes: what is not UTF-8 becomes U+FFFD.
  void field(std::string_view key, std::string_view text);
  void field(std::string_view key, const char* text) { field(key, std::string_view(text)); }
  void field(std::string_view key, std::uint64_t number);
  void field(std::string_view key, bool flag);

  /// What was written since the last call.
  std::string take() { return std::exchange(text_, {}); }
  std::size_t size() const { return text_.size(); }

 private:
  void comma();
  void put_key(std::string_view key);
  void put_text(std::string_view text);
  void open(char bracket);
  void close(char bracket);

  std::string text_;
  bool first_ = true;  ///< nothing stands before the next value in its array or object
};

}  // namespace vpollnet::host
