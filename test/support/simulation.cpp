// SPDX-License-Identifier: MIT
#include "support/simulation.hpp"

#include <cstdlib>

namespace vpollnet::test {

Node::Node(Simulation& simulation, std::size_t index, std::string name, SecretKey secret)
    : simulation_(simulation), index_(index), name_(std::move(name)) {
  StackConfig config;
  config.secret = secret;
  stack_ = std::make_unique<Stack>(config, simulation.pool_, *this);
}

void Node::transmit(InterfaceId interface, Packet&& frame) {
  simulation_.send(ports_.at(interface), std::move(frame));
}

socket::Socket& Node::open(socket::Type type) { return **stack_->sockets().open(type); }

Simulation::Simulation(std::uint64_t seed) : random_(seed) {}

Simulation::~Simulation() {
  while (!events_.empty()) events_.pop();
  nodes_.clear();
}

Node& Simulation::add(const std::string& name) {
  nodes_.push_back(
      std::make_unique<Node>(*this, nodes_.size(), name, SecretKey{random_(), random_()}));
  return *nodes_.back();
}

void Simulation::connect(Node& a, const std::vector<std::string>& a_addresses, Node& b,
                         const std::vector<std::string>& b_addresses, const InterfaceConfig& config,
                         const Impairment& impairment) {
  const auto plug = [&](Node& node, const std::vector<std::string>& addresses) {
    InterfaceConfig own = config;
    own.name = "eth" + std::to_string(node.ports_.size());
    own.dad_transmits = 0;
    const std::uint8_t port = static_cast<std::uint8_t>(node.ports_.size());
    own.mac = MacAddress{{2, 0, 0, 0, static_cast<std::uint8_t>(node.index_), port}};
    const InterfaceId id = *node.stack_->add_interface(own, now_);
    node.ports_[id].impairment = impairment;
    for (const std::string& address : addresses) {
      if (node.stack_->add_address(id, *Cidr::parse(address), now_) != Errno::ok) std::abort();
    }
    return id;
  };
  const InterfaceId a_id = plug(a, a_addresses);
  const InterfaceId b_id = plug(b, b_addresses);
  a.ports_[a_id].peer = b.index_;
  a.ports_[a_id].peer_interface = b_id;
  b.ports_[b_id].peer = a.index_;
  b.ports_[b_id].peer_interface = a_id;
}

void Simulation::impair(Node& a, const Impairment& impairment) {
  for (auto& [id, port] : a.ports_) port.impairment = impairment;
}

void Simulation::cut(Node& a, bool is_cut) {
  for (auto& [id, port] : a.ports_) {
    port.cut = is_cut;
    nodes_[port.peer]->ports_.at(port.peer_interface).cut = is_cut;
  }
}

double Simulation::chance() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

void Simulation::send(Node::Port& port, Packet&& frame) {
  frames_++;
  const std::size_t size = frame.size();
  for (const std::uint64_t word :
       {static_cast<std::uint64_t>(now_), static_cast<std::uint64_t>(size)}) {
    trace_ = (trace_ ^ word) * 0x100000001b3;
  }
  std::array<std::uint8_t, 64> front;
  const std::size_t count = frame.copy_out(0, front);
  for (std::size_t i = 0; i < count; i++) trace_ = (trace_ ^ front[i]) * 0x100000001b3;

  const Impairment& impairment = port.impairment;
  if (port.cut || chance() < impairment.loss) {
    lost_++;
    return;
  }
  const int copies = chance() < impairment.duplication ? 2 : 1;
  for (int i = 0; i < copies; i++) {
    Packet copy = i + 1 < copies ? frame.clone() : std::move(frame);
    if (chance() < impairment.corruption) {
      const std::span<std::uint8_t> bytes =
          copy.writable(std::min<std::size_t>(copy.size(), 2000), pool_);
      bytes[random_() % bytes.size()] ^= static_cast<std::uint8_t>(1u << (random_() % 8));
    }
    Nanos at = now_ + impairment.delay;
    if (impairment.rate > 0) {
      port.free_at =
          std::max(port.free_at, now_) +
          static_cast<Nanos>(size * static_cast<std::uint64_t>(kSecond) / impairment.rate);
      at = port.free_at + impairment.delay;
    }
    if (impairment.jitter > 0) {
      at += static_cast<Nanos>(random_() % static_cast<std::uint64_t>(impairment.jitter));
    }
    events_.push(
        {at, order_++, port.peer, port.peer_interface, std::make_shared<Packet>(std::move(copy))});
  }
}

void Simulation::settle() {
  for (bool busy = true; busy;) {
    busy = false;
    for (const std::unique_ptr<Node>& node : nodes_) {
      if (node->stack_->next_deadline() <= now_) {
        node->stack_->advance(now_);
        busy = true;
      }
    }
  }
}

bool Simulation::run(const std::function<bool()>& done, Nanos limit) {
  for (;;) {
    settle();
    if (done()) return true;
    Nanos next = events_.empty() ? kNever : events_.top().at;
    for (const std::unique_ptr<Node>& node : nodes_)
      next = std::min(next, node->stack_->next_deadline());
    if (next > limit) {
      now_ = limit;
      return false;
    }
    now_ = std::max(now_, next);
    while (!events_.empty() && events_.top().at <= now_) {
      const Event event = events_.top();
      events_.pop();
      nodes_[event.node]->stack_->receive(event.interface, std::move(*event.frame), now_);
    }
  }
}

void Simulation::run_for(Nanos span) {
  run([] { return false; }, now_ + span);
}

}  // namespace vpollnet::test
