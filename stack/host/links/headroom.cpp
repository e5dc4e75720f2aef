// SPDX-License-Identifier: MIT
#include "host/links/headroom.hpp"

#include <utility>

namespace vpollnet::host {

void make_headroom(Packet& frame, std::size_t count, BlockPool& pool) {
  if (frame.head_size() + count <= Packet::kHeadCapacity) return;
  Packet moved;
  moved.gso_size = frame.gso_size;
  moved.checksum = frame.checksum;
  moved.checksum_from_end = frame.checksum_from_end;
  moved.checksum_field = frame.checksum_field;
  for (Slice& slice : frame.take_body(pool)) moved.append(std::move(slice));
  frame = std::move(moved);
}

}  // namespace vpollnet::host
