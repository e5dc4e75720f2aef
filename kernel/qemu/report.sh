# SPDX-License-Identifier: GPL-2.0-only
#
# report FORMAT [VALUE...]: a line of results, on descriptor 3, as printf has it.
#
# A process of its own writes it. The shell has a handler of SIGCHLD without SA_RESTART: when a child ends just
# then, and the first process gets whatever a program left behind, a write of the shell itself to a serial
# line is interrupted, and the line is lost without a word.
report() {
  /bin/printf "$@" >&3
}
