"""Where Prometheus asks: a small HTTP server on the driver's loopback."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rhapsody_parsl.errors import InvalidTask

__all__ = ("MetricsPort",)

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPort:
    """Serves the text at `/metrics`, on a thread of its own.

    Args:
        port: Where; 0 takes a free one.
        text: Makes the text of the moment.

    Attributes:
        port: Where it is.

    Raises:
        InvalidTask: The port is taken.
    """

    def __init__(self, port: int, text: Callable[[], str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_GET(self) -> None:
                found = self.path.partition("?")[0] == "/metrics"
                body = text().encode() if found else b"/metrics is here\n"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", _TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody wants to read of each question."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as problem:
            raise InvalidTask(
                "metrics_port", port, str(problem), "Choose another one, or 0 for one that is free"
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="rhapsody-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and free the port; idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(10)
        self._server.server_close()
