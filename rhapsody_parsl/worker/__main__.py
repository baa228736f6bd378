"""`python -m rhapsody_parsl.worker ENDPOINT NAME`: a plain resident worker."""

import sys

from rhapsody_parsl.hosts.process_tree import die_with_parent
from rhapsody_parsl.worker.loop import serve


def main(arguments: list[str]) -> None:
    """Serve the hub at `arguments[0]` under the name `arguments[1]`."""
    die_with_parent()
    endpoint, name = arguments
    serve(endpoint, name)


if __name__ == "__main__":
    main(sys.argv[1:])
