"""`python -m testing.globus_trial`: Globus Compute without an account, on this machine alone, until Ctrl-C.

Runs a broker and the stand-in for web service and auth, and prints the variables for client and endpoint.
"""

import os
import signal
import tempfile
from pathlib import Path

from globus_compute_sdk.sdk.compute_dir import get_compute_dir

from testing.globus_service import environment, serve
from testing.leaks import adopt_orphans
from testing.rabbitmq import broker


def main() -> None:
    """Run until told to end."""
    adopt_orphans()  # the broker's port mapper leaves it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    user_dir = os.environ.get("GLOBUS_COMPUTE_USER_DIR") or str(get_compute_dir())
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as url, serve(url):
        for name, value in environment(user_dir).items():
            print(f"export {name}={value}", flush=True)  # noqa: T201 - to the person at the terminal
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
