#!/usr/bin/env bash
# Make sure that RabbitMQ is there for `make test-globus`. As root it is installed from Debian when missing, and no
# service is started: the tests start their own broker, on loopback, with a private data folder.
set -euo pipefail

server=/usr/lib/rabbitmq/bin/rabbitmq-server
[ ! -x "$server" ] || exit 0
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" rabbitmq-server ||
    echo "globus: the tests of whole endpoints are left out, those of the engine run" >&2
