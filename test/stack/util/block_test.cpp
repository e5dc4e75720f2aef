// SPDX-License-Identifier: MIT
// Memory of payload: who shares it, and what is kept for the next.
#include "util/block.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <vector>

using namespace vpollnet;

TEST_CASE("a block lives as long as a slice of it, and then serves the next of its size") {
  BlockPool pool;
  for (const std::uint32_t capacity : {BlockPool::kSmallCapacity, BlockPool::kLargeCapacity}) {
    Slice first = pool.allocate(capacity);
    const Block* const block = first.block();
    Slice part = first.part(0, 0);
    first = Slice();
    CHECK(pool.live() == 1);
    CHECK(pool.allocate(capacity).block() != block);
    part = Slice();
    CHECK(pool.live() == 0);
    Slice next = pool.allocate(capacity);
    CHECK(next.block() == block);
    CHECK(next.block()->capacity == capacity);
    CHECK(next.block()->filled == 0);
    CHECK(next.empty());
  }
}

TEST_CASE("a pool keeps no more blocks than it says") {
  struct Kept {
    std::uint32_t capacity;
    std::size_t limit;
  };
  for (const Kept& kept : {Kept{BlockPool::kSmallCapacity, BlockPool::kKeptSmall},
                           Kept{BlockPool::kLargeCapacity, BlockPool::kKeptLarge}}) {
    BlockPool pool;
    std::vector<Slice> many;
    for (std::size_t i = 0; i < 2 * kept.limit; i++) many.push_back(pool.allocate(kept.capacity));
    std::set<const Block*> before;
    for (const Slice& slice : many) before.insert(slice.block());
    CHECK(before.size() == 2 * kept.limit);
    // From the back: the last ones are kept, the first ones freed.
    std::set<const Block*> expected;
    for (std::size_t i = kept.limit; i < many.size(); i++) expected.insert(many[i].block());
    while (!many.empty()) many.pop_back();
    CHECK(pool.live() == 0);
    std::vector<Slice> again;
    for (std::size_t i = 0; i < kept.limit; i++) {
      again.push_back(pool.allocate(kept.capacity));
      CHECK(expected.erase(again.back().block()) == 1);
    }
    CHECK(expected.empty());
  }
}
