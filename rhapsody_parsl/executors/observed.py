"""What people ask of an executor: where a call would go, how everything is, and what has been."""

import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rhapsody_parsl.executors.admission import Admission
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.explanation import Explanation, explain
from rhapsody_parsl.executors.exposition import exposition
from rhapsody_parsl.executors.metrics_port import MetricsPort
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.standalone import Standalone
from rhapsody_parsl.executors.view import ExecutorView, describe_block, plain, timeline
from rhapsody_parsl.record.reading import NAME
from rhapsody_parsl.record.recorder import Recorder

__all__ = ("Observed",)

log = logging.getLogger(__name__)


class Observed(Standalone):
    """The part of the executor that answers questions; nothing changes by them."""

    default_runtime: str
    services: ExecutorServices
    record: bool
    telemetry: bool
    metrics_port: int | None
    _admission: Admission
    _metrics: MetricsPort | None = None

    def _recorder(self, folder: Path) -> Recorder:
        """Return what notes the run."""
        listener = None
        if self.telemetry:
            from rhapsody_parsl.telemetry.setting_up import set_up  # noqa: PLC0415 - only who wants it pays for it

            set_up()
            from rhapsody_parsl.telemetry.telemetry import Telemetry  # noqa: PLC0415 - as above

            listener = Telemetry(self.label)
        path = folder / NAME if self.record else None
        package = version("rhapsody-parsl")
        return Recorder(
            path, label=self.label, package=package, default_runtime=self.default_runtime, listener=listener
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

        The newest eight thousand leases are in memory. When more are wanted, the record of the run is read. With
        `record=False` there are no others.

        Args:
            last: How many of the newest leases to return at most; default all.

        Returns:
            Dicts of `block`, `task` (lease number), `name`, `runtime`, `node`, `cores`, `gpus`, `start`, `end`,
            `tasks`.
        """
        return timeline(self._link.blocks, last) if self._link else []
