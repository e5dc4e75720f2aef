#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first and only process of a guest: loads the modules that /modules/list names, runs each line of
# /run-list, says on the second serial line what came of it, and turns the machine off.
#
#   /modules/list    a file of /modules a line, in the order of loading
#   /run-list        NAME SECONDS COMMAND...; COMMAND is the shell's
#
#   BEGIN name                 here begins its output
#   RESULT name code seconds   and here it ends; 137: it was stopped for taking too long
#   END taint                  all were run; /proc/sys/kernel/tainted
#
# A line without its END is a machine that died. With vpollnet.shell on the kernel's command line the
# modules are loaded, and the console is a shell.
export PATH=/bin:/usr/bin HOME=/ TERM=linux

/bin/busybox mkdir -p /bin /dev /proc /sys /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd
ip link set lo up
# As many descriptors as people who ask for many have: a kernel alone gives 1024, and 4096 at most.
ulimit -n 1048576

# Whatever the kernel complains of is to be on the console.
dmesg -n 8
# Bytes pass as they are.
stty -F /dev/ttyS1 raw -echo 115200
exec 3>/dev/ttyS1
. /report.sh

uptime_s() {
  cut -d. -f1 /proc/uptime
}

# run NAME SECONDS COMMAND
run() {
  local begin code
  echo "vpollnet: begin $1" >/dev/kmsg
  report '\nBEGIN %s\n' "$1"
  begin=$(uptime_s)
  setsid timeout -s KILL "$2" sh -c "$3" </dev/null >&3 2>&1 3>&-
  code=$?
  report '\nRESULT %s %s %s\n' "$1" "$code" "$(($(uptime_s) - begin))"
  # What it left behind. Nothing else of this machine is a process that this could reach.
  kill -KILL -1 2>/dev/null
}

while read -r module; do
  run "insmod-$module" 60 "insmod /modules/$module"
done </modules/list

if grep -qw vpollnet.shell /proc/cmdline; then
  echo "A guest of kernel/qemu: /run-list has what the tests run; 'reboot -f' ends it."
  setsid cttyhack sh
  reboot -f
fi

while read -r name seconds command; do
  run "$name" "$seconds" "$command"
done </run-list

echo "vpollnet: end" >/dev/kmsg
report '\nEND %s\n' "$(cat /proc/sys/kernel/tainted)"
# Returns when all is sent (tcsetattr with TCSADRAIN); no child's end interrupts it.
stty -F /dev/ttyS1 raw
# qemu runs with -no-reboot, and a kernel without ACPI can't turn the machine off.
reboot -f
