#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bash kernel/qemu/build-small.sh 6.1|6.12: builds a small kernel with KASAN and lockdep from Debian's
# source (see fetch.sh) with the series of kernel/patch/. Prints the folder, in which are then
#
#   vmlinuz     the kernel; small.config says what it can do
#   build/      what a module is built against: make -C FOLDER/build M=...
#   selftest    the series' selftest, a static program
#   log         all that the build said
#
# It knows no ACPI. It finds a second processor with `-smp 2,sockets=2`: the BIOS's other table has one
# entry a socket.
#
# The folder's name is made of all that goes into it, so what is there is not built again. Those of
# other states of the same version are removed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${1:-}
case $version in
6.1 | 6.12) ;;
*)
  echo "usage: build-small.sh 6.1|6.12" >&2
  exit 2
  ;;
esac
patches=$here/../patch/$version

debian=$(bash "$here/fetch.sh" "$version")
release=$(<"$debian/release")
key=$(cat "$patches"/*.patch "$here/small.config" "$here/build-small.sh" "$debian/release" |
  sha256sum | cut -c1-12)
cache=$(dirname "$debian")
folder=$cache/small-$version-$key

# Whoever asks for the same version at the same time waits for the first one's work.
exec 9>"$cache/small-$version.lock"
flock 9
if [[ -d $folder ]]; then
  echo "$folder"
  exit 0
fi

# All is built in a folder of another name, which gets its own name at the end: a build that was
# interrupted is never taken for one that is done.
rm -rf "$cache/build-$version".*
work=$(mktemp -d "$cache/build-$version.XXXXXX")
chmod 755 "$work"
log=$work/log
build=$work/build
trap 'rm -rf "$work"' EXIT

# step WORDS FUNCTION: runs it with its output in the log. The subshell is not part of a condition,
# which would switch off `set -e` inside.
step() {
  local words=$1 start=$SECONDS status
  set +e
  (
    set -e
    "$2"
  ) >>"$log" 2>&1 9>&-
  status=$?
  set -e
  if ((status)); then
    tail -n 30 "$log" >&2
    echo "build-small.sh: $version: failed: $words" >&2
    exit 1
  fi
  echo "small kernel $version: $words ($((SECONDS - start)) s)" >&2
}

run_make() {
  nice -n 5 make -C "$build" -j"$(nproc)" KBUILD_BUILD_USER=vpollnet KBUILD_BUILD_HOST=vpollnet "$@"
}

extract() {
  mkdir "$build"
  tar -C "$build" --strip-components=1 -xf "$debian/source.tar.xz"
}

apply() {
  local file
  for file in "$patches"/000[1-9]-*.patch; do
    patch -d "$build" -p1 --fuzz=0 --no-backup-if-mismatch -i "$file"
  done
}

# merge_config.sh only warns of what olddefconfig drops.
configure() {
  run_make tinyconfig
  (cd "$build" && scripts/kconfig/merge_config.sh -m .config "$here/small.config")
  run_make olddefconfig
  local line name bad=0
  while read -r line; do
    case $line in
    '# CONFIG_'*' is not set')
      name=${line#\# }
      name=${name%% *}
      if grep -q "^$name=" "$build/.config"; then
        echo "small.config: $name is set in spite of \"$line\""
        bad=1
      fi
      ;;
    CONFIG_*)
      if ! grep -qxF "$line" "$build/.config"; then
        echo "small.config: \"$line\" was dropped: something that it depends on is not set"
        bad=1
      fi
      ;;
    esac
  done <"$here/small.config"
  return "$bad"
}

compile() {
  run_make bzImage modules
  cp "$build/arch/x86/boot/bzImage" "$work/vmlinuz"
}

selftest() {
  run_make headers
  local tests=$build/tools/testing/selftests/filesystems/eventfd
  make -C "$tests" LDFLAGS=-static KHDR_INCLUDES="-isystem $build/usr/include"
  cp "$tests/eventfd_vpoll_test" "$work/selftest"

  # The series has numbers of its own, as a kernel's header must. They are those of the library: a
  # macro that is defined as something else is an error.
  gcc -Werror -fsyntax-only -I "$build/usr/include" -x c - <<CODE
#include "$here/../uapi/vpoll.h"
#include <linux/eventfd.h>
_Static_assert(EFD_VPOLL_EVENTS == VPOLL_EVENT_MASK, "the event masks differ");
CODE
}

# A module needs the makefiles, the headers, and the programs that were built.
prune() {
  cd "$build"
  find . -type f ! -path './include/*' ! -path './arch/x86/*.h' ! -path './scripts/*' \
    ! -path './tools/objtool/objtool' ! -name 'Makefile*' ! -name 'Kbuild*' \
    ! -name .config ! -name Module.symvers -delete
  find . -depth -type d -empty -delete
}

step "source of $release unpacked" extract
step "series applied" apply
step "configured" configure
step "kernel built" compile
step "selftest built" selftest
step "tree pruned" prune

mv "$work" "$folder"
trap - EXIT
for old in "$cache/small-$version"-*; do
  if [[ $old != "$folder" ]]; then rm -rf "$old"; fi
done
echo "$folder"
