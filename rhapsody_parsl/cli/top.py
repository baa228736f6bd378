"""`rhapsody-parsl top`: a running executor, live."""

import argparse
import contextlib
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from rhapsody_parsl.cli.asking import asked, parser_of, say_json
from rhapsody_parsl.cli.history import History
from rhapsody_parsl.control.messages import ListTasks, RunView, TaskTable, View

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ("add",)

_INTERVAL = 1.0
_PLAIN_HEIGHT = 60
_PLAIN_WIDTH = 120


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    top = parser_of(commands, "top", "a live view of a running executor; q or Ctrl-C quits")
    top.add_argument(
        "--interval", type=float, default=_INTERVAL, metavar="S", help="seconds between two looks; default 1"
    )
    top.add_argument("--once", action="store_true", help="print one frame")
    top.set_defaults(run=_top)


def _top(arguments: argparse.Namespace) -> int:
    from rhapsody_parsl.cli.tables import console_of  # noqa: PLC0415 - loads rich

    screen = Screen(arguments)
    if arguments.json:
        run, tasks = screen.look()
        say_json({"run": run, "tasks": tasks})
        return 0
    console = console_of()
    if not console.is_terminal:
        console.width, console.height = _PLAIN_WIDTH, _PLAIN_HEIGHT
    if arguments.once or not console.is_terminal:
        console.print(screen.draw(console))
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _live(screen, console, max(0.1, arguments.interval))
    return 0


class Screen:
    """Looks at the executor that a command line means, and draws it.

    Args:
        arguments: The parsed line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments, self._history = arguments, History()

    def look(self) -> tuple[RunView, TaskTable]:
        """Ask how it is.

        Raises:
            NoExecutor: It is gone.
            RhapsodyError: It cannot say.
        """
        run = asked(self._arguments, View(), RunView)
        ended = run.view.totals.tasks
        tokens = {name: totals.tokens for name, totals in run.view.totals.door.items()}
        self._history.add(run.now, ended.done + ended.failed + ended.lost + ended.cancelled, tokens)
        return run, asked(self._arguments, ListTasks(), TaskTable)

    def draw(self, console: "Console") -> "RenderableType":
        """Return a frame for a console.

        Raises:
            NoExecutor: The executor is gone.
            RhapsodyError: It cannot say.
        """
        from rhapsody_parsl.cli.frame import Size, frame  # noqa: PLC0415 - loads rich

        run, tasks = self.look()
        return frame(run, tasks, self._history, Size(console.width, console.height))


def _live(screen: Screen, console: "Console", interval: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - only here

    live = Live(screen.draw(console), console=console, screen=True, auto_refresh=False)
    with _keys() as keys:
        try:
            live.start(refresh=True)
            while not _quits(keys, interval):
                live.update(screen.draw(console), refresh=True)
        finally:
            live.stop()  # not `with`: Ctrl-C may come while it starts


@contextlib.contextmanager
def _keys() -> Iterator[IO[str] | None]:
    """Have keys come one by one while it lasts; None where no person is at the keys."""
    if not sys.stdin.isatty():
        yield None
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield sys.stdin
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quits(keys: IO[str] | None, seconds: float) -> bool:
    """Wait for a key; return whether the person wants to leave."""
    ready, _, _ = select.select([keys] if keys else [], [], [], seconds)
    return bool(ready) and ready[0].read(1) in ("q", "Q", "\x1b", "")
