#!/bin/busybox sh
# The first program of the guest: mounts, runs /run-me and tells the host what became of it.
# Port `control` takes lines: ready RELEASE, beat, exit STATUS, cannot WHY.
export PATH=/bin:/sbin HOME=/root LC_ALL=C
export IOMAP_TRACE_BIN=/bin/iomap-trace # for the live tests
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
for module in $(cat /modules/order); do
    insmod "/modules/$module" || echo "init: cannot load $module"
done
# A device node appears a moment after its driver.
port() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        for entry in /sys/class/virtio-ports/*; do
            if [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ] && [ -c "/dev/${entry##*/}" ]; then
                echo "/dev/${entry##*/}"
                return
            fi
        done
        usleep 200000
    done
    echo /dev/console
}
disk() {
    for entry in /sys/block/vd*; do
        if [ "$(cat "$entry/serial" 2>/dev/null)" = "$1" ]; then
            echo "/dev/${entry##*/}"
        fi
    done
}
exec 7>"$(port control)"
cannot() {
    echo "cannot $*" >&7
    poweroff -f
}
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /out
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
for fs in $(cat /filesystems); do
    mkdir -p "/mnt/$fs"
    why=$(mount -t "$fs" "$(disk "$fs")" "/mnt/$fs" 2>&1) || cannot "mount $fs: $why"
done
echo "ready $(uname -r)" >&7
while :; do
    echo beat >&7
    sleep 1
done &
if [ -e /interactive ]; then
    setsid cttyhack sh -l
    status=0
else
    /run-me >"$(port stdout)" 2>"$(port stderr)" 7>&-
    status=$?
fi
for fs in $(cat /filesystems); do
    umount "/mnt/$fs" || echo "init: something still uses /mnt/$fs"
done
out=$(disk out)
if [ -n "$out" ]; then
    tar -c -f "$out" -C /out . || cannot "write what /out holds: it is larger than its disk"
fi
sync
echo "exit $status" >&7
poweroff -f
