"""`python -m rhapsody_parsl.worker ENDPOINT NAME [KEYS]`: a plain resident worker."""

import sys
from pathlib import Path

from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.mark import folder_of, made
from rhapsody_parsl.worker.loop import serve
from rhapsody_parsl.worker.process_tree import die_with_parent


def main(arguments: list[str]) -> None:
    """Serve the hub at `arguments[0]` under the name `arguments[1]`."""
    die_with_parent()
    endpoint, name, *keys = arguments
    mark = made(folder_of(endpoint, keys), name)
    serve(endpoint, name, Keys.load(Path(keys[0])) if keys else None, mark=mark)


if __name__ == "__main__":
    main(sys.argv[1:])
