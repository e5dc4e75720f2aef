// SPDX-License-Identifier: MIT
#include "host/sockets/licence.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace vpollnet::host;

namespace {

LicenceCheck check(std::string_view expression, const std::vector<std::string>& accepted) {
  return check_licence(expression, accepted);
}

constexpr auto kAccepted = LicenceCheck::accepted;
constexpr auto kRefused = LicenceCheck::refused;
constexpr auto kMalformed = LicenceCheck::malformed;

}  // namespace

TEST_CASE("a licence expression is met by what each of its operators asks for") {
  const std::vector<std::string> mine{"MIT", "BSD-3-Clause"};
  CHECK(check("MIT", mine) == kAccepted);
  CHECK(check("mit", mine) == kAccepted);
  CHECK(check("GPL-3.0-only", mine) == kRefused);
  CHECK(check("GPL-3.0-only OR MIT", mine) == kAccepted);
  CHECK(check("GPL-3.0-only AND MIT", mine) == kRefused);
  CHECK(check("MIT AND BSD-3-Clause", mine) == kAccepted);
  // AND binds before OR.
  CHECK(check("MIT OR X AND Y", mine) == kAccepted);
  CHECK(check("(MIT OR X) AND Y", mine) == kRefused);
  CHECK(check("((MIT) AND (X OR (BSD-3-Clause)))", mine) == kAccepted);
  CHECK(check("MIT WITH Some-exception", mine) == kAccepted);
  CHECK(check("X WITH Some-exception", mine) == kRefused);
  CHECK(check("X WITH Some-exception", {"x with some-exception"}) == kAccepted);
  CHECK(check("DocumentRef-a:LicenseRef-b", {"DocumentRef-a:LicenseRef-b"}) == kAccepted);
}

TEST_CASE("later versions include the one that is named, and are not included by it") {
  CHECK(check("GPL-2.0-or-later", {"GPL-2.0-only"}) == kAccepted);
  CHECK(check("GPL-2.0+", {"GPL-2.0-only"}) == kAccepted);
  CHECK(check("GPL-2.0+", {"GPL-2.0-or-later"}) == kAccepted);
  CHECK(check("GPL-2.0", {"GPL-2.0-only"}) == kAccepted);
  CHECK(check("GPL-2.0-only", {"GPL-2.0-or-later"}) == kRefused);
  CHECK(check("GPL-2.0-or-later", {"GPL-3.0-only"}) == kRefused);
}

TEST_CASE("what is no licence expression is told from one that is refused") {
  for (const char* text :
       {"", " ", "AND", "MIT AND", "OR MIT", "(MIT", "MIT)", "()", "MIT MIT", "MIT WITH",
        "MIT WITH AND", "MIT/X11", "MIT, BSD", "free for all", "\1"}) {
    CAPTURE(text);
    CHECK(check(text, {"MIT"}) == kMalformed);
  }
  CHECK(check(std::string(600, '('), {"MIT"}) == kMalformed);
  CHECK(check(std::string(400, '('), {"MIT"}) == kMalformed);
}

TEST_CASE("a licence line is read with its prefix and without") {
  CHECK(licence_expression("SPDX-License-Identifier: MIT ") == "MIT");
  CHECK(licence_expression(" MIT OR ISC") == "MIT OR ISC");
  CHECK(licence_expression("SPDX-License-Identifier:") == "");
}
