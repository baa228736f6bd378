"""What the record of a run costs: the pilot per task, the driver per task, and whoever reads 100,000 tasks.

`python -m benchmarks record` runs the pilot's real core alone, with the times of tasks and without, and encodes its
results; it gives a recorder as many results; then it reads the file and makes the report of it. CPU times per task. The
same for requests at the front door: what the door's process, the pilot and the driver take for each.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.library import sides
from rhapsody_parsl.door.routing import Seat
from rhapsody_parsl.door.visits import Visits, current
from rhapsody_parsl.pilot.core import Core
from rhapsody_parsl.pilot.instructions import Feed
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.runs import Runs
from rhapsody_parsl.record import read
from rhapsody_parsl.report.page import page
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.door import DoorRequest, DoorRequests, Route
from rhapsody_parsl.wire.messages import RESULT, FromBackend, Result, Results
from rhapsody_parsl.wire.times import RequestTimes
from rhapsody_parsl.wire.totals import Tally
from testing.nodes import make_nodes, make_spec, make_task
from testing.runs import CLOCKS, MadeUp
from testing.simulation import FakeRuntime

TASKS, REPEATS, BATCH = 100_000, 5, 512
REQUESTS = 500
"""In a message."""


def pilot(record: bool, count: int) -> tuple[float, float]:
    """Return microseconds and bytes on the wire per task."""
    core = Core(Runs(Ledger(make_nodes(4, cores=32)), time.time), {"local": FakeRuntime()}, "local", {}, record=record)
    core.runtime_ready("local", 0.0)
    tasks = [make_task(number, make_spec()) for number in range(count)]
    began, now, ended, size = time.process_time(), 0.0, 0, 0
    for start in range(0, count, BATCH):
        core.submit(tasks[start : start + BATCH], now)
    while ended < count:
        for feed in [each for each in core.take() if isinstance(each, Feed)]:
            now += 1e-6
            core.done(feed.run.id, [Result(task.id, RESULT, b"", 0.001, 1.0) for task in feed.tasks], now)
        said = core.take_results()
        ended += len(said[0])
        size += len(encode(Results(*said, (time.time(), time.monotonic())))[0])
    return (time.process_time() - began) / count * 1e6, size / count


def pilot_of_requests(count: int) -> tuple[float, float]:
    """Pass requests of a front door on, as a pilot does; return microseconds and bytes per request."""
    codec: Codec[FromBackend] = Codec(FromBackend)
    times = RequestTimes(1.5e9, 0.125, 100, 200, "assistant-12")
    asked = [DoorRequest(0, "assistant", "carol", "/v1/completions", 1.5e9, 0.01, 2.5, 0, 200, times, "node-0012", 1)]
    frames = [bytes(frame) for frame in encode(DoorRequests(ended=asked * REQUESTS))]
    began = time.process_time()
    for _ in range(count // REQUESTS):
        encode(codec.decode(frames))
    return (time.process_time() - began) / count * 1e6, len(frames[0]) / REQUESTS


def driver_of_requests(path: Path, count: int) -> float:
    """Write a record of requests of a front door; return microseconds per request."""
    made, tally = MadeUp(path), Tally()
    times = RequestTimes(1.5e9, 0.125, 100, 200, "assistant-12")
    asked = DoorRequest(0, "assistant", "carol", "/v1/completions", 1.5e9, 0.01, 2.5, 0, 200, times, "node-0012", 1)
    began = time.process_time()
    for _ in range(count // REQUESTS):
        for _ in range(REQUESTS):
            tally.note_request(asked)
        made.recorder.asked("0", [asked] * REQUESTS)
    made.recorder.close()
    return (time.process_time() - began) / count * 1e6


def door_of_requests(count: int) -> float:
    """Note requests as the door's process does; return microseconds per request."""
    visits, seat = Visits(), Seat(Route("assistant-12/1", "http://here/v1", "node-0012"))
    body = b'{"choices": [{"text": "%s"}], "usage": {"prompt_tokens": 100, "completion_tokens": 200}}' % (b"x" * 800)
    began = time.process_time()
    for number in range(count):
        with visits.watch("/v1/completions", "carol"):
            current().service = "assistant"
            current().asked(seat)
            current().began(200, body, stream=False)
        if not number % REQUESTS:
            visits.take({}, {}, at_once=True)
    return (time.process_time() - began) / count * 1e6


def driver(path: Path, count: int) -> float:
    """Write a record of tasks that share leases; return microseconds per task, those of the writing thread too."""
    made = MadeUp(path)
    tasks = [make_task(number, make_spec()) for number in range(count)]
    began = time.process_time()
    for start in range(0, count, BATCH):
        some = tasks[start : start + BATCH]
        for task in some:
            made.recorder.submitted(task.id)
        entries = [made.recorder.entry(task, Result(task.id, RESULT, b"", 0.001, 1.0)) for task in some]
        made.recorder.ended("0", entries, (), CLOCKS)
    made.recorder.close()
    return (time.process_time() - began) / count * 1e6


def seconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print."""
    count = TASKS // 10 if sides.options(__doc__).parse_args().quick else TASKS
    for name, on in (("without times", False), ("with times", True)):
        rows = [pilot(on, count) for _ in range(REPEATS)]
        print(f"pilot {name}: {min(rows)[0]:.2f} us and {rows[0][1]:.0f} bytes per task")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.msgpack"
        cost = min(driver(path, count) for _ in range(REPEATS))
        print(f"driver: {cost:.2f} us and {path.stat().st_size / count:.0f} bytes of the file per task")
        cost, size = min(pilot_of_requests(count) for _ in range(REPEATS))
        print(f"pilot: {cost:.2f} us and {size:.0f} bytes per request at the front door")
        asked = Path(folder) / "asked.msgpack"
        cost = min(driver_of_requests(asked, count) for _ in range(REPEATS))
        print(f"driver: {cost:.2f} us and {asked.stat().st_size / count:.0f} bytes of the file per request")
        print(f"door: {min(door_of_requests(count) for _ in range(REPEATS)):.2f} us per request")
        run = read(path)
        print(f"{count} tasks: read in {seconds(lambda: read(path)):.1f} s, page in {seconds(lambda: page(run)):.1f} s")
    sides.check(len(run.tasks) == count, "tasks are missing in the record")


if __name__ == "__main__":
    main()
