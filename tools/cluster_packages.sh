#!/usr/bin/env bash
# Installs what the virtual cluster needs (Debian 12 or 13, root), and starts none of it: the cluster runs its own copies
# in namespaces of its own.
exec "$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" \
    slurmctld slurmd slurm-client munge openssh-server openssh-client iproute2 util-linux procps
