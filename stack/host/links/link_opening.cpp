// SPDX-License-Identifier: MIT
#include "host/links/link_opening.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <optional>
#include <string_view>

#include "host/links/cable.hpp"
#include "host/links/device_link.hpp"
#include "host/links/link_url.hpp"
#include "host/links/packet_socket.hpp"
#include "host/links/socket_links.hpp"
#include "host/links/tap.hpp"
#include "host/links/vdeplug.hpp"
#include "host/random.hpp"

namespace vpollnet::host {
namespace {

constexpr std::uint32_t kLeastMtu = 68;  // RFC 791 3.2
constexpr std::uint32_t kMostMtu = 65535;
constexpr std::uint64_t kNoDescriptor = UINT64_MAX;

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

Failure open_tap(LinkUrl& url, Tap::Mode mode, const LinkSpec& spec, LinkPlan& plan) {
  const bool offloads = spec.offloads;
  Failure failure;
  if (const std::uint64_t fd = url.take_number("fd", 0, INT_MAX, kNoDescriptor, failure);
      failure || fd != kNoDescriptor) {
    if (failure) return failure;
    if (!url.place().empty()) {
      return invalid_link("a device has a name or a descriptor: " + url.scheme() + "://NAME or " +
                          url.scheme() + ":?fd=N");
    }
    if (spec.reconnect.value_or(false)) {
      return invalid_link("a link on a descriptor cannot be opened anew, and takes no 'reconnect'");
    }
    plan.device = Tap::adopt(static_cast<int>(fd), mode, offloads, failure);
    return failure;
  }
  return open_device(plan, [name = url.place(), mode, offloads](Failure& why) {
    return Tap::open(name, mode, offloads, why);
  });
}

Failure plan_tap(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  return open_tap(url, Tap::Mode::ethernet, spec, plan);
}

Failure plan_tun(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  if (!spec.mac.empty()) return invalid_link("a TUN link has no MAC address");
  return open_tap(url, Tap::Mode::ip, spec, plan);
}

Failure plan_packet(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  const auto open = [name = url.place(), mac = plan.mac,
                     offloads = spec.offloads](Failure& failure) -> std::unique_ptr<Device> {
    return PacketSocket::open(name, mac, offloads, failure);
  };
  return open_device(plan, open);
}

Failure plan_replay(LinkUrl& url, const LinkSpec&, LinkPlan& plan) {
  constexpr double kFastest = 1e6;
  constexpr double kSlowest = 1e-6;
  if (url.place().empty()) return invalid_link("a replay has the path of a file: replay:PATH");
  if (const auto text = url.take("speed")) {
    double& speed = plan.replay_speed;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), speed);
    // Written so that NaN fails too.
    const bool is_number = error == std::errc() && end == text->data() + text->size();
    if (!is_number || !(speed == 0 || (speed >= kSlowest && speed <= kFastest))) {
      return invalid_link("'speed' is a number up to 1000000, such as 0.5, or 0 for as fast as " +
                          std::string("can be, not '") + *text + "'");
    }
  }
  const std::string direction = url.take("direction").value_or("in");
  Recorded::Frames frames = Recorded::Frames::incoming;
  if (direction == "out") {
    frames = Recorded::Frames::outgoing;
  } else if (direction == "all") {
    frames = Recorded::Frames::all;
  } else if (direction != "in") {
    return invalid_link("'direction' is in, out or all, not '" + direction + "'");
  }
  plan.replay.emplace();
  Failure failure = Recorded::read(url.place(), frames, *plan.replay);
  if (failure) return failure;
  plan.mtu = Replay::kMtu;
  if (plan.replay->type != LinkType::ethernet) plan.mac = {};
  return {};
}

/// What never dies is not opened anew.
Failure open_lasting_device(const Failure& unreadable, LinkPlan& plan, const OpenDevice& open) {
  Failure failure = unreadable;
  if (!failure) plan.device = open(failure);
  return failure;
}

Failure plan_udp(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  OpenDevice open;
  return open_lasting_device(read_udp_link(url, spec.mtu, open), plan, open);
}

Failure plan_vxlan(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  OpenDevice open;
  return open_lasting_device(read_vxlan_link(url, spec.mtu, open), plan, open);
}

Failure plan_qemu(LinkUrl& url, const LinkSpec& spec, LinkPlan& plan) {
  OpenDevice open;
  const Failure failure = read_qemu_link(url, spec.mtu, open, plan.reconnects);
  if (failure || !plan.reconnects) return open_lasting_device(failure, plan, open);
  return open_device(plan, std::move(open));
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
    Scheme{"replay", "replay:PATH", plan_replay},
    Scheme{"tap", "tap://NAME, tap:?fd=N", plan_tap},
    Scheme{"tun", "tun://NAME, tun:?fd=N", plan_tun},
    Scheme{"packet", "packet://INTERFACE", plan_packet},
    Scheme{"udp", "udp://REMOTE:PORT", plan_udp},
    Scheme{"vxlan", "vxlan://REMOTE?vni=N", plan_vxlan},
    Scheme{"qemu", "qemu:stream://PLACE, qemu:dgram://PLACE", plan_qemu},
};

const Scheme* find_scheme(std::string_view name) {
  const auto* const found = std::find_if(kSchemes.begin(), kSchemes.end(),
                                         [&](const Scheme& one) { return one.name == name; });
  return found == kSchemes.end() ? nullptr : found;
}

Failure unknown_scheme(const std::string& url) {
  std::string forms;
  for (const Scheme& scheme : kSchemes) forms += std::string(scheme.form) + ", ";
  return invalid_link("unknown link '" + url + "'; there are " + forms +
                      "and the locators of libvdeplug, such as vde://PATH");
}

/// What libvdeplug gets, not decoded and not taken apart: it has a language of its own. None for a
/// URL of ours.
std::optional<std::string> vde_locator(const std::string& url) {
  constexpr std::string_view kVerbatim = "vdeplug:";
  const std::string scheme = LinkUrl::scheme_of(url);
  if (scheme + ':' == kVerbatim) return url.substr(kVerbatim.size());
  const bool foreign = !scheme.empty() && find_scheme(scheme) == nullptr &&
                       url.compare(scheme.size(), 3, "://") == 0;
  return foreign ? std::optional(url) : std::nullopt;
}

Failure plan_vde(const std::string& locator, const LinkSpec& spec, LinkPlan& plan) {
  const std::uint32_t mtu = spec.mtu == 0 ? VdePlug::kDefaultMtu : spec.mtu;
  if (mtu > VdeLibrary::kMaxMtu) {
    return invalid_link("the MTU of a VDE link is at most " + std::to_string(VdeLibrary::kMaxMtu) +
                        " bytes, not " + std::to_string(mtu));
  }
  Failure failure = open_device(plan, [locator, mtu](Failure& why) -> std::unique_ptr<Device> {
    return VdePlug::open(locator, mtu, why);
  });
  const std::string scheme = LinkUrl::scheme_of(locator);
  if (failure.error == Errno(EPROTONOSUPPORT)) {
    failure = unknown_scheme(spec.url);
    failure.detail += "; its module for this one (libvdeplug_" + scheme + ".so) is not installed";
  } else if (failure.syscall == "dlopen" && locator == spec.url && scheme != "vde") {
    // More often a slip of the pen than a wish for a library that is not there.
    failure = unknown_scheme(spec.url);
    failure.detail += "; that library cannot be loaded here: sudo apt install libvdeplug2";
  }
  plan.reconnects = true;
  return failure;
}

Failure plan_own(const LinkSpec& spec, LinkPlan& plan) {
  LinkUrl url;
  Failure failure = LinkUrl::parse(spec.url, url);
  if (failure) return failure;
  const Scheme* scheme = find_scheme(url.scheme());
  if (scheme == nullptr) return unknown_scheme(spec.url);
  failure = scheme->plan(url, spec, plan);
  return failure ? failure : url.finish();
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

  const auto locator = vde_locator(spec.url);
  const Failure failure = locator ? plan_vde(*locator, spec, plan) : plan_own(spec, plan);
  if (failure) return failure;
  if (plan.device != nullptr) {
    plan.mtu = plan.device->capabilities().mtu;
    if (plan.device->capabilities().type != LinkType::ethernet) plan.mac = {};
  }
  if (spec.mtu != 0) plan.mtu = spec.mtu;
  if (spec.reconnect.value_or(false) && plan.reopen == nullptr) {
    return invalid_link("a link of " + LinkUrl::scheme_of(spec.url) +
                        ": is never lost, and takes no 'reconnect'");
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
  if (plan.replay) {
    link = std::make_unique<Replay>(std::move(*plan.replay), plan.replay_speed, pump.pool());
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
