"""A small HTTP server for tests of services. Standard library only.

    python small_server.py HOST PORT [SECONDS [ANYTHING ...]]

It listens after so many seconds, and says so. `GET /` tells what it was started with; `/die` ends it with exit code 11;
all else is 404. Told to leave by SIGINT it writes "in order" into the file named by `SMALL_SERVER_END`.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

COMMAND = (sys.executable, __file__, "{host}", "{port}")
"""For a service that is given its command."""


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        """Tell what there is, or die."""
        if self.path == "/die":
            os._exit(11)
        body = json.dumps({"pid": os.getpid(), "argv": sys.argv[1:], "password": os.environ.get("PASSWORD")}).encode()
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


def leave(number: int, frame: FrameType | None) -> None:
    """Leave in order."""
    if path := os.environ.get("SMALL_SERVER_END"):
        Path(path).write_text("in order")
    os._exit(0)


def main(host: str, port: str, seconds: str = "0", *_: str) -> None:
    """Serve until told to leave."""
    signal.signal(signal.SIGINT, leave)
    print("starting", flush=True)  # noqa: T201 - its log
    time.sleep(float(seconds))
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"listening on {port}", flush=True)  # noqa: T201 - its log
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
