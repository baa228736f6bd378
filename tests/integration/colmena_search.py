"""A Colmena program: a thinker steers a task server in a forked process, where the executor starts.

    python colmena_search.py

It looks for the highest point of a parabola: a function says how high a point is, and a program how steep.
"""

import os
import sys
from pathlib import Path
from typing import Any

from colmena.models import Result
from colmena.models.methods import ExecutableMethod
from colmena.queue import PipeQueues
from colmena.task_server.parsl import ParslTaskServer
from colmena.thinker import BaseThinker, ResourceCounter, result_processor, task_submitter
from parsl import Config

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor

STEPS, SIDE_BY_SIDE = 24, 4


def height(x: float) -> tuple[float, int]:
    """Return the height, and in which process that was found."""
    import os

    return 4 - (x - 3) ** 2, os.getpid()


class Slope(ExecutableMethod):  # type: ignore[misc]  # its package is not read
    """A program that reads a point and writes the slope."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-c", "import sys; print(-2 * (float(sys.argv[1]) - 3))"], "slope")

    def preprocess(self, run_dir: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[str], None]:
        """Return the program's arguments."""
        return [str(args[0])], None

    def postprocess(self, run_dir: Path) -> float:
        """Return what the program wrote."""
        return float((run_dir / "colmena.stdout").read_text())


class Thinker(BaseThinker):  # type: ignore[misc]  # as above
    """Steps from the best point so far; the slope says how far."""

    def __init__(self, queues: PipeQueues) -> None:
        super().__init__(queues, ResourceCounter(SIDE_BY_SIDE))
        self.best = (-100.0, 0.0)
        self.left = STEPS
        self.processes: set[int] = set()

    @task_submitter()  # type: ignore[untyped-decorator]  # as above
    def ask(self) -> None:
        """Ask for the height of the next point, whenever there is room."""
        self.queues.send_inputs(self.best[1] + self.left / STEPS, method="height", topic="height")

    @result_processor(topic="height")  # type: ignore[untyped-decorator]  # as above
    def compare(self, result: Result) -> None:
        """Keep the best point and ask how steep it is there."""
        assert result.success, result.failure_info
        found, process = result.value
        self.processes.add(process)
        point = result.args[0]
        if found > self.best[0]:
            self.best = found, point
            self.queues.send_inputs(point, method="slope", topic="slope")
            return
        self._goes_on()

    @result_processor(topic="slope")  # type: ignore[untyped-decorator]  # as above
    def step(self, result: Result) -> None:
        """Step where the slope leads."""
        assert result.success, result.failure_info
        point = result.args[0] + result.value / 2
        self.best = max(self.best, (4 - (point - 3) ** 2, point))
        self._goes_on()

    def _goes_on(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        self.rec.release()


def main() -> None:
    """Search, and print what was found, and whether other processes have looked."""
    queues = PipeQueues(topics=["height", "slope"])
    config = Config([RhapsodyExecutor(runtimes=[LocalRuntime()], cores_per_node=2)], initialize_logging=False)
    server = ParslTaskServer([height, Slope()], queues, config)
    thinker = Thinker(queues)
    server.start()
    thinker.start()
    thinker.join()
    queues.send_kill_signal()
    server.join()
    elsewhere = thinker.processes.isdisjoint({os.getpid(), server.pid})
    sys.stdout.write(f"height {thinker.best[0]:g} at {thinker.best[1]:g}, elsewhere: {elsewhere}\n")
    sys.exit(server.exitcode)


if __name__ == "__main__":
    main()
