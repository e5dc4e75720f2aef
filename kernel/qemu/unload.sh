#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In a guest, with the module loaded: that it goes when nobody uses it, and not before. A line
# `ok NAME` or `not ok NAME: why` for each test, as the programs of test/kernel print them.
failed=0

# check NAME WHY COMMAND...
check() {
  local name=$1 why=$2
  shift 2
  if "$@"; then
    echo "ok $name"
  else
    echo "not ok $name: $why"
    failed=1
  fi
}

is_loaded() {
  grep -q '^vpoll ' /proc/modules
}

is_gone() {
  ! is_loaded && [ ! -e /dev/vpoll ]
}

exec 3<>/dev/vpoll
said=$(rmmod vpoll 2>&1)
code=$?
check 'rmmod is refused while a file is open' "exit code $code: $said" [ "$code" -ne 0 ]
check 'the module stays' 'it is gone' is_loaded
exec 3<&-
said=$(rmmod vpoll 2>&1)
check 'rmmod works when the file is closed' "exit code $?: $said" [ $? -eq 0 ]
check 'the device goes with the module' "$(ls -l /dev/vpoll 2>&1)" is_gone
said=$(insmod /modules/vpoll.ko 2>&1)
check 'the module can be loaded again' "exit code $?: $said" [ -c /dev/vpoll ]
exit "$failed"
