// SPDX-License-Identifier: MIT
#include "host/links/socket_links.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include "host/links/datagram_device.hpp"
#include "host/links/qemu_stream.hpp"
#include "host/links/vxlan.hpp"
#include "host/links/vxlan_header.hpp"

namespace vpollnet::host {
namespace {

/// The MTU of a guest's network card, whatever the way to it.
constexpr std::uint32_t kGuestMtu = 1500;

/// dev= and ttl=. On failure `failure` is filled in.
UdpOptions take_udp_options(LinkUrl& url, Failure& failure) {
  UdpOptions options;
  const std::uint64_t hops = url.take_number("ttl", 1, 255, options.group_hops, failure);
  options.group_hops = static_cast<std::uint8_t>(hops);
  if (failure) return options;
  failure = find_device(url.take("dev").value_or(""), options.device);
  return options;
}

/// local=, or any address of the remote's family and its port.
Failure take_local(LinkUrl& url, const Endpoint& remote, Endpoint& local) {
  const Endpoint any{.address = IpAddress::any(remote.address.family()), .port = remote.port};
  const auto given = url.take("local");
  if (!given) {
    local = any;
    return {};
  }
  return parse_endpoint(*given, any, "local", local);
}

OpenDevice opener(const DatagramDevice::Options& options) {
  return [options](Failure& failure) { return DatagramDevice::open(options, failure); };
}

Failure read_datagrams(LinkUrl& url, const Endpoint& local, const Endpoint& remote,
                       std::uint32_t mtu, OpenDevice& open) {
  Failure failure;
  DatagramDevice::Options options;
  options.udp = take_udp_options(url, failure);
  if (!failure) options.any = url.take_flag("any", failure);
  // What nobody takes is a mistake, to be told before anything is opened.
  if (!failure) failure = url.finish();
  if (failure) return failure;
  options.local = SocketAddress(local, options.udp.device);
  options.remote = SocketAddress(remote, options.udp.device);
  options.mtu = mtu;
  open = opener(options);
  return {};
}

/// As the process sees it now: it may change its folder before the path is removed.
Failure unix_address(const std::string& path, SocketAddress& address) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return SocketAddress::of_path(error || path.empty() ? path : absolute.string(), address);
}

bool is_path(std::string_view place) { return place.find('/') != std::string_view::npos; }

Failure read_qemu_stream(LinkUrl& url, const std::string& place, OpenDevice& open) {
  Failure failure;
  const bool listen = url.take_flag("listen", failure);
  if (!failure) failure = url.finish();
  if (failure) return failure;
  SocketAddress address;
  if (is_path(place)) {
    failure = unix_address(place, address);
  } else {
    Endpoint endpoint;
    failure = parse_endpoint(place, {}, "the place of qemu:stream", endpoint);
    address = SocketAddress(endpoint);
  }
  if (failure) return failure;
  open = [address, listen](Failure& why) {
    return listen ? QemuStream::listen(address, why) : QemuStream::connect(address, why);
  };
  return {};
}

Failure read_qemu_datagrams(LinkUrl& url, const std::string& place, std::uint32_t mtu,
                            OpenDevice& open) {
  const auto remote = url.take("remote");
  if (mtu == 0) mtu = kGuestMtu;
  const auto needs_remote = [&](const char* what) {
    return invalid_link("qemu:dgram://" + place + " needs remote=, " + what + " of QEMU's socket");
  };
  if (is_path(place)) {
    DatagramDevice::Options options;
    options.mtu = mtu;
    Failure failure = url.finish();
    if (!failure && !remote) failure = needs_remote("the path");
    if (!failure) failure = unix_address(place, options.local);
    if (!failure) failure = unix_address(*remote, options.remote);
    if (!failure) open = opener(options);
    return failure;
  }
  Endpoint local;
  Endpoint peer;
  Failure failure = parse_endpoint(place, {}, "the place of qemu:dgram", local);
  if (!failure && remote) {
    failure = parse_endpoint(*remote, {}, "remote", peer);
  } else if (!failure && local.address.is_multicast()) {
    // As QEMU has it where the remote is a group: all who are in it hear each other.
    peer = local;
    local.address = IpAddress::any(peer.address.family());
  } else if (!failure) {
    failure = needs_remote("the address");
  }
  if (failure) return failure;
  return read_datagrams(url, local, peer, mtu, open);
}

}  // namespace

Failure read_udp_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open) {
  Endpoint remote;
  Endpoint local;
  Failure failure = parse_endpoint(url.place(), {}, "the place of udp:", remote);
  if (!failure) failure = take_local(url, remote, local);
  if (failure) return failure;
  return read_datagrams(url, local, remote, mtu, open);
}

Failure read_vxlan_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open) {
  Failure failure;
  Vxlan::Options options;
  options.mtu = mtu;
  std::vector<Endpoint> remotes;
  std::string_view rest = url.place();
  for (bool more = true; more && !failure;) {
    const std::string_view one = rest.substr(0, rest.find(','));
    more = one.size() < rest.size();
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    remotes.emplace_back();
    failure = parse_endpoint(one, {.address = {}, .port = kVxlanPort},
                             "an end point of vxlan:", remotes.back());
  }
  if (!failure && remotes.size() > Vxlan::kMostRemotes) {
    failure = invalid_link("vxlan: has " + std::to_string(Vxlan::kMostRemotes) +
                           " end points at most, not " + std::to_string(remotes.size()) +
                           "; use a multicast group");
  }
  Endpoint local;
  if (!failure) failure = take_local(url, remotes.front(), local);
  if (failure) return failure;
  const std::uint64_t vni = url.take_number("vni", 0, kMostVni, kMostVni + 1, failure);
  options.vni = static_cast<std::uint32_t>(vni);
  if (!failure && vni > kMostVni) {
    failure = invalid_link("vxlan: needs vni=, the number of its segment, 0 to 16777215");
  }
  if (!failure) options.udp = take_udp_options(url, failure);
  // RFC 7348 4.3: end points must not fragment.
  options.udp.fragment = false;
  if (!failure) options.any = url.take_flag("any", failure);
  if (!failure) options.ports = url.take_number("ports", 1, Vxlan::kMostPorts, 1, failure);
  if (!failure) failure = url.finish();
  if (failure) return failure;
  options.local = SocketAddress(local, options.udp.device);
  for (const Endpoint& remote : remotes) options.remotes.emplace_back(remote, options.udp.device);
  open = [options](Failure& why) { return Vxlan::open(options, why); };
  return {};
}

Failure read_qemu_link(LinkUrl& url, std::uint32_t mtu, OpenDevice& open, bool& can_be_lost) {
  // The scheme's own "//" is taken off already, not that of the back end.
  constexpr std::string_view kStream = "stream://";
  constexpr std::string_view kDatagrams = "dgram://";
  const std::string place = url.place();
  can_be_lost = place.starts_with(kStream);
  if (can_be_lost) return read_qemu_stream(url, place.substr(kStream.size()), open);
  if (place.starts_with(kDatagrams)) {
    return read_qemu_datagrams(url, place.substr(kDatagrams.size()), mtu, open);
  }
  return invalid_link("'" + url.text() + "': a QEMU link is qemu:stream://... or qemu:dgram://...");
}

}  // namespace vpollnet::host
