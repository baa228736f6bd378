"""A fresh process for one task: payload on standard input, encoded `Result` on the descriptor named in argv[1]."""

import os
import sys

import msgspec

from rhapsody_parsl.hosts.process_tree import adopt_orphans, die_with_parent
from rhapsody_parsl.worker.footing import own_descriptors, prepare


def main() -> None:
    """Read, run, answer."""
    die_with_parent()
    adopt_orphans()
    payload, answer = sys.stdin.buffer.read(), int(sys.argv[1])
    prepare()
    from rhapsody_parsl.worker.call import call  # noqa: PLC0415 - `prepare` comes before dill

    own_descriptors()
    result = msgspec.msgpack.encode(call(0, payload))
    with os.fdopen(answer, "wb") as out:
        out.write(result)


if __name__ == "__main__":
    main()
