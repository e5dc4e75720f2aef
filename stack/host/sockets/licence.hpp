// SPDX-License-Identifier: MIT
// Licences as SPDX writes them (SPDX 2.3, annex D).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace vpollnet::host {

enum class LicenceCheck {
  accepted,
  refused,    ///< a licence that is needed is not in the list
  malformed,  ///< no licence expression
};

/// Whether `expression` can be met with the licences of `accepted`: of "A OR B" one is enough, of
/// "A AND B" both are needed, and "A WITH B" needs A, or that very text. "A-or-later" (and "A+") is
/// met by "A-only", which it includes; not the other way round. Case does not matter.
LicenceCheck check_licence(std::string_view expression, std::span<const std::string> accepted);

/// Without "SPDX-License-Identifier:" in front and spaces around.
std::string_view licence_expression(std::string_view text);

}  // namespace vpollnet::host
