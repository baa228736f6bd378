"""A message broker for one test run: RabbitMQ on the loopback, with folders, ports and a port mapper of its own.

It runs under our guard, so that it goes with us, however we end.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pika.exceptions

from rhapsody_parsl.hosts import guard
from testing.ports import free_port
from testing.waiting import until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # beside Debian's wrapper, which wants to be another user
START_WITHIN = 90.0


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run a broker; yield its AMQP URL. All its processes are gone afterwards."""
    assert SERVER.exists(), "RabbitMQ is missing: `make test-globus` installs it as root (tools/rabbitmq.sh)"
    folder.mkdir(parents=True, exist_ok=True)
    port, mapper = free_port(), free_port()
    with (folder / "server.out").open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, guard.__file__, "--lifeline", "--", str(SERVER)],
            env=_environment(folder, port, mapper), stdin=subprocess.PIPE, stdout=out, stderr=out,
        )  # fmt: skip
    url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
    try:
        until(lambda: _answers(url, port) or _has_left(server, folder), START_WITHIN)
        yield url
    finally:
        server.communicate(timeout=30)  # its input ends, and with it all below the guard, the port mapper too


def _environment(folder: Path, port: int, mapper: int) -> dict[str, str]:
    """Return the server's variables; Erlang's own traffic stays on the loopback too."""
    return {
        **os.environ,
        "HOME": str(folder),  # Erlang keeps a secret there
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
    }


def _answers(url: str, port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()  # pika tells its log of each refusal
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True


def _has_left(server: "subprocess.Popen[bytes]", folder: Path) -> bool:
    if server.poll() is not None:
        raise AssertionError(f"RabbitMQ did not start: {(folder / 'server.out').read_text(errors='replace')[-2000:]}")
    return False
