// SPDX-License-Identifier: MIT
#include "tcp_info.hpp"

#include <optional>

#include "values.hpp"

namespace vpollnet::binding {

namespace {

template <class Number>
Napi::Value or_null(Napi::Env env, const std::optional<Number>& value) {
  return value ? number_value(env, *value) : env.Null();
}

Napi::Value milliseconds(Napi::Env env, Nanos time) {
  return Napi::Number::New(env, static_cast<double>(time) / static_cast<double>(kMillisecond));
}

}  // namespace

Napi::Value to_js(Napi::Env env, const socket::TcpInfo& info) {
  const tcp::Info& tcp = info.connection;
  const auto number = [env](std::uint64_t value) { return number_value(env, value); };
  const auto measured = [env](Nanos time) {
    return time == 0 ? env.Null() : milliseconds(env, time);
  };
  Napi::Object result = Napi::Object::New(env);
  result["state"] = Napi::String::New(env, info.state);
  result["congestion"] = Napi::String::New(env, info.congestion);
  result["congestionState"] = Napi::String::New(env, tcp::to_string(tcp.congestion_state));
  result["rtt"] = measured(tcp.srtt);
  result["rttVariation"] = measured(tcp.rttvar);
  result["minRtt"] = measured(tcp.min_rtt);
  result["retransmitTimeout"] = milliseconds(env, tcp.rto);
  result["sendMss"] = number(tcp.mss);
  result["receiveMss"] = number(tcp.receive_mss);
  result["pathMtu"] = number(info.path_mtu);
  result["congestionWindow"] = number(tcp.cwnd);
  result["slowStartThreshold"] = tcp.ssthresh == UINT64_MAX ? env.Null() : number(tcp.ssthresh);
  result["bytesInFlight"] = number(tcp.pipe);
  result["sendWindow"] = or_null(env, tcp.send_window);
  result["receiveWindow"] = or_null(env, tcp.receive_window);
  result["unsent"] = number(tcp.unsent);
  result["unacknowledged"] = number(tcp.in_flight);
  result["retransmits"] = number(tcp.timeouts);
  result["totalRetransmits"] = number(tcp.retransmits);
  result["bytesSent"] = number(tcp.bytes_sent);
  result["bytesRetransmitted"] = number(tcp.bytes_retransmitted);
  result["bytesAcked"] = number(tcp.bytes_acked);
  result["bytesReceived"] = number(tcp.bytes_received);
  result["segmentsSent"] = number(tcp.segments_sent);
  result["segmentsReceived"] = number(tcp.segments_received);
  result["sacked"] = number(tcp.sacked);
  result["lost"] = number(tcp.lost);
  result["reordering"] = number(tcp.reordering);
  result["sendWindowScale"] = or_null(env, tcp.send_scale);
  result["receiveWindowScale"] = or_null(env, tcp.receive_scale);
  result["timestamps"] = Napi::Boolean::New(env, tcp.timestamps);
  result["sack"] = Napi::Boolean::New(env, tcp.sack);
  result["ecn"] = Napi::Boolean::New(env, tcp.ecn);
  return result;
}

}  // namespace vpollnet::binding
