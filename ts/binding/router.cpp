// SPDX-License-Identifier: MIT
#include "router.hpp"

#include <string>

namespace vpollnet::binding {

namespace {

std::uint32_t number(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Number>().Uint32Value();
}

bool flag(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Boolean>().Value();
}

}  // namespace

std::optional<RouterAdvertisementConfig> to_router_advertisement(const Napi::Object& object) {
  RouterAdvertisementConfig config;
  config.hop_limit = static_cast<std::uint8_t>(number(object, "hopLimit"));
  config.managed = flag(object, "managed");
  config.other_config = flag(object, "other");
  config.preference =
      static_cast<std::int8_t>(object.Get("preference").As<Napi::Number>().Int32Value());
  config.router_lifetime = static_cast<std::uint16_t>(number(object, "lifetime"));
  config.reachable_time = number(object, "reachableTime");
  config.retransmission_time = number(object, "retransmissionTime");
  config.mtu = number(object, "mtu");
  config.dns_lifetime = number(object, "dnsLifetime");
  config.shortest_interval = number(object, "shortestInterval");
  config.longest_interval = number(object, "longestInterval");
  const auto prefixes = object.Get("prefixes").As<Napi::Array>();
  for (std::uint32_t i = 0; i < prefixes.Length(); i++) {
    const auto each = prefixes.Get(i).As<Napi::Object>();
    const auto prefix = Cidr::parse(each.Get("prefix").As<Napi::String>().Utf8Value());
    if (!prefix) return std::nullopt;
    config.prefixes.push_back({.prefix = *prefix,
                               .on_link = flag(each, "onLink"),
                               .autonomous = flag(each, "autonomous"),
                               .valid_lifetime = number(each, "validLifetime"),
                               .preferred_lifetime = number(each, "preferredLifetime")});
  }
  const auto dns = object.Get("dns").As<Napi::Array>();
  for (std::uint32_t i = 0; i < dns.Length(); i++) {
    const auto server = IpAddress::parse(dns.Get(i).As<Napi::String>().Utf8Value());
    if (!server) return std::nullopt;
    config.dns.push_back(*server);
  }
  const auto search = object.Get("search").As<Napi::Array>();
  for (std::uint32_t i = 0; i < search.Length(); i++) {
    config.search.push_back(search.Get(i).As<Napi::String>().Utf8Value());
  }
  return config;
}

}  // namespace vpollnet::binding
