// SPDX-License-Identifier: MIT
// A switch in a pump: a bridge (bridge.hpp) over any number of links, of any kind that carries
// Ethernet frames. Thread-safe, as a Network.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/failure.hpp"
#include "host/links/link_port.hpp"
#include "host/network.hpp"
#include "host/switching/bridge.hpp"

namespace vpollnet::host {

struct SwitchPortSpec {
  LinkSpec link;     ///< without what is a stack's: a name, a MAC, addresses
  std::string name;  ///< empty: "port0", "port1", ...
  PortVlans vlans;
};

class Switch {
 public:
  static std::shared_ptr<Switch> open(std::shared_ptr<Pump> pump, const BridgeConfig& config);
  virtual ~Switch() = default;

  /// Opens the link and adds the port. On failure nothing is left. EINVAL for a link that carries
  /// no Ethernet; EEXIST for a name that is taken; EADDRINUSE for a cable that the switch is on;
  /// EMFILE beyond Bridge::kMostPorts; EBADF once closed.
  virtual Failure add_port(const SwitchPortSpec& spec) = 0;
  /// ENODEV.
  virtual Errno remove_port(const std::string& name) = 0;

  struct PortInfo {
    PortNumber number = MacTable::kNoPort;  ///< free for another when the port is removed
    std::string name;
    std::string url;
    PortVlans vlans;
    std::uint32_t mtu = 0;
    Errno failure = Errno::ok;
    LinkCounters link;
    BridgePortCounters bridge;
    std::optional<ImpairmentInfo> impairment_in;
    std::optional<ImpairmentInfo> impairment_out;
  };
  virtual std::vector<PortInfo> ports() = 0;

  struct Heard {
    MacAddress mac;
    std::uint16_t vid = 0;
    std::string port;
    Nanos age = 0;
  };
  virtual std::vector<Heard> table() = 0;
  /// Addresses that went because the table was full.
  virtual std::uint64_t evictions() = 0;

  /// ENODEV if there is no such port.
  virtual Errno impair(PortNumber number, const LinkImpairment& impairment) = 0;
  /// As Network's; the links are ports, by number.
  virtual std::shared_ptr<Recording> record(const RecordingSpec& spec, Failure& failure) = 0;
  virtual void stop_recording(const std::shared_ptr<Recording>& recording) = 0;

  /// A port's link died or came back, or there is a loop.
  struct Change {
    std::string port;
    std::string url;
    Errno error = Errno::ok;  ///< why it is down; Errno::ok: it is up again
    // Of a loop: the address that is heard on `port` and on `echo` too. `echo` is empty otherwise.
    std::string echo;
    MacAddress mac;
    std::uint16_t vid = 0;
  };
  /// What happened since the last call, in order; kChanges at most, the newest.
  virtual std::vector<Change> take_changes() = 0;
  static constexpr std::size_t kChanges = 256;

  /// Closes every link. Idempotent. On return no descriptor of this switch is open.
  virtual void close() = 0;
};

}  // namespace vpollnet::host
