// SPDX-License-Identifier: MIT
#include "host/links/link_url.hpp"

#include <doctest/doctest.h>

using namespace vpollnet;
using namespace vpollnet::host;

namespace {

LinkUrl parsed(std::string_view text) {
  LinkUrl url;
  const Failure failure = LinkUrl::parse(text, url);
  CHECK_MESSAGE(!failure, failure.detail);
  return url;
}

std::string refused(std::string_view text) {
  LinkUrl url;
  const Failure failure = LinkUrl::parse(text, url);
  CHECK(failure.error == Errno::invalid);
  return failure.detail;
}

std::string endpoint(std::string_view text, const Endpoint& defaults = {}) {
  Endpoint result;
  const Failure failure = parse_endpoint(text, defaults, "place", result);
  return failure ? "refused" : result.to_string();
}

}  // namespace

TEST_CASE("a link's URL has a scheme, a place and parameters") {
  LinkUrl url = parsed("TAP://tap0?a=1&b&c=x=y");
  CHECK(url.text() == "TAP://tap0?a=1&b&c=x=y");
  CHECK(url.scheme() == "tap");
  CHECK(url.place() == "tap0");
  CHECK(url.take("a") == "1");
  CHECK(url.take("a") == std::nullopt);
  CHECK(url.take("b") == "");
  CHECK(url.take("c") == "x=y");
  CHECK(!url.finish());
  CHECK(parsed("cable:lab").place() == "lab");
  CHECK(parsed("cable:").place() == "");
  // One "//" belongs to the scheme.
  CHECK(parsed("qemu:stream://h:1").place() == "stream://h:1");
  CHECK(parsed("x:///run/a.sock").place() == "/run/a.sock");
  CHECK(parsed("x:a?").place() == "a");
}

TEST_CASE("percent signs in a link's URL are decoded after it was taken apart (RFC 3986 2.4)") {
  LinkUrl url = parsed("x:%41%2F%3fb?k=%3d%26&l=100%25");
  CHECK(url.place() == "A/?b");
  CHECK(url.take("k") == "=&");
  CHECK(url.take("l") == "100%");
  for (const char* text : {"x:%", "x:%4", "x:%4g", "x:a?k=%", "x:a?k=%1", "x:a?k=%g1"}) {
    CHECK(refused(text).find("hexadecimal") != std::string::npos);
  }
}

TEST_CASE("a URL without a scheme, and a parameter given twice, are errors that say so") {
  CHECK(refused("tap0").find("no scheme") != std::string::npos);
  CHECK(refused(":tap0").find("no scheme") != std::string::npos);
  CHECK(refused("").find("no scheme") != std::string::npos);
  CHECK(refused("x:a?k=1&k=2").find("'k' is given twice") != std::string::npos);
}

TEST_CASE("a parameter that nobody takes is an error that names it") {
  LinkUrl url = parsed("udp://h:1?lokal=1&zone=2");
  CHECK(url.finish().detail == "a link of udp: has no parameter 'lokal'");
  url.take("lokal");
  CHECK(url.finish().detail == "a link of udp: has no parameter 'zone'");
  CHECK(parsed("x:a?=1").finish().error == Errno::invalid);
}

TEST_CASE("a number in a link's URL is whole and within its bounds") {
  Failure failure;
  LinkUrl url = parsed("x:?a=7&b=0&c=256&d=1.5&e=&f=-1&g=99999999999999999999&h=0x10&i= 1");
  CHECK(url.take_number("none", 1, 255, 42, failure) == 42);
  CHECK(url.take_number("a", 1, 255, 42, failure) == 7);
  CHECK(!failure);
  for (const char* key : {"b", "c", "d", "e", "f", "g", "h", "i"}) {
    failure = {};
    CHECK(url.take_number(key, 1, 255, 42, failure) == 42);
    CHECK(failure.error == Errno::invalid);
    CHECK(failure.detail.starts_with("'" + std::string(key) + "' is a whole number from 1 to 255"));
  }
}

TEST_CASE("a switch in a link's URL is given or not") {
  Failure failure;
  LinkUrl url = parsed("x:?a&b=1&c=true&d=0&e=false&f=yes");
  for (const char* key : {"a", "b", "c"}) CHECK(url.take_flag(key, failure));
  for (const char* key : {"d", "e", "none"}) CHECK(!url.take_flag(key, failure));
  CHECK(!failure);
  CHECK(!url.take_flag("f", failure));
  CHECK(failure.detail.find("'f'") != std::string::npos);
}

TEST_CASE("an end point is an address and a port, each of which may have a default") {
  const Endpoint defaults{.address = IpAddress::v4(10, 0, 0, 9), .port = 4789};
  CHECK(endpoint("10.0.0.1:7") == "10.0.0.1:7");
  CHECK(endpoint("[fd00::1]:65535") == "[fd00::1]:65535");
  CHECK(endpoint("10.0.0.1", defaults) == "10.0.0.1:4789");
  CHECK(endpoint("[fd00::1]", defaults) == "[fd00::1]:4789");
  CHECK(endpoint(":7", defaults) == "10.0.0.9:7");
  CHECK(endpoint("", defaults) == "10.0.0.9:4789");
  CHECK(endpoint("[]:7", defaults) == "refused");
}

TEST_CASE("what is no end point is refused") {
  for (const char* text :
       {"", "10.0.0.1", ":7", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x",
        "10.0.0.1:7:8", "10.0.0:7", "fd00::1", "fd00::1:7", "[fd00::1", "[fd00::1]7", "[]:7",
        "[10.0.0.1:7", "localhost:7", "10.0.0.1:+7", "10.0.0.1: 7", "[fd00::1]:"}) {
    CAPTURE(text);
    CHECK(endpoint(text) == "refused");
  }
}
