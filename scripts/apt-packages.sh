#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs the Debian packages that building and testing need, if any is missing. Run it as root.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  cmake g++ make ninja-build # the native build
  ccache                     # the same file is compiled once, whatever the clone
  doctest-dev                # the native tests
  clang-format-14            # lint: versions disagree, this one decides
  iproute2 iputils-ping      # test/interop: namespaces, TAPs, the kernel as a peer
  tmux                       # the terminal example, typed at as a person would
)
# Parts that need more list it beside them.
for list in test/*/packages kernel/*/packages; do
  mapfile -t -O "${#packages[@]}" packages < <(sed 's/#.*//' "$list" | tr -s ' \t' '\n' | sed '/^$/d')
done

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
    missing+=("$package")
  fi
done
if ((${#missing[@]} == 0)); then exit 0; fi

echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
