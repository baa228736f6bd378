"""An executor in a `with` block, without Parsl's DataFlowKernel: what that would do for it, it does itself."""

from pathlib import Path
from typing import Literal, Self

from parsl.dataflow.rundirs import make_rundir
from parsl.jobs.job_status_poller import JobStatusPoller

from rhapsody_parsl.executors.life import BlockLife

__all__ = ("Standalone",)

_POLLING = 1.0
"""Seconds between two looks at the blocks' jobs."""


class Standalone(BlockLife):
    """The part of the executor that starts and ends it without a DataFlowKernel."""

    _poller: JobStatusPoller | None = None

    def __enter__(self) -> Self:
        """Start without a DataFlowKernel: in a run directory of our own, and with an eye on the blocks' jobs."""
        if self._link is None:
            self.run_dir = make_rundir("runinfo")
            if self.provider and hasattr(self.provider, "script_dir"):
                scripts = Path(self.run_dir) / "submit_scripts"
                scripts.mkdir(exist_ok=True)
                self.provider.script_dir = str(scripts)
            self.start()
            self._poller = JobStatusPoller(strategy="none", max_idletime=0, strategy_period=_POLLING)
            self._poller.add_executors([self])
        return self

    def __exit__(self, *exc: object) -> Literal[False]:
        """Shut down, and end the jobs too when there is no DataFlowKernel to do it."""
        try:
            if self._poller:
                self._poller.close()
        finally:
            self.shutdown()
        return False
