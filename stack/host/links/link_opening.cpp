// SPDX-License-Identifier: MIT
#include "host/links/link_opening.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "host/links/cable.hpp"
#include "host/links/device_link.hpp"
#include "host/links/link_url.hpp"
#include "host/links/tap.hpp"
#include "host/random.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kLeastMtu = 68;  // RFC 791 3.2
constexpr std::uint32_t kMostMtu = 65535;

Failure plan_cable(LinkUrl& url, const LinkSpec&, LinkPlan& plan) {
  plan.cable = url.place();
  plan.mtu = CablePort::kDefaultMtu;
  return {};
}

/// Opens the device, now and whenever it has to be opened anew.
Failure open_device(LinkPlan& plan, OpenDevice open) {
  Failure failure;
  plan.device = open(failure);
  plan.reopen = std::move(open);
  return failure;
}

Failure open_tap(LinkUrl& url, Tap::Mode mode, bool offloads, LinkPlan& plan) {
  return open_device(plan, [name = url.place(), mode, offloads](Failure& failure) {
    return Tap::open(name, mode, offloads, failure);
  });
}

Failure plan_tap(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  return open_tap(url, Tap::Mode::ethernet, spec.offloads, plan);
}

Failure plan_tun(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  if (!spec.mac.empty()) return invalid_link("a TUN link has no MAC address");
  return open_tap(url, Tap::Mode::ip, spec.offloads, plan);
}

/// One kind of link: fills in what `url` and `spec` ask for. A parameter that it does not take is
/// an error.
struct Scheme {
  std::string_view name;
  std::string_view form;
  Failure (*plan)(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan);
};

constexpr std::array kSchemes{
    Scheme{"cable", "cable:NAME", plan_cable},
    Scheme{"tap", "tap://NAME", plan_tap},
    Scheme{"tun", "tun://NAME", plan_tun},
};

Failure unknown_scheme(const std::string& url) {
  std::string forms;
  for (const Scheme& scheme : kSchemes) {
    if (!forms.empty()) forms += ", ";
    forms += scheme.form;
  }
  return invalid_link("unknown link '" + url + "'; there are " + forms);
}

}  // namespace

Failure plan_link(const LinkSpec& spec, LinkPlan& plan) {
  if (spec.mtu != 0 && (spec.mtu < kLeastMtu || spec.mtu > kMostMtu)) {
    return invalid_link("an MTU is 68 to 65535 bytes, not " + std::to_string(spec.mtu));
  }
  if (!spec.mac.empty()) {
    const auto mac = MacAddress::parse(spec.mac);
    if (!mac || mac->is_multicast() || mac->is_zero()) {
      return invalid_link("'" + spec.mac + "' is no unicast MAC address like 02:00:00:aa:bb:cc");
    }
    plan.mac = *mac;
  } else if (!spec.promiscuous) {
    plan.mac = random_mac();
  }
  plan.offloads = spec.offloads;

  LinkUrl url;
  Failure failure = LinkUrl::parse(spec.url, url);
  if (failure) return failure;
  const auto* const scheme = std::find_if(kSchemes.begin(), kSchemes.end(), [&](const Scheme& one) {
    return one.name == url.scheme();
  });
  if (scheme == kSchemes.end()) return unknown_scheme(spec.url);
  failure = scheme->plan(url, spec, plan);
  if (!failure) failure = url.finish();
  if (failure) return failure;
  if (plan.device != nullptr) {
    plan.mtu = plan.device->capabilities().mtu;
    if (plan.device->capabilities().type != LinkType::ethernet) plan.mac = {};
  }
  if (spec.mtu != 0) plan.mtu = spec.mtu;
  if (spec.reconnect.value_or(false) && plan.reopen == nullptr) {
    return invalid_link("a link of " + url.scheme() + ": is never lost, and takes no 'reconnect'");
  }
  if (!spec.reconnect.value_or(plan.reconnects)) plan.reopen = nullptr;
  return {};
}

Failure make_link(LinkPlan&& plan, Pump& pump, PumpMember& owner, std::unique_ptr<Link>& link) {
  if (plan.device != nullptr) {
    auto opened = DeviceLink::open(std::move(plan.device), pump, owner, std::move(plan.reopen));
    if (!opened) return {opened.error(), "epoll_ctl", ""};
    link = std::move(*opened);
    return {};
  }
  std::shared_ptr<CableSegment> segment = pump.cables().find_or_make(plan.cable);
  if (segment->has(plan.mac)) {
    return {Errno::address_in_use, "",
            plan.mac.to_string() + " is on cable '" + plan.cable + "' already"};
  }
  if (plan.mac.is_zero() && segment->has_switch(owner)) {
    return {Errno::address_in_use, "",
            "the switch is on cable '" + plan.cable + "' already, and would hear itself"};
  }
  link = std::make_unique<CablePort>(std::move(segment), plan.mac, plan.mtu, plan.offloads, pump,
                                     owner);
  return {};
}

}  // namespace vpollnet::host
