"""A fresh process for one task: payload on standard input, encoded `Result` on the descriptor named in argv[1]."""

import os
import sys

import msgspec

from rhapsody_parsl.worker.call import call
from rhapsody_parsl.worker.process_tree import adopt_orphans, die_with_parent


def main() -> None:
    """Read, run, answer."""
    die_with_parent()
    adopt_orphans()
    payload = sys.stdin.buffer.read()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    with os.fdopen(int(sys.argv[1]), "wb") as out:
        out.write(msgspec.msgpack.encode(call(0, payload)))


if __name__ == "__main__":
    main()
