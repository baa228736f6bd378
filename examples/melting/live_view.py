"""The live view: what the executor's snapshot says, and how far the campaign is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Snapshot = Mapping[str, Any]

STATES = ("queued", "running", "done", "failed")


@dataclass(slots=True)
class Progress:
    """What the campaign itself knows.

    Attributes:
        stage: What is going on, in words.
        runs: Simulations asked for so far.
        analysed: Simulations that came back as a row.
        estimate: The melting temperature so far, in words.
    """

    stage: str = "starting"
    runs: int = 0
    analysed: int = 0
    estimate: str = "none yet"

    def bar(self, width: int = 30) -> str:
        """Return the analysed share of all simulations as a bar."""
        full = round(width * self.analysed / self.runs) if self.runs else 0
        return "█" * full + "░" * (width - full)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", expand=True, padding=(0, 1))
    for column in columns:
        table.add_column(column)
    return table


def _blocks(snapshot: Snapshot) -> Table:
    table = _table("Blocks", "block", "state", "nodes", "cores", *STATES)
    for block in snapshot.get("blocks", ()):
        tasks = block.get("tasks", {})
        nodes = len(block.get("nodes", ()))
        cells = [block.get("id", "?"), block.get("state", "?"), nodes, block.get("cores", "?")]
        table.add_row(*map(str, cells), *(str(tasks.get(state, 0)) for state in STATES))
    return table


def _runtimes(snapshot: Snapshot) -> Table:
    table = _table("Runtimes", "runtime", "block", "state", "running", "done")
    for block in snapshot.get("blocks", ()):
        for name, runtime in block.get("runtimes", {}).items():
            cells = [runtime.get(key, "?") for key in ("state", "running", "done")]
            table.add_row(name, str(block.get("id", "?")), *map(str, cells))
    return table


def _cores(service: Mapping[str, Any]) -> str:
    return str(service["cores"]) if service.get("cores") else "uncounted"


def _services(snapshot: Snapshot) -> Table:
    table = _table("Services", "service", "block", "state", "ready", "cores", "address")
    for block in snapshot.get("blocks", ()):
        for service in block.get("services", ()):
            ready = f"{service.get('ready', 0)} of {service.get('replicas', 1)}"
            where = str(service.get("url") or "")
            who = (str(service.get("name", "?")), str(block.get("id", "?")))
            table.add_row(*who, str(service.get("state", "?")), ready, _cores(service), where)
    return table


def render(snapshot: Snapshot, progress: Progress) -> RenderableType:
    """Return the whole view as something rich can draw."""
    line = Text.assemble(
        (progress.bar(), "green"), f"  {progress.analysed} of {progress.runs} runs analysed   ",
        (progress.stage, "bold"), f"   melting temperature: {progress.estimate}",
    )  # fmt: skip
    return Group(_blocks(snapshot), _runtimes(snapshot), _services(snapshot), line)


def view_of(snapshot: Callable[[], Snapshot], progress: Progress) -> Callable[[], RenderableType]:
    """Return what `rich.live.Live(get_renderable=...)` asks for at each refresh."""
    return lambda: render(snapshot(), progress)
