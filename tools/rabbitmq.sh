#!/usr/bin/env bash
# Make sure that RabbitMQ is there for `make test-globus`. As root it is installed from Debian when missing, and no
# service is started: the tests start their own broker, on loopback, with a private data folder.
set -euo pipefail

server=/usr/lib/rabbitmq/bin/rabbitmq-server
[ ! -x "$server" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "globus: RabbitMQ is missing, and only root can install it (sudo $0):" \
        "the tests of whole endpoints are left out, those of the engine run" >&2
    exit 0
fi
policy=/usr/sbin/policy-rc.d # asked by every package that wants to start a service; 101 forbids it
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
echo "globus: installing RabbitMQ (about 100 MB, a minute)"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends rabbitmq-server >/dev/null
[ -x "$server" ]
