"""A fresh process for one task: payload in, encoded `Result` out.

`python -m rhapsody_parsl.worker.once ANSWER,PIECES` reads standard input and writes to two descriptors: pieces of the
task's stream to the second, each after its length. With `CALL ANSWER` both are files, and there is no stream. The
answer appears whole, or not at all.
"""

import os
import sys
from functools import partial
from pathlib import Path

import msgspec

from rhapsody_parsl.hosts.process_tree import adopt_orphans, die_with_parent
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.worker.flow import Flow
from rhapsody_parsl.worker.footing import own_descriptors, prepare
from rhapsody_parsl.worker.outlet import Outlet
from rhapsody_parsl.worker.own_task import take_in

__all__ = ("LENGTH", "main")

LENGTH = 8
"""Bytes of the length before a piece."""


def main() -> None:
    """Read, run, answer."""
    die_with_parent()
    adopt_orphans()
    *call_file, answer = sys.argv[1:]
    payload = Path(*call_file).read_bytes() if call_file else sys.stdin.buffer.read()
    prepare()
    from rhapsody_parsl.worker.setting import inherit  # noqa: PLC0415 - `prepare` comes before dill

    inherit()
    take_in()
    own_descriptors()
    if call_file:
        _write(Path(answer), _called(payload))
    else:
        _answer(payload, *map(int, answer.split(",")))


def _called(payload: bytes, outlet: Outlet | None = None) -> bytes:
    from rhapsody_parsl.worker import line  # noqa: PLC0415 - as above
    from rhapsody_parsl.worker.call import call  # noqa: PLC0415 - as above

    result = call(0, payload, outlet=outlet)
    line.over()
    return msgspec.msgpack.encode(result)


def _write(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".part")
    beside.write_bytes(data)
    beside.rename(path)


def _answer(payload: bytes, answer: int, pieces: int) -> None:
    flows: dict[int, Flow] = {}
    result = _called(payload, Outlet(0, partial(_send, pieces, flows), flows))
    os.close(pieces)  # who reads them reads the answer then
    with os.fdopen(answer, "wb") as out:
        out.write(result)


def _send(pipe: int, flows: dict[int, Flow], piece: Piece) -> None:
    """Write a piece; it is taken once there was room in the pipe, and without a reader no more are wanted."""
    data = memoryview(len(piece.payload).to_bytes(LENGTH) + piece.payload)  # type: ignore[arg-type,operator]  # bytes until it is sent
    try:
        while data:
            data = data[os.write(pipe, data) :]
    except BrokenPipeError:
        pass
    flows[0].more(More(0, piece.number + 1, flows[0].bytes, stop=bool(data)))


if __name__ == "__main__":
    main()
