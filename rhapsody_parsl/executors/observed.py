"""What people ask of an executor: where a call would go, how everything is, and what has been."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rhapsody_parsl.executors.admission import Admission
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.explanation import Explanation, explain
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.simulation import block_like, simulate
from rhapsody_parsl.executors.standalone import Standalone
from rhapsody_parsl.executors.view import ExecutorView, describe_block, plain, timeline
from rhapsody_parsl.scheduling.forecast import Forecast
from rhapsody_parsl.scheduling.trace import TracedTask

__all__ = ("Observed",)


class Observed(Standalone):
    """The part of the executor that answers questions; nothing changes by them."""

    default_runtime: str
    services: ExecutorServices
    ageing: float
    cores_per_node: int | None
    gpus_per_node: int | None
    mem_per_node: float | None
    scheduling: Any
    _admission: Admission

    def explain(self, spec: dict[str, Any] | Callable[..., Any] | None = None, **keys: Any) -> Explanation:
        """Tell where a call would run, what it would take and why; `print` it, or read its fields.

        Args:
            spec: A `parsl_resource_specification`, or an annotated function (or app).
            keys: Further keys, as in the dict.

        Raises:
            InvalidSpecification: The call can never run.
        """
        inventories = self._link.blocks.inventories() if self._link else []
        return explain(self._admission, self.default_runtime, self.services.configs, inventories, spec=spec, keys=keys)

    def simulate(
        self,
        trace: Sequence[TracedTask] | str | Path,
        *,
        nodes: int | None = None,
        cores_per_node: int | None = None,
        gpus_per_node: int | None = None,
        mem_per_node: float | None = None,
        scheduling: Any = None,
    ) -> Forecast:
        """Tell when tasks would run in one block of this executor, if nothing fails and nothing takes time to start.

        The pilot's own core decides, on a simulated clock. No process is started, and no block is needed.

        Args:
            trace: A list of `TracedTask`, or the path of a trace in the Standard Workload Format (`.swf`).
            nodes: Nodes of the block. Default: those of the first block that is connected, else of the configuration.
            cores_per_node: Cores of each node; default as above.
            gpus_per_node: GPUs of each node; default as above.
            mem_per_node: GB of each node; default as above.
            scheduling: The order of waiting tasks; default the executor's.

        Raises:
            InvalidTask: The trace cannot be read, or nobody knows how many cores a node has.
            InvalidSpecification: A task can never run here.
            RhapsodyError: A task can never run in this block.
        """
        given = {
            "nodes": nodes,
            "cores_per_node": cores_per_node,
            "gpus_per_node": gpus_per_node,
            "mem_per_node": mem_per_node,
        }
        declared = {
            "nodes": self._admission.nodes,
            "cores_per_node": self.cores_per_node,
            "gpus_per_node": self.gpus_per_node,
            "mem_per_node": self.mem_per_node,
        }
        inventories = self._link.blocks.inventories() if self._link else []
        return simulate(
            trace,
            block_like(inventories, given, declared),
            self._admission,
            default_runtime=self.default_runtime,
            ageing=self.ageing,
            scheduling=self.scheduling if scheduling is None else scheduling,
        )

    def view(self) -> ExecutorView:
        """Return the executor's state; blocks as of their last report (twice per second), totals of this moment."""
        blocks = self._link.blocks if self._link else Blocks(several=False)
        return ExecutorView(
            label=self.label,
            outstanding=self.outstanding(),
            totals=blocks.totals(),
            blocks=tuple(describe_block(block, self._status) for block in blocks),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what `view` does as plain data: dicts and lists that JSON can hold."""
        return plain(self.view())

    def timeline(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the ledger's history: one record per lease and node; times in seconds since the epoch.

        In a long run only the newest eight thousand leases are in memory. The others are in `timeline.msgpack` in the
        executor's folder of the run directory, and each call reads them.

        Args:
            last: How many of the newest leases to return at most; default all.

        Returns:
            Dicts of `block`, `task` (lease number), `name`, `runtime`, `node`, `cores`, `gpus`, `start`, `end`,
            `tasks`.
        """
        return timeline(self._link.blocks, last) if self._link else []
