"""PostgreSQL as a service of a test: the command that starts it, and a client of thirty lines.

PostgreSQL refuses to run as root, so root starts it as nobody.
"""

import glob
import os
import shutil
import socket
import struct
from collections.abc import Iterator
from typing import BinaryIO

from testing.unprivileged import UID

__all__ = ("COMMAND", "missing", "query")

_PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), *glob.glob("/usr/lib/postgresql/*/bin")])
"""Debian has them on nobody's `PATH`."""
_START = """set -e
umask 077
export PATH="$PROGRAMS"
if [ ! -e "$DATA/db/PG_VERSION" ]; then
    printf %s "$PASSWORD" > "$DATA/password"
    initdb -D "$DATA/db" -U postgres --auth=password --pwfile="$DATA/password"
    rm "$DATA/password"
else
    printf "alter role postgres password '%s'" "$PASSWORD" | postgres --single -D "$DATA/db" postgres > /dev/null
fi
unset PASSWORD
exec postgres -D "$DATA/db" -h "$1" -p "$2" -k "$DATA"
"""
_AS_NOBODY = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups") if os.geteuid() == 0 else ()
COMMAND = (*_AS_NOBODY, "env", f"PROGRAMS={_PROGRAMS}", "sh", "-c", _START, "sh", "{host}", "{port}")
"""For a service that is given `DATA`, a folder of the user who runs it, and `PASSWORD`."""
_PASSWORD_WANTED = 3


def missing() -> str:
    """Return why it cannot be tried here, "" when it can."""
    wanted = [name for name in ("initdb", "postgres", *_AS_NOBODY[:1]) if shutil.which(name, path=_PROGRAMS) is None]
    return f"{', '.join(wanted)} is not installed" if wanted else ""


def query(host: str, port: int, password: str, statement: str) -> list[str]:
    """Return the first column of what a statement answers.

    Raises:
        RuntimeError: The server refuses.
    """
    with socket.create_connection((host, port), 10) as connection, connection.makefile("rb") as answers:
        start = struct.pack("!i", 196608) + b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack("!i", len(start) + 4) + start)
        for kind, body in _until_idle(answers):
            if kind == b"R" and struct.unpack("!i", body[:4])[0] == _PASSWORD_WANTED:
                connection.sendall(_message(b"p", password))
        connection.sendall(_message(b"Q", statement))
        rows = [body for kind, body in _until_idle(answers) if kind == b"D"]
        connection.sendall(b"X" + struct.pack("!i", 4))
        return [row[6 : 6 + struct.unpack("!i", row[2:6])[0]].decode() for row in rows]


def _until_idle(answers: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield what the server says until it waits for a query."""
    kind = b""
    while kind != b"Z":
        kind, size = struct.unpack("!ci", answers.read(5))
        body = answers.read(size - 4)
        if kind == b"E":
            raise RuntimeError(body.replace(b"\0", b" ").decode())
        yield kind, body


def _message(kind: bytes, text: str) -> bytes:
    body = text.encode() + b"\0"
    return kind + struct.pack("!i", len(body) + 4) + body
