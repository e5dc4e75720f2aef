// SPDX-License-Identifier: MIT
#include "host/links/cable.hpp"

#include <algorithm>

#include "wire/ethernet.hpp"

namespace vpollnet::host {
std::uint64_t CableSegment::key(const MacAddress& mac) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : mac.bytes) value = value << 8 | byte;
  return value;
}

bool CableSegment::has_switch(const PumpMember& owner) const {
  return std::any_of(promiscuous_.begin(), promiscuous_.end(),
                     [&](const CablePort* port) { return &port->owner_ == &owner; });
}

void CableSegment::carry(CablePort& from, Packet&& frame) {
  MacAddress destination;
  if (frame.copy_out(0, destination.bytes) < destination.bytes.size()) {
    from.counters_.drop(LinkDrop::malformed);
    return;
  }
  if (!destination.is_multicast()) {
    const auto found = by_mac_.find(key(destination));
    if (found != by_mac_.end()) {
      if (found->second != &from) found->second->take_in(std::move(frame));
      return;
    }
  }
  const std::vector<CablePort*>& to = destination.is_multicast() ? ports_ : promiscuous_;
  // The last one gets the frame itself.
  CablePort* last = nullptr;
  for (CablePort* port : to) {
    if (port == &from) continue;
    if (last != nullptr) last->take_in(frame.clone());
    last = port;
  }
  if (last != nullptr) last->take_in(std::move(frame));
}

std::shared_ptr<CableSegment> CableSegments::find_or_make(const std::string& name) {
  std::shared_ptr<CableSegment> segment = by_name_[name].lock();
  if (segment == nullptr) {
    std::erase_if(by_name_, [](const auto& entry) { return entry.second.expired(); });
    segment = std::make_shared<CableSegment>();
    by_name_[name] = segment;
  }
  return segment;
}

CablePort::CablePort(std::shared_ptr<CableSegment> segment, const MacAddress& mac,
                     std::uint32_t mtu, bool offloads, Pump& pump, PumpMember& owner)
    : segment_(std::move(segment)), mac_(mac), pump_(pump), owner_(owner) {
  capabilities_.mtu = mtu;
  capabilities_.offloads = {.segmentation = offloads, .checksum = offloads};
  segment_->ports_.push_back(this);
  if (mac.is_zero()) {
    segment_->promiscuous_.push_back(this);
  } else {
    segment_->by_mac_.emplace(CableSegment::key(mac), this);
  }
}

CablePort::~CablePort() {
  std::erase(segment_->ports_, this);
  if (mac_.is_zero()) {
    std::erase(segment_->promiscuous_, this);
  } else {
    segment_->by_mac_.erase(CableSegment::key(mac_));
  }
}

void CablePort::transmit(Packet&& frame) {
  counters_.frames_out++;
  counters_.bytes_out += frame.size();
  segment_->carry(*this, std::move(frame));
}

void CablePort::take_in(Packet&& frame) {
  // A large packet is cut up, in thought, to gso_size: only what goes as it is can be too long.
  if (frame.gso_size == 0 &&
      frame.size() > std::size_t{capabilities_.mtu} + wire::kEthernetTagged) {
    return counters_.drop(LinkDrop::too_long);
  }
  if (!arrived_.push(std::move(frame))) return counters_.drop(LinkDrop::queue_full);
  pump_.touch(owner_);
}

bool CablePort::deliver(FrameReceiver& receiver, Nanos now, int& budget) {
  while (!arrived_.empty()) {
    if (budget <= 0) return false;
    budget--;
    Packet frame = arrived_.pop();
    counters_.frames_in++;
    counters_.bytes_in += frame.size();
    receiver.receive(std::move(frame), now);
  }
  return true;
}

}  // namespace vpollnet::host
