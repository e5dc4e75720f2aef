#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bash test/kernel/dkms_test.sh HEADERS: that DKMS builds the module against the kernel headers in the
# folder HEADERS, from what `make install-dkms` copies. Nothing is installed on this machine.
set -uo pipefail

headers=${1:?usage: dkms_test.sh HEADERS}
module=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../kernel/module" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failed=0

# check NAME COMMAND...: shows what it said if it fails.
check() {
  local name=$1
  shift
  if "$@" >"$root/log" 2>&1; then
    echo "ok $name"
  else
    echo "not ok $name: exit code $?"
    sed 's/^/# /' "$root/log"
    failed=1
  fi
}

release=$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' "$headers/include/generated/utsrelease.h")
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$module/dkms.conf")

run_dkms() {
  local command=$1
  shift
  dkms "$command" "vpoll/$version" "$@" --dkmstree "$root/dkms" --sourcetree "$root/usr/src" \
    --installtree "$root/modules"
}

no_warning() {
  local log
  log=$(find "$root/dkms" -name make.log)
  [[ -n $log ]] && ! grep -iE 'warning|error' "$log"
}

built() {
  local file
  file=$(find "$root/dkms/vpoll/$version/$release" -name 'vpoll.ko*')
  [[ -n $file ]] || return 1
  # Before "SMP ..." modinfo names the kernel that it was built for.
  modinfo -F vermagic "$file" | grep -F "$release "
}

mkdir -p "$root/dkms" "$root/modules"
check 'install-dkms copies the sources' make -s -C "$module" install-dkms DESTDIR="$root"
check 'dkms add takes them' run_dkms add
check "dkms build builds them for $release" \
  run_dkms build -k "$release" --kernelsourcedir "$headers"
check 'the build gives no warning' no_warning
check "the module is one for $release" built
check 'dkms remove removes it' run_dkms remove --all
exit "$failed"
