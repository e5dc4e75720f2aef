// SPDX-License-Identifier: MIT
#include "host/links/link_port.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "host/random.hpp"
#include "link/offload.hpp"
#include "wire/ethernet.hpp"

namespace vpollnet::host {

using pcapng::Direction;

namespace {

/// A seed that is drawn here can be given back by a program that has doubles for numbers.
constexpr std::uint64_t kSeeds = (1ull << 53) - 1;

/// Bytes before the IP header.
std::size_t link_header(const Packet& frame, LinkType type) {
  if (type == LinkType::ip) return 0;
  std::array<std::uint8_t, wire::kEthernetTagged> front{};
  const auto payload = wire::ethernet_payload(std::span(front).first(frame.copy_out(0, front)));
  return payload ? payload->offset : wire::kEthernetHeader;
}

/// "impaired: corrupted, duplicated"; empty if the frame goes as it is.
std::string describe(const Impairment::Fate& fate) {
  if (fate.lost) return "dropped: impaired_loss";
  if (fate.queue_full) return "dropped: impaired_queue_full";
  std::string text;
  const auto add = [&text](bool is_so, const char* word) {
    if (is_so) text += (text.empty() ? "impaired: " : ", ") + std::string(word);
  };
  add(fate.corrupted, "corrupted");
  add(fate.duplicated, "duplicated");
  add(fate.reordered, "reordered");
  return text;
}

/// The first reason that has grown; empty if none has.
std::string_view first_new_drop(const LinkCounters& before, const LinkCounters& after) {
  for (std::size_t i = 0; i < kLinkDropReasons; i++) {
    if (after.drops[i] != before.drops[i]) return kLinkDropNames[i];
  }
  return {};
}

}  // namespace

/// What is around a link.
struct LinkPort::Around {
  struct Recorder {
    std::shared_ptr<Recording> recording;
    std::uint32_t interface = 0;
    std::shared_ptr<SocketFilter> filter;  ///< null: all frames

    bool wants(const Packet& frame, LinkType type) const {
      return filter == nullptr || filter->wants(frame, link_header(frame, type));
    }
  };
  /// One frame, in each of the recordings.
  using Marks = std::vector<Recording::Mark>;

  bool records() const { return !recorders.empty(); }
  bool idle() const { return in == nullptr && out == nullptr && recorders.empty(); }

  Marks record(Direction direction, const Packet& frame) {
    Marks marks;
    for (const Recorder& one : recorders) {
      marks.push_back(one.wants(frame, type)
                          ? one.recording->add_frame(one.interface, direction, frame)
                          : Recording::kNotRecorded);
    }
    return marks;
  }
  void comment(const Marks& marks, std::string_view text) {
    if (text.empty()) return;
    for (std::size_t i = 0; i < marks.size(); i++) {
      recorders[i].recording->comment(marks[i], text);
    }
  }

  std::unique_ptr<Impairment> in;
  std::unique_ptr<Impairment> out;
  std::vector<Recorder> recorders;
  LinkType type = LinkType::ethernet;
};

/// Between a link and its owner: what comes is impaired and recorded.
class LinkPort::Tap final : public FrameReceiver {
 public:
  Tap(LinkPort& port, FrameReceiver& receiver) : port_(port), receiver_(receiver) {}

  void receive(Packet&& frame, Nanos now) override {
    Around& around = *port_.around_;
    if (around.in == nullptr) return hand_over(std::move(frame), {}, now);
    // A large packet would share one fate among frames that would each have their own on a wire.
    const std::size_t header = link_header(frame, port_.link_->capabilities().type);
    link::segment(std::move(frame), header, false, port_.pump_->pool(), [&](Packet&& piece) {
      Packet kept;
      if (around.records()) kept = piece.clone();
      const Impairment::Fate fate = around.in->push(std::move(piece), now, port_.pump_->pool());
      if (!fate.dropped()) return;
      port_.impairment_drops_.drop(fate.lost ? LinkDrop::impaired_loss
                                             : LinkDrop::impaired_queue_full);
      if (around.records()) {
        around.comment(around.record(Direction::inbound, kept), describe(fate));
      }
    });
  }

  /// Frames of the impairment that are due. True when there are no more.
  bool release(Nanos now, int& budget) {
    Around& around = *port_.around_;
    while (around.in != nullptr && around.in->next_deadline() <= now) {
      if (budget <= 0) return false;
      budget--;
      auto released = around.in->pop(now);
      hand_over(std::move(released->frame), released->fate, now);
    }
    return true;
  }

 private:
  void hand_over(Packet&& frame, const Impairment::Fate& fate, Nanos now) {
    Around& around = *port_.around_;
    if (!around.records()) return receiver_.receive(std::move(frame), now);
    const Around::Marks marks = around.record(Direction::inbound, frame);
    around.comment(marks, describe(fate));
    receiver_.receive(std::move(frame), now);
    const std::string_view reason = receiver_.drop_reason();
    if (!reason.empty()) around.comment(marks, "dropped: " + std::string(reason));
  }

  LinkPort& port_;
  FrameReceiver& receiver_;
};

LinkPort::LinkPort(std::string name, std::string url, std::unique_ptr<Link> link, Pump& pump,
                   PumpMember& owner)
    : name_(std::move(name)), url_(std::move(url)), link_(std::move(link)), pump_(&pump),
      owner_(&owner) {}

LinkPort::LinkPort(LinkPort&&) noexcept = default;

LinkPort::~LinkPort() {
  if (around_ == nullptr) return;
  for (const Around::Recorder& one : around_->recorders) {
    one.recording->end_interface(one.interface, counters());
  }
}

LinkPort::Around& LinkPort::around() {
  if (around_ == nullptr) around_ = std::make_unique<Around>();
  return *around_;
}

LinkCounters LinkPort::counters() const {
  LinkCounters counters = link_->counters();
  for (std::size_t i = 0; i < kLinkDropReasons; i++) {
    counters.drops[i] += impairment_drops_.drops[i];
  }
  return counters;
}

// --- out ---

void LinkPort::transmit_around(Packet&& frame) {
  Around& around = *around_;
  const Nanos now = pump_->now();
  if (around.out == nullptr) {
    if (!around.records()) return link_->transmit(std::move(frame));
    const Around::Marks marks = around.record(Direction::outbound, frame);
    const LinkCounters before = link_->counters();
    link_->transmit(std::move(frame));
    const std::string_view reason = first_new_drop(before, link_->counters());
    if (!reason.empty()) around.comment(marks, "dropped: " + std::string(reason));
    return;
  }
  const LinkCapabilities& has = link_->capabilities();
  const std::size_t header = link_header(frame, has.type);
  link::segment(
      std::move(frame), header, !has.offloads.checksum, pump_->pool(), [&](Packet&& piece) {
        Around::Marks marks;
        if (around.records()) marks = around.record(Direction::outbound, piece);
        const Impairment::Fate fate = around.out->push(std::move(piece), now, pump_->pool());
        if (fate.dropped()) {
          impairment_drops_.drop(fate.lost ? LinkDrop::impaired_loss
                                           : LinkDrop::impaired_queue_full);
        }
        if (around.records()) around.comment(marks, describe(fate));
      });
  while (auto released = around.out->pop(now)) link_->transmit(std::move(released->frame));
  // Its deadline may have changed.
  pump_->touch(*owner_);
}

// --- in, and what is due ---

bool LinkPort::deliver_around(FrameReceiver& receiver, Nanos now, int& budget) {
  Around& around = *around_;
  while (around.out != nullptr && budget > 0) {
    auto released = around.out->pop(now);
    if (!released) break;
    budget--;
    link_->transmit(std::move(released->frame));
  }
  Tap tap(*this, receiver);
  bool all = tap.release(now, budget);
  all &= around.in == nullptr && !around.records() ? link_->deliver(receiver, now, budget)
                                                   : link_->deliver(tap, now, budget);
  all &= tap.release(now, budget);
  all &= around.out == nullptr || around.out->next_deadline() > now;
  // An impairment that was taken off stays until its last frame has gone.
  for (std::unique_ptr<Impairment>* one : {&around.in, &around.out}) {
    if (*one != nullptr && !(*one)->config().active() && (*one)->waiting() == 0) *one = nullptr;
  }
  if (around.idle()) around_ = nullptr;
  return all;
}

Nanos LinkPort::next_deadline_around() const {
  Nanos next = link_->next_deadline();
  if (around_->in != nullptr) next = std::min(next, around_->in->next_deadline());
  if (around_->out != nullptr) next = std::min(next, around_->out->next_deadline());
  return next;
}

// --- what is put around ---

void LinkPort::impair(const LinkImpairment& impairment) {
  const auto is_active = [](const std::optional<ImpairmentConfig>& one) {
    return one && one->active();
  };
  if (around_ == nullptr && !is_active(impairment.in) && !is_active(impairment.out)) return;
  // One for both directions: the stream sets them apart.
  const std::uint64_t fresh_seed = random_secret()[0] & kSeeds;
  const auto apply = [&](std::unique_ptr<Impairment>& now,
                         const std::optional<ImpairmentConfig>& wanted, Direction direction) {
    if (is_active(wanted)) {
      if (now == nullptr) {
        now = std::make_unique<Impairment>(*wanted, fresh_seed,
                                           static_cast<std::uint64_t>(direction));
      } else {
        now->configure(*wanted);
      }
    } else if (wanted && now != nullptr) {
      now->configure({});
      now->release(pump_->now());
    }
  };
  apply(around().in, impairment.in, Direction::inbound);
  apply(around().out, impairment.out, Direction::outbound);
  pump_->touch(*owner_);
}

std::optional<ImpairmentInfo> LinkPort::impairment(Direction direction) const {
  if (around_ == nullptr) return std::nullopt;
  const auto& one = direction == Direction::inbound ? around_->in : around_->out;
  if (one == nullptr || !one->config().active()) return std::nullopt;
  ImpairmentInfo info{one->config(), one->counters(), one->waiting()};
  info.config.seed = one->seed();
  return info;
}

void LinkPort::record(std::shared_ptr<Recording> recording, std::shared_ptr<SocketFilter> filter) {
  const LinkType type = link_->capabilities().type;
  const std::uint32_t interface = recording->add_interface(name_, url_, type, counters());
  around().type = type;
  around().recorders.push_back({std::move(recording), interface, std::move(filter)});
}

void LinkPort::stop_recording(const Recording& recording) {
  if (around_ == nullptr) return;
  std::erase_if(around_->recorders, [&](const Around::Recorder& one) {
    if (one.recording.get() != &recording) return false;
    one.recording->end_interface(one.interface, counters());
    return true;
  });
}

}  // namespace vpollnet::host
