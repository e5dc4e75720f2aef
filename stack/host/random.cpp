// SPDX-License-Identifier: MIT
#include "host/random.hpp"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace vpollnet::host {

void fill_random(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got > 0) {
      out = out.subspan(static_cast<std::size_t>(got));
    } else if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
  }
}

SecretKey random_secret() {
  SecretKey key{};
  fill_random({reinterpret_cast<std::uint8_t*>(key.data()), sizeof key});
  return key;
}

MacAddress random_mac() {
  MacAddress mac;
  fill_random(mac.bytes);
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & 0xfc) | 0x02);
  return mac;
}

}  // namespace vpollnet::host
