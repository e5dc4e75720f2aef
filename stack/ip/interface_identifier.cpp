// SPDX-License-Identifier: MIT
#include "ip/interface_identifier.hpp"

#include <array>
#include <vector>

#include "wire/bytes.hpp"

namespace vpollnet::ip {

namespace {

constexpr std::array<std::uint8_t, 8> kPrefix{0xfe, 0x80};

/// RFC 5453 5, with the block that RFC 4291 2.5.1 reserves for Ethernet.
bool is_reserved(std::uint64_t identifier) {
  if (identifier == 0) return true;                    // subnet-router anycast
  if (identifier >> 24 == 0x02005efffeu) return true;  // IANA Ethernet block
  return identifier >= 0xfdffffffffffff80 && identifier <= 0xfdffffffffffffff;  // subnet anycast
}

}  // namespace

Cidr form_link_local(const SecretKey& secret, std::string_view interface_name,
                     const MacAddress& mac, unsigned& counter) {
  for (;; counter++) {
    // RID = F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key); there is no Network_ID.
    std::vector<std::uint8_t> input(kPrefix.begin(), kPrefix.end());
    input.insert(input.end(), interface_name.begin(), interface_name.end());
    input.insert(input.end(), mac.bytes.begin(), mac.bytes.end());
    std::array<std::uint8_t, 4> number;
    wire::store32(number.data(), counter);
    input.insert(input.end(), number.begin(), number.end());
    const std::uint64_t identifier = siphash(secret, input);
    if (is_reserved(identifier)) continue;

    std::array<std::uint8_t, 16> bytes{};
    std::copy(kPrefix.begin(), kPrefix.end(), bytes.begin());
    wire::store32(&bytes[8], static_cast<std::uint32_t>(identifier >> 32));
    wire::store32(&bytes[12], static_cast<std::uint32_t>(identifier));
    return {IpAddress::from_bytes(bytes), 64};
  }
}

}  // namespace vpollnet::ip
