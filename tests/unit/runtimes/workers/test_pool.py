"""Which worker process a run gets."""

import math
from typing import Any

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.runtimes.workers.pool import WorkerPool
from rhapsody_parsl.wire.leases import Share
from rhapsody_parsl.wire.messages import Quit, Ready, Task, Work

NODE = Node(name="n0", host="h", cores=(0, 1, 2, 3), real_cores=(0, 1, 2, 3), gpus=("4", "7", "9"), gpu_vendor="nvidia")
BARE = Node(name="n1", host="h", cores=(0, 1), real_cores=(0, 1))


class Pilot:
    """All that a pool uses of the pilot's ear before anything ends; also of the block."""

    def __init__(self) -> None:
        self.events, self.environment = self, dict[str, str]()

    def done(self, run: int, results: Any) -> None:
        """Hear of results."""

    def at_work(self, run: Run, host: str, pids: Any) -> None:
        """Hear of processes."""

    def notice(self, run: Run) -> tuple[int, float]:
        """The second run gets a signal."""
        return (10, 99.0) if run.id == 2 else (0, 0.0)


class Hub:
    """What the pool sent, and to whom; all that it uses of a hub before anything ends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, peer: str, message: Any) -> None:
        self.sent.append((peer, message))


class Pool:
    """A pool whose workers are up as soon as they are started."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.pool = WorkerPool(
            Pilot(),  # type: ignore[arg-type]  # as above
            self.hub,  # type: ignore[arg-type]  # as above
            spawn=lambda name, host: None,
            abandon=lambda name: None,
            prefix="worker",
            startup_timeout=math.inf,
        )
        self._runs = 0

    def run(self, *gpus: int, node: Node = NODE) -> str:
        """Have a run from its start to its end; return its worker."""
        run, worker = self.begin(*gpus, node=node)
        self.pool.end(run)
        return worker

    def begin(self, *gpus: int, node: Node = NODE) -> tuple[Run, str]:
        self._runs += 1
        run = Run(self._runs, TaskSpec(), (Placed(node, Share(node.name, (0,), gpus)),))
        self.pool.feed(run, [Task(self._runs, b"", b"")], "call", host="h", env={})
        for name in self.pool.names:
            self.pool.receive(name, Ready("h", 1))
        worker, work = next((peer, sent) for peer, sent in reversed(self.hub.sent) if isinstance(sent, Work))
        assert work.run == run.id
        return run, worker

    @property
    def sent_home(self) -> list[str]:
        return [peer for peer, message in self.hub.sent if isinstance(message, Quit)]


def test_a_worker_serves_runs_with_the_gpus_of_its_first_only() -> None:
    pool = Pool()
    without, first, second = pool.run(), pool.run(0), pool.run(1)
    assert len({without, first, second}) == 3
    assert [pool.run(), pool.run(1), pool.run(0)] == [without, second, first]
    assert pool.sent_home == []


def test_an_idle_worker_leaves_when_another_gets_some_of_its_gpus() -> None:
    pool = Pool()
    without, first, third = pool.run(), pool.run(0), pool.run(2)
    both = pool.run(0, 1)
    assert pool.sent_home == [first]
    assert pool.run(0) not in (first, both)
    assert pool.sent_home == [first, both]
    assert [pool.run(), pool.run(2)] == [without, third]


def test_one_at_work_stays_beside_another_share_of_its_gpu() -> None:
    pool = Pool()
    run, worker = pool.begin(0)
    other = pool.run(0)
    assert other != worker
    pool.pool.end(run)
    assert {pool.begin(0)[1], pool.begin(0)[1]} == {worker, other}
    assert pool.sent_home == []


def test_where_there_are_no_gpus_any_worker_will_do() -> None:
    pool = Pool()
    assert pool.run(node=BARE) == pool.run(node=BARE)


def test_a_worker_has_the_cores_that_its_run_has_now() -> None:
    pool = Pool()
    run, worker = pool.begin()
    for cores in ((0, 2, 3), (0, 2)):
        run.placed = (Placed(NODE, Share(NODE.name, cores)),)
        pool.pool.feed(run, [Task(9, b"", b"")], "call", host="h", env={})
        assert pool.hub.sent[-1][0] == worker
        work = pool.hub.sent[-1][1]
        assert (work.cores, work.env["OMP_NUM_THREADS"]) == (cores, str(len(cores)))


def test_work_tells_of_the_signal_before_the_end() -> None:
    pool = Pool()
    for _ in range(2):
        pool.run()
    sent = [(work.signal, work.signal_at) for _, work in pool.hub.sent if isinstance(work, Work)]
    assert sent == [(0, 0.0), (10, 99.0)]
