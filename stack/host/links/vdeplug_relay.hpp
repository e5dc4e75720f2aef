// SPDX-License-Identifier: MIT
// A connection of libvdeplug whose calls may wait, behind a socket that does not.
#pragma once

#include "host/failure.hpp"
#include "host/links/vdeplug_library.hpp"

namespace vpollnet::host {

/// Starts a thread that carries frames between `connection`, which it owns from now on, and the
/// socket returned: a message is a frame, non-blocking, at its end when the connection is. The
/// thread ends, and closes the connection, soon after the socket is closed. -1, `failure` filled in
/// and the connection closed, where there is no descriptor or thread to be had.
int relay_vde(const VdeLibrary& library, VdeConnection* connection, Failure& failure);

}  // namespace vpollnet::host
