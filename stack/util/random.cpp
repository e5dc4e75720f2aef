// SPDX-License-Identifier: MIT
#include "util/random.hpp"

#include <bit>
#include <cstring>

namespace vpollnet {
namespace {

void sip_round(std::array<std::uint64_t, 4>& v) {
  v[0] += v[1];
  v[1] = std::rotl(v[1], 13) ^ v[0];
  v[0] = std::rotl(v[0], 32);
  v[2] += v[3];
  v[3] = std::rotl(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = std::rotl(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = std::rotl(v[1], 17) ^ v[2];
  v[2] = std::rotl(v[2], 32);
}

std::uint64_t load_little_endian(const std::uint8_t* from, std::size_t count) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; i++) word |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  return word;
}

}  // namespace

std::uint64_t siphash(const SecretKey& key, std::span<const std::uint8_t> bytes) {
  std::array<std::uint64_t, 4> v{
      key[0] ^ 0x736f6d6570736575,
      key[1] ^ 0x646f72616e646f6d,
      key[0] ^ 0x6c7967656e657261,
      key[1] ^ 0x7465646279746573,
  };
  const auto absorb = [&v](std::uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) absorb(load_little_endian(bytes.data() + at, 8));
  absorb(load_little_endian(bytes.data() + at, bytes.size() - at) |
         static_cast<std::uint64_t>(bytes.size()) << 56);
  v[2] ^= 0xff;
  for (int i = 0; i < 4; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

std::uint64_t KeyedRandom::next() {
  std::array<std::uint8_t, 8> bytes;
  std::memcpy(bytes.data(), &counter_, sizeof counter_);
  counter_++;
  return siphash(key_, bytes);
}

std::uint32_t KeyedRandom::below(std::uint32_t bound) {
  // The high half of a 32 x 32 bit product; the bias is below bound / 2^32.
  return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
}

}  // namespace vpollnet
