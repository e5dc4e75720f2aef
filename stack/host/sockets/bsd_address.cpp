// SPDX-License-Identifier: MIT
#include "host/sockets/bsd_address.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace vpollnet::host {
namespace {

constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

BsdAddress to_bsd_address(const Endpoint& endpoint, int domain) {
  BsdAddress result;
  const auto bytes = endpoint.address.bytes();
  if (domain == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    if (endpoint.address.is_v4())
      std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&in.sin_addr));
    std::memcpy(&result.storage, &in, sizeof in);
    result.length = sizeof in;
    return result;
  }
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(endpoint.port);
  in6.sin6_scope_id = endpoint.scope;
  if (endpoint.address.is_v4()) {
    std::copy(std::begin(kMapped), std::end(kMapped), in6.sin6_addr.s6_addr);
    std::copy(bytes.begin(), bytes.end(), in6.sin6_addr.s6_addr + sizeof kMapped);
  } else {
    std::copy(bytes.begin(), bytes.end(), in6.sin6_addr.s6_addr);
  }
  std::memcpy(&result.storage, &in6, sizeof in6);
  result.length = sizeof in6;
  return result;
}

IpAddress to_address(const in6_addr& address) {
  const std::uint8_t* bytes = address.s6_addr;
  const bool mapped = std::equal(std::begin(kMapped), std::end(kMapped), bytes);
  return mapped ? IpAddress::from_bytes({bytes + sizeof kMapped, 4})
                : IpAddress::from_bytes({bytes, 16});
}

Endpoint to_endpoint(const BsdAddress& address) {
  Endpoint endpoint;
  if (address.storage.ss_family == AF_INET && address.length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &address.storage, sizeof in);
    endpoint.address =
        IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&in.sin_addr), 4});
    endpoint.port = ntohs(in.sin_port);
  } else if (address.storage.ss_family == AF_INET6 && address.length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &address.storage, sizeof in6);
    endpoint.address = to_address(in6.sin6_addr);
    endpoint.port = ntohs(in6.sin6_port);
    endpoint.scope = in6.sin6_scope_id;
  }
  return endpoint;
}

}  // namespace vpollnet::host
