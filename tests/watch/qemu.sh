#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# watch and prove on Debian 12's own kernel, under qemu in software emulation: slow, but with
# function tracing and with modules. tests/watch/qemu.sh [TXPATH]; not part of ./check.
# Needs qemu-system-x86, and apt to download linux-image and busybox-static from.
set -eu
txpath=$(realpath "${1:-build/bin/txpath}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
image=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
apt-get -qq download "$image" busybox-static
for deb in linux-image*.deb; do dpkg-deb -x "$deb" kernel; done
for deb in busybox*.deb; do dpkg-deb -x "$deb" busybox; done
version=${image#linux-image-}
mkdir -p root/{bin,proc,sys,dev,run,mod}
cp busybox/bin/busybox root/bin/
for applet in sh mount insmod sleep poweroff uname; do ln -s busybox "root/bin/$applet"; done
cp "$txpath" root/bin/txpath
strip root/bin/txpath
cp -L "$(command -v ip)" root/bin/ip
for program in root/bin/txpath root/bin/ip; do ldd "$program" | grep -o '/[^ ]*'; done | sort -u |
  while read -r lib; do install -D "$(realpath "$lib")" "root$lib"; done
cp "kernel/lib/modules/$version/kernel/drivers/net/veth.ko" root/mod/
cat >root/init <<'INIT'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tmpfs run /run
uname -r
insmod /mod/veth.ko
/bin/ip link set lo up
/bin/ip link add va type veth peer name vb
/bin/ip addr add 10.77.0.1/24 dev va
/bin/ip link set va up
/bin/ip link set vb up
/bin/ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 dev va nud permanent
/bin/ip route add 10.9.0.0/16 via 10.77.0.2 mtu 600
txpath prove udp to 10.77.0.2:53; echo "exit $?"
txpath prove udp to 10.9.0.2:53 len 1000; echo "exit $?"
txpath prove udp to 127.0.0.1:53; echo "exit $?"
txpath prove udp to 192.0.2.1:53; echo "exit $?"
poweroff -f
INIT
chmod +x root/init
(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1 >../initrd.gz)
timeout 1200 qemu-system-x86_64 -m 768 -smp 1 -nographic -no-reboot \
  -kernel "kernel/boot/vmlinuz-$version" -initrd initrd.gz \
  -append "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init" | tr -d '\r' >out
cat out
# All four agree.
[[ $(grep -c '^exit 0$' out) == 4 ]]
