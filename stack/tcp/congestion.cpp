// SPDX-License-Identifier: MIT
#include "tcp/congestion.hpp"

#include <tuple>

namespace vpollnet::tcp {

const char* to_string(Algorithm algorithm) {
  switch (algorithm) {
  case Algorithm::cubic: return "cubic";
  case Algorithm::newreno: return "newreno";
  }
  return "cubic";
}

std::optional<Algorithm> algorithm_named(std::string_view name) {
  for (const Algorithm algorithm : {Algorithm::cubic, Algorithm::newreno}) {
    if (name == to_string(algorithm)) return algorithm;
  }
  return std::nullopt;
}

void Congestion::select(Algorithm algorithm) {
  if (algorithm == this->algorithm()) return;
  const auto [mss, cwnd, ssthresh] = std::visit(
      [](const auto& control) {
        return std::tuple(control.mss(), control.window(), control.threshold());
      },
      control_);
  switch (algorithm) {
  case Algorithm::cubic: control_.emplace<Cubic>(mss, cwnd, ssthresh); break;
  case Algorithm::newreno: control_.emplace<NewReno>(mss, cwnd, ssthresh); break;
  }
}

}  // namespace vpollnet::tcp
