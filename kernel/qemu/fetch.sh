#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bash kernel/qemu/fetch.sh 6.1|6.12: fetches Debian's kernel, headers and source of that version into
# the cache, without installing anything. Prints the folder, in which are then
#
#   vmlinuz, modules/       the kernel, and those of its modules that the tests load
#   network/                network cards of qemu's (virtio-net-pci, e1000) and VLANs; `list` has their order
#   headers/                what a module is built against: make -C FOLDER/headers M=...
#   source.tar.xz           linux-source
#   release                 what `uname -r` says
#
# The cache is $VPOLLNET_CACHE, else vpollnet/ in the user's cache folder. A version that is there is
# not fetched again, until the file `release` is removed or the folder is to have other contents.
set -euo pipefail

# One more with each change of what is in the folder.
contents=3

version=${1:-}
case $version in
6.1) suite=bookworm ;;
6.12) suite=bookworm-backports ;;
*)
  echo "usage: fetch.sh 6.1|6.12" >&2
  exit 2
  ;;
esac

cache=${VPOLLNET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vpollnet}/kernel
folder=$cache/debian-$version
mkdir -p "$folder"
# Whoever asks for the same version at the same time waits for the first one's work.
exec 9>"$cache/debian-$version.lock"
flock 9
if [[ -e $folder/release && $(cat "$folder/contents" 2>/dev/null) == "$contents" ]]; then
  echo "$folder"
  exit 0
fi
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

fail() {
  echo "fetch.sh: $1" >&2
  exit 1
}

# The machine's own mirror, in a configuration apart from the machine's: it may not have backports, and
# whoever runs this need not be root.
repository=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  sed -n 's/ bookworm$//p' | head -1)
[[ -n $repository ]] || repository=http://deb.debian.org/debian/
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keyring ]] || fail "no $keyring: install debian-archive-keyring"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/state" "$work/root"
printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$repository" "$suite" >"$work/sources.list"
: >"$work/state/status"
options=(
  -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=-
  -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/state/status"
  -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 -o APT::Architectures=amd64
  -o APT::Sandbox::User=
)
apt-get "${options[@]}" update -qq || fail "apt-get update failed for $repository $suite"

# depends PACKAGE PATTERN: the names of its dependencies that match.
depends() {
  apt-cache "${options[@]}" depends --no-recommends --no-suggests "$1" |
    sed -n 's/^ *Depends: //p' | grep -E "$2" || fail "$1 of $suite depends on no $2"
}
image=$(depends linux-image-amd64 '^linux-image-')
headers=$(depends linux-headers-amd64 '^linux-headers-')
[[ ${image#linux-image-} == "$version".* ]] || fail "$suite has $image, not a $version"
common=$(depends "$headers" '^linux-headers-.*common$')
kbuild=$(depends "$headers" '^linux-kbuild-')
(cd "$work" && apt-get "${options[@]}" download -qq "$image" "$headers" "$common" "$kbuild" \
  "linux-source-$version") || fail "apt-get download failed for $suite"
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done

release=${image#linux-image-}
release=${release%-unsigned}
modules=$work/root/lib/modules/$release
[[ -d $modules ]] || modules=$work/root/usr/lib/modules/$release
rm -rf "$folder"
mkdir -p "$folder/modules" "$folder/network"

# unpack MODULE FOLDER: says the file's name, or nothing if it is built into this kernel.
unpack() {
  local file name
  for file in "$modules/kernel/$1".ko*; do
    name=$(basename "$file" .xz)
    case $file in
    *'*') ;;
    *.xz) xz -dc "$file" >"$2/$name" && echo "$name" ;;
    *) cp "$file" "$2/" && echo "$name" ;;
    esac
  done
}
for module in drivers/net/tun fs/fuse/fuse; do
  unpack "$module" "$folder/modules" >/dev/null
done
for module in drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_pci_modern_dev \
  drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci net/core/failover \
  drivers/net/net_failover drivers/net/virtio_net drivers/net/ethernet/intel/e1000/e1000 \
  net/llc/llc net/802/stp net/802/garp net/802/mrp net/8021q/8021q; do
  unpack "$module" "$folder/network"
done >"$folder/network/list"
cp "$work/root/boot/vmlinuz-$release" "$folder/vmlinuz"
cp "$work"/root/usr/src/linux-source-*.tar.xz "$folder/source.tar.xz"

# The headers name their other two parts by where they would be installed.
mv "$work/root/usr/src/$headers" "$folder/headers"
mv "$work/root/usr/src/$common" "$folder/common"
mv "$work/root/usr/lib/$kbuild" "$folder/kbuild"
sed -i "s#/usr/src/$common#$folder/common#g" "$folder/headers/Makefile"
for part in headers common; do
  for link in scripts tools; do
    if [[ -L $folder/$part/$link ]]; then ln -sfn "$folder/kbuild/$link" "$folder/$part/$link"; fi
  done
done

echo "$contents" >"$folder/contents"
echo "$release" >"$folder/release"
echo "$folder"
