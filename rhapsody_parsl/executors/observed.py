"""What people ask of an executor: where a call would go, how everything is, and what has been."""

import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.control.server import ControlServer
from rhapsody_parsl.executors.admission import Admission
from rhapsody_parsl.executors.answers import Answers
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.explanation import Explanation, explain
from rhapsody_parsl.executors.exposition import exposition
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.metrics_port import MetricsPort
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.simulation import block_like, simulate
from rhapsody_parsl.executors.standalone import Standalone
from rhapsody_parsl.executors.view import describe_block, plain, timeline
from rhapsody_parsl.record.reading import NAME
from rhapsody_parsl.record.recorder import Recorder
from rhapsody_parsl.scheduling.forecast import Forecast
from rhapsody_parsl.scheduling.trace import TracedTask
from rhapsody_parsl.wire.views import ExecutorView

if TYPE_CHECKING:
    from rhapsody_parsl.telemetry.telemetry import Telemetry

__all__ = ("Observed",)

log = logging.getLogger(__name__)


class Observed(Standalone):
    """The part of the executor that answers questions, in its process and on its control socket."""

    default_runtime: str
    services: ExecutorServices
    ageing: float
    cores_per_node: int | None
    gpus_per_node: int | None
    mem_per_node: float | None
    scheduling: Any
    control: bool
    record: bool
    telemetry: bool
    metrics_port: int | None
    _admission: Admission
    _metrics: MetricsPort | None = None
    _spans: "Telemetry | None" = None

    def _recorder(self, folder: Path) -> Recorder:
        """Return what notes the run."""
        if self.telemetry:
            from rhapsody_parsl.telemetry.setting_up import set_up  # noqa: PLC0415 - only who wants it pays for it

            set_up()
            from rhapsody_parsl.telemetry.parsl_context import carry  # noqa: PLC0415 - as above

            carry()
            from rhapsody_parsl.telemetry.telemetry import Telemetry  # noqa: PLC0415 - as above

            self._spans = Telemetry(self.label)
        path = folder / NAME if self.record else None
        package = version("rhapsody-parsl")
        return Recorder(
            path, label=self.label, package=package, default_runtime=self.default_runtime, listener=self._spans
        )

    def _open_metrics(self) -> None:
        if self.metrics_port is not None:
            self._metrics = MetricsPort(self.metrics_port, lambda: exposition(self.view()))
            log.info("metrics at http://127.0.0.1:%d/metrics", self._metrics.port)

    def _close_observers(self) -> None:
        if self._metrics:
            self._metrics.close()
        if self._link:
            self._link.blocks.record.close()

    _control: ControlServer | None = None

    def _open_control(self, folder: Path, link: Link) -> None:
        """Listen for people at other terminals; where that cannot be, the executor works without."""
        if not self.control:
            return
        try:
            server = ControlServer(folder, self.label, Answers(self, link, folder).answer)
        except OSError as problem:
            log.warning("executor %s has no control socket: %s", self.label, problem)
            return
        try:
            server.start()
        except RuntimeError as problem:  # no thread more for this user
            log.warning("executor %s has no control socket: %s", self.label, problem)
            server.close()
            return
        self._control = server

    def _close_control(self) -> None:
        if self._control:
            self._control.close()
            self._control = None

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
            outstanding=len(self.tasks),
            totals=blocks.totals(),
            blocks=tuple(describe_block(block, self._status) for block in blocks),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return what `view` does as plain data: dicts and lists that JSON can hold."""
        return plain(self.view())

    def timeline(self, last: int | None = None) -> list[dict[str, Any]]:
        """Return the ledger's history: one record per lease and node; times in seconds since the epoch.

        The newest eight thousand leases are in memory. When more are wanted, the record of the run is read. With
        `record=False` there are no others.

        Args:
            last: How many of the newest leases to return at most; default all.

        Returns:
            Dicts of `block`, `task` (lease number), `name`, `runtime`, `node`, `cores`, `gpus`, `start`, `end`,
            `tasks`, `parent` (number of the task that submitted the first of them, 0 for the driver).
        """
        return timeline(self._link.blocks, last) if self._link else []
