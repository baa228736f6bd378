"""What people ask of an executor: where a call would go, how everything is, and what has been."""

from collections.abc import Callable
from typing import Any

from rhapsody_parsl.executors.admission import Admission
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.explanation import Explanation, explain
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.standalone import Standalone
from rhapsody_parsl.executors.view import ExecutorView, describe_block, plain, timeline

__all__ = ("Observed",)


class Observed(Standalone):
    """The part of the executor that answers questions; nothing changes by them."""

    default_runtime: str
    services: ExecutorServices
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
            `tasks`, `parent` (number of the task that submitted the first of them, 0 for the driver).
        """
        return timeline(self._link.blocks, last) if self._link else []
