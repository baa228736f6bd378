#!/usr/bin/env bash
# As root on Debian, install packages that are missing, and start no service of theirs: debian_packages.sh PACKAGE...
# Exits with 1, and names them, where they cannot be installed.
set -euo pipefail

missing=()
for package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; only root on Debian can install them (sudo $0 ${missing[*]})" >&2
    exit 1
fi
exec {one_at_a_time}<"${BASH_SOURCE[0]}"
flock "$one_at_a_time" # else a second one finds dpkg locked, or takes the first one's policy away
policy=/usr/sbin/policy-rc.d # asked by every package that wants to start a service; 101 forbids it
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
echo "installing ${missing[*]} (a minute at most)"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
