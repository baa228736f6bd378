"""A fresh process for one task: payload in, encoded `Result` out.

`python -m rhapsody_parsl.worker.once DESCRIPTOR` reads standard input and writes to the descriptor; with `CALL ANSWER`
both are files. The answer appears whole, or not at all.
"""

import os
import sys
from pathlib import Path

import msgspec

from rhapsody_parsl.hosts.process_tree import adopt_orphans, die_with_parent
from rhapsody_parsl.worker.footing import own_descriptors, prepare


def main() -> None:
    """Read, run, answer."""
    die_with_parent()
    adopt_orphans()
    *call_file, answer = sys.argv[1:]
    payload = Path(*call_file).read_bytes() if call_file else sys.stdin.buffer.read()
    prepare()
    from rhapsody_parsl.worker.call import call  # noqa: PLC0415 - `prepare` comes before dill
    from rhapsody_parsl.worker.setting import inherit  # noqa: PLC0415 - as above

    inherit()
    own_descriptors()
    result = msgspec.msgpack.encode(call(0, payload))
    if call_file:
        _write(Path(answer), result)
    else:
        with os.fdopen(int(answer), "wb") as out:
            out.write(result)


def _write(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".part")
    beside.write_bytes(data)
    beside.rename(path)


if __name__ == "__main__":
    main()
