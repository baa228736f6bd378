"""`python -m rhapsody_parsl.cluster.shell HOST COMMAND...`: stands for `rsh` where Flux leads to the other hosts."""

import os
import sys

from rhapsody_parsl.cluster.node_launcher import detect

__all__ = ("main",)


def main(arguments: list[str]) -> None:
    """Become what runs the command there; like `rsh`, by a shell."""
    host, *command = arguments
    argv = detect("flux", os.environ).argv(host, ["/bin/sh", "-c", " ".join(command)])
    os.execvp(argv[0], argv)  # noqa: S606 - the arguments are ours


if __name__ == "__main__":
    main(sys.argv[1:])
