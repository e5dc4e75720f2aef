// SPDX-License-Identifier: MIT
// Several stacks on simulated links, in virtual time and from a seed: nothing waits, and the same
// seed gives the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "stack.hpp"

namespace vpollnet::test {

/// What a link does to each frame.
struct Impairment {
  Nanos delay = 50 * kMicrosecond;
  Nanos jitter = 0;        ///< up to this much more, evenly: frames overtake each other
  double loss = 0;         ///< 0..1
  double duplication = 0;  ///< 0..1
  double corruption = 0;   ///< 0..1: one bit of the frame flips
  std::uint64_t rate = 0;  ///< bytes a second; 0 is without limit
};

class Simulation;

/// One stack of a simulation. Its Ethernet interfaces are made by Simulation::connect.
class Node final : public FrameSink {
 public:
  Node(Simulation& simulation, std::size_t index, std::string name, SecretKey secret);
  void transmit(InterfaceId interface, Packet&& frame) override;

  Stack& stack() { return *stack_; }
  const std::string& name() const { return name_; }
  socket::Socket& open(socket::Type type);

 private:
  friend class Simulation;
  struct Port {
    std::size_t peer = 0;
    InterfaceId peer_interface = kAnyInterface;
    Impairment impairment;
    bool cut = false;
    Nanos free_at = 0;  ///< when the link's rate allows the next frame
  };

  Simulation& simulation_;
  std::size_t index_;
  std::string name_;
  std::map<InterfaceId, Port> ports_;
  std::unique_ptr<Stack> stack_;
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed);
  ~Simulation();

  Node& add(const std::string& name);
  /// A cable between two nodes; addresses in CIDR text. `dad_transmits` of the interfaces is 0.
  void connect(Node& a, const std::vector<std::string>& a_addresses, Node& b,
               const std::vector<std::string>& b_addresses, const InterfaceConfig& config,
               const Impairment& impairment);
  void impair(Node& a, const Impairment& impairment);
  /// A cut cable swallows what is sent over it, in both directions.
  void cut(Node& a, bool is_cut);

  Nanos now() const { return now_; }
  /// Runs events until `done` says so or the clock reaches `limit`; whether it was `done`.
  bool run(const std::function<bool()>& done, Nanos limit);
  void run_for(Nanos span);

  BlockPool& pool() { return pool_; }
  /// A digest of every frame that was sent, with its time: equal for equal runs.
  std::uint64_t trace() const { return trace_; }
  std::uint64_t frames() const { return frames_; }
  std::uint64_t lost() const { return lost_; }

 private:
  friend class Node;
  struct Event {
    Nanos at;
    std::uint64_t order;
    std::size_t node;
    InterfaceId interface;
    std::shared_ptr<Packet> frame;
    bool operator>(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  void send(Node::Port& port, Packet&& frame);
  double chance();
  void settle();

  BlockPool pool_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  Nanos now_ = kSecond;
  std::uint64_t order_ = 0;
  std::uint64_t trace_ = 0xcbf29ce484222325;
  std::uint64_t frames_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace vpollnet::test
