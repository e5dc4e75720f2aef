// SPDX-License-Identifier: MIT
// Node-API as this folder uses it: through this header only, so that all files agree on the
// settings.
#pragma once

// A std::exception, such as bad_alloc, becomes a JS exception and not an abort.
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#include <napi.h>
