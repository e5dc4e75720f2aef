// SPDX-License-Identifier: MIT
#include "host/link_opening.hpp"

#include <string_view>

#include "host/cable.hpp"
#include "host/device_link.hpp"
#include "host/random.hpp"
#include "host/tap.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kLeastMtu = 68;  // RFC 791 3.2
constexpr std::uint32_t kMostMtu = 65535;

/// Takes `scheme` off the front of `url`.
bool has_scheme(std::string_view& url, std::string_view scheme) {
  if (!url.starts_with(scheme)) return false;
  url.remove_prefix(scheme.size());
  return true;
}

Failure invalid(std::string detail) { return {Errno::invalid, "", std::move(detail)}; }

}  // namespace

Failure plan_link(const LinkSpec& spec, LinkPlan& plan) {
  if (spec.mtu != 0 && (spec.mtu < kLeastMtu || spec.mtu > kMostMtu)) {
    return invalid("an MTU is 68 to 65535 bytes, not " + std::to_string(spec.mtu));
  }
  if (!spec.mac.empty()) {
    const auto mac = MacAddress::parse(spec.mac);
    if (!mac || mac->is_multicast() || mac->is_zero()) {
      return invalid("'" + spec.mac + "' is no unicast MAC address like 02:00:00:aa:bb:cc");
    }
    plan.mac = *mac;
  } else {
    plan.mac = random_mac();
  }
  plan.offloads = spec.offloads;

  std::string_view url = spec.url;
  Failure failure;
  if (has_scheme(url, "cable:")) {
    plan.cable = url;
    plan.mtu = CablePort::kDefaultMtu;
  } else if (has_scheme(url, "tap://")) {
    plan.device = Tap::open(std::string(url), Tap::Mode::ethernet, spec.offloads, failure);
  } else if (has_scheme(url, "tun://")) {
    if (!spec.mac.empty()) return invalid("a TUN link has no MAC address");
    plan.device = Tap::open(std::string(url), Tap::Mode::ip, spec.offloads, failure);
  } else {
    return invalid("unknown link '" + spec.url + "': cable:NAME, tap://NAME or tun://NAME");
  }
  if (failure) return failure;
  if (plan.device != nullptr) {
    plan.mtu = plan.device->capabilities().mtu;
    if (plan.device->capabilities().type != LinkType::ethernet) plan.mac = {};
  }
  if (spec.mtu != 0) plan.mtu = spec.mtu;
  return {};
}

Failure make_link(LinkPlan&& plan, Pump& pump, PumpMember& owner, std::unique_ptr<Link>& link) {
  if (plan.device != nullptr) {
    auto opened = DeviceLink::open(std::move(plan.device), pump, owner);
    if (!opened) return {opened.error(), "epoll_ctl", ""};
    link = std::move(*opened);
    return {};
  }
  std::shared_ptr<CableSegment> segment = pump.cables().find_or_make(plan.cable);
  if (segment->has(plan.mac)) {
    return {Errno::address_in_use, "",
            plan.mac.to_string() + " is on cable '" + plan.cable + "' already"};
  }
  link = std::make_unique<CablePort>(std::move(segment), plan.mac, plan.mtu, plan.offloads, pump,
                                     owner);
  return {};
}

}  // namespace vpollnet::host
