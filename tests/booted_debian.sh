#!/bin/bash
# Boot systemd on top of the folder $1, in namespaces of its own: booted_debian.py starts this.
# What is written goes to memory; the network is the machine's. Nothing outlives the processes but
# empty control groups, which the one who starts this removes.
set -euo pipefail

base=$1 group=$2 stage=${3:-groups}

if [ "$stage" = groups ]; then  # a control group of its own is the root of what systemd manages
    mkdir -p "$group" && echo $$ >"$group/cgroup.procs"
    exec unshare --pid --mount --uts --ipc --cgroup --fork --kill-child --propagation private \
        "$0" "$base" "$group" boot
fi

memory=/mnt
mount -t tmpfs -o mode=755 tmpfs $memory
mkdir $memory/{upper,work,root}
root=$memory/root
mount -t overlay -o "lowerdir=$base,upperdir=$memory/upper,workdir=$memory/work" overlay $root

mount -t proc proc $root/proc
mount --bind $root/proc/sys $root/proc/sys
mount -o remount,bind,ro $root/proc/sys  # the kernel's settings are the machine's
mount -t sysfs -o ro sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount -t tmpfs -o mode=755 tmpfs $root/dev
for device in null zero full random urandom tty; do cp -a /dev/$device $root/dev/; done
ln -s /proc/self/fd $root/dev/fd
mkdir $root/dev/{shm,pts}
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
echo 0123456789abcdef0123456789abcdef >$root/etc/machine-id
echo "127.0.0.1 localhost" >$root/etc/hosts

cd $root
mkdir -p .old
pivot_root . .old
umount -l .old
rmdir .old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no </dev/null
