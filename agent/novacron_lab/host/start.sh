#!/bin/sh
# Becomes the libvirtd of one lab host: start.sh DIRECTORY NAME CACHE.
# Runs in network, mount and UTS namespaces of its own; the mounts made here are seen nowhere else.
set -e
directory=$1
name=$2
cache=$3

mount --make-rprivate / 2>/dev/null || : # fails in a chroot, where / is no mount (requirements.py)
umount --lazy --recursive /sys 2>/dev/null || umount --lazy /sys
mount -t sysfs sysfs /sys # this namespace's own /sys/class/net, and no control groups
busybox hostname "$name"

over() { # what covers what
    [ -e "$2" ] || mkdir -p "$2"
    mount --bind "$1" "$2"
}
over "$directory/etc" /etc/libvirt
over "$directory/lib" /var/lib/libvirt
over "$cache" /var/cache/libvirt
over "$directory/log" /var/log/libvirt
over "$directory/passwd" /etc/passwd
over "$directory/group" /etc/group
[ ! -e /etc/hosts ] || over "$directory/hosts" /etc/hosts
over "$directory/run" /run
mkdir -p /run/libvirt /run/lock # where libvirt locks consoles
rm -f /run/libvirt/libvirt-sock /run/libvirt/libvirt-sock-ro # left by a libvirtd that was killed

exec libvirtd --daemon --pid-file /run/libvirtd.pid --config /etc/libvirt/libvirtd.conf
