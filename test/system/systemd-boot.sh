#!/bin/sh
# Boots systemd over a copy-on-write view of this machine. Run it in mount, PID, network, UTS, IPC and cgroup namespaces of its own:
#   systemd-boot.sh WORK CHECKOUT SHARED NODE [TREE]
# WORK is an empty directory; CHECKOUT is seen at /opt/rulecast, SHARED at /srv, NODE as /usr/bin/node. The view is of TREE, where that is
# said. Ends when its first process does.
set -e
work=$1 checkout=$2 shared=$3 node=$4 tree=${5:-/}

mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
[ "$tree" != / ] || rm -rf var/lib/rulecast etc/rulecast # of this view: whatever is installed here is not the machine's

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx

mkdir -p opt/rulecast
mount --bind "$checkout" opt/rulecast
mount --bind "$shared" srv
[ usr/bin/node -ef "$node" ] || { touch usr/bin/node; mount --bind "$node" usr/bin/node; }

ip link set lo up
echo 0123456789abcdef0123456789abcdef > etc/machine-id
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 \
  chroot . /lib/systemd/systemd --unit=basic.target --log-target=null --show-status=no
