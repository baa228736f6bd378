"""A user's script on the cluster, as a test sees it: started, heard, ended.

The script is a function of `scenarios`; what it tells with `tell` arrives as events.
"""

import json
import os
import queue
import shlex
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testing.vcluster.cluster import Cluster

__all__ = ("Driver",)

_PATIENCE = 120.0


class Driver:
    """One run of a scenario.

    Args:
        cluster: Where.
        scenario: Name of the function.
        options: Its keyword arguments, plain data; `size` are words for `sbatch`, where the script is a job of its own.

    Attributes:
        folder: The run's own, shared by all hosts.
    """

    def __init__(self, cluster: Cluster, scenario: str, **options: Any) -> None:
        way, size = options.get("way"), options.pop("size", "")
        host = cluster.nodes[0] if way == "ssh" else cluster.head  # where a local block is to start
        self.folder = cluster.folder / f"{scenario}-{uuid.uuid4().hex[:6]}"
        self.folder.mkdir()
        self._heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        words = [sys.executable, "-m", "tests.cluster.scenarios", scenario, str(self.folder), json.dumps(options)]
        if way == "salloc":
            words = ["salloc", "--quiet", "--partition=main", "--nodes=3", "--exclusive", "--no-kill", *words]
        if way == "job":
            words = ["sh", "-c", _in_job(self.folder, scenario, options, size)]
        if way == "flux":  # as Flux is commonly started under Slurm
            words = ["srun", "--partition=main", "--nodes=3", "--exclusive", "--mpi=pmi2", "flux", "start", *words]
        with (self.folder / "stderr").open("w") as stderr:
            self.process = host.start(*words, stdout=subprocess.PIPE, stderr=stderr)
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def hear(self, event: str, seconds: float = _PATIENCE) -> Any:
        """Wait for an event and return what comes with it."""
        try:
            while (heard := self._heard.get(timeout=seconds))["event"] != event:
                assert heard["event"] != "end", f"the script ended without '{event}'\n{self.words()}"
        except queue.Empty:
            raise AssertionError(f"no '{event}' within {seconds:g} s\n{self.words()}") from None
        return heard["value"]

    def words(self) -> str:
        """Return the end of what the script and the blocks have written."""
        logs = [self.folder / "stderr", *sorted(self.folder.rglob("*.log")), *sorted(self.folder.rglob("cmd*.std*"))]
        logs += sorted(self.folder.rglob("parsl.*.std*"))
        return "\n".join(f"--- {path}\n{_tail(path)}" for path in logs if path.is_file() and path.stat().st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for its end; a script that does not end, or fails, fails the test."""
        try:
            code = self.process.wait(_PATIENCE if kind is None else 20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._ear.join(5)
        if self.process.stdout:
            self.process.stdout.close()
        if kind is None:
            assert code == 0, f"the script left with {code}\n{self.words()}"

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            if line.startswith("{"):
                self._heard.put(json.loads(line))
        self._heard.put({"event": "end", "value": None})


def _in_job(folder: Path, scenario: str, options: Mapping[str, Any], size: str) -> str:
    """Return a command that submits the script without its environment, maybe as an array, and says what all told."""
    script, element = folder / "script", f"{folder}/job-$SLURM_ARRAY_TASK_ID"
    lines = [
        "#!/bin/bash",
        f"export PATH={shlex.quote(os.environ['PATH'])} PYTHONPATH={shlex.quote(os.environ['PYTHONPATH'])}",
        f"mkdir {element}",
        f"{sys.executable} -m tests.cluster.scenarios {scenario} {element} {shlex.quote(json.dumps(options))}",
    ]
    script.write_text("\n".join(lines))
    submit = f"sbatch --parsable --export=NONE --output={folder}/out.%a {size} {script}"
    wait = 'while [ -n "$(squeue -h -j $job)" ]; do sleep 0.5; done'  # `--wait` looks ever more rarely
    return f"job=$({submit}) && {wait}; cat {folder}/out.*"


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-3000:]
