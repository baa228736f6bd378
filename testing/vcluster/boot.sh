#!/bin/bash
# The first process of a host: boot.sh STATE HOST SHM GPUS SHARED...
# Started in new namespaces; when it ends, all of the host does.
state=$1 host=$2 shm=$3 gpus=$4
shift 4
own=$state/hosts/$host etc=$state/etc

read -r pid _ < /proc/self/stat # still the machine's /proc: our number in the machine's eyes
trap '' HUP
trap 'exit 0' TERM INT
set -e
mount -t proc proc /proc
hostname "$host"
mount -t sysfs sysfs /sys # this network's view; also hides the machine's cgroups
mount -t tmpfs -o "size=$shm,mode=1777" tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
for folder in "$@"; do # what is shared although it lies in /tmp, which is not
    case $folder in
        /tmp/*) mkdir -p "$own$folder" && mount --bind "$folder" "$own$folder" ;;
    esac
done
mount --rbind "$own/tmp" /tmp
for name in hostname machine-id; do
    [ ! -e "/etc/$name" ] || mount --bind "$own/$name" "/etc/$name"
done
mount --bind "$etc/hosts" /etc/hosts
for name in ssh slurm munge; do
    mount --bind "$etc/$name" "/etc/$name"
done
mount --bind "$own/boot_id" /proc/sys/kernel/random/boot_id
mkdir -p /run/sshd /run/munge /run/lock
for ((i = 0; i < gpus; i++)); do mknod "/run/vgpu$i" c 1 3; done # Slurm wants device files
ip link set lo up
echo "$pid" > "$own/pid.new" && mv "$own/pid.new" "$own/pid"
set +e

for ((i = 0; i < 300; i++)); do # our cable is plugged in from outside
    [ ! -e "$own/wired" ] || break
    sleep 0.02
done
/usr/sbin/munged --force --key-file=/etc/munge/munge.key --socket=/run/munge/munge.socket.2 \
    --pid-file=/run/munge/munged.pid --log-file="$own/munged.log" --seed-file="$own/munged.seed"
/usr/sbin/sshd -f /etc/ssh/sshd_config -E "$own/sshd.log"
if [ "$host" = vn0 ]; then /usr/sbin/slurmctld; else /usr/sbin/slurmd; fi
: > "$own/ready"
while :; do # bash collects orphans while it waits
    sleep 86400 &
    wait $!
done
