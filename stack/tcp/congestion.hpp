// SPDX-License-Identifier: MIT
// The congestion control of a connection: one of those that there are, which may be exchanged for
// another at any time.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "tcp/congestion_cubic.hpp"
#include "tcp/congestion_newreno.hpp"

namespace vpollnet::tcp {

/// In the order of Congestion's variant.
enum class Algorithm : std::uint8_t {
  cubic,    ///< RFC 9438
  newreno,  ///< RFC 5681, RFC 6582
};

/// "cubic", "newreno"
const char* to_string(Algorithm algorithm);
/// The reverse; nothing for any other name.
std::optional<Algorithm> algorithm_named(std::string_view name);

/// The calls are those of NewReno and Cubic.
class Congestion {
 public:
  explicit Congestion(Algorithm algorithm) { select(algorithm); }

  Algorithm algorithm() const { return static_cast<Algorithm>(control_.index()); }
  /// Goes on with another algorithm from the present window and threshold.
  void select(Algorithm algorithm);

  void start(std::uint32_t mss) {
    std::visit([&](auto& control) { control.start(mss); }, control_);
  }
  void after_syn_loss() {
    std::visit([](auto& control) { control.after_syn_loss(); }, control_);
  }
  void on_ack(std::uint64_t acked, Nanos now, Nanos rtt) {
    std::visit([&](auto& control) { control.on_ack(acked, now, rtt); }, control_);
  }
  void on_pause(Nanos span) {
    std::visit([&](auto& control) { control.on_pause(span); }, control_);
  }
  void on_recovery(std::uint64_t flight) {
    std::visit([&](auto& control) { control.on_recovery(flight); }, control_);
  }
  void on_timeout(std::uint64_t flight, bool first) {
    std::visit([&](auto& control) { control.on_timeout(flight, first); }, control_);
  }
  void on_idle() {
    std::visit([](auto& control) { control.on_idle(); }, control_);
  }
  void set_mss(std::uint32_t mss) {
    std::visit([&](auto& control) { control.set_mss(mss); }, control_);
  }
  std::uint64_t window() const {
    return std::visit([](const auto& control) { return control.window(); }, control_);
  }
  std::uint64_t threshold() const {
    return std::visit([](const auto& control) { return control.threshold(); }, control_);
  }

 private:
  std::variant<Cubic, NewReno> control_{Cubic(536, 0, UINT64_MAX)};
};

}  // namespace vpollnet::tcp
