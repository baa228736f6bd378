"""Follow the first page of the documentation as a person would: its commands, in an empty folder, with a clock.

    python tools/first_page.py [--limit SECONDS]

It says how long each step took. It fails if the model or the MPI program was not seen in `top` and in the report, or
if all took longer than the limit. The caches of pip and of the model are left out. The packages come from where pip
finds them.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600.0
LOOK_EVERY = 5.0
MPI_RUNS = re.compile(r"^ *mpi +ready +\d+ +\d+ +[1-9]", re.MULTILINE)
MODEL_READY = re.compile(r"^ *assistant +ready ", re.MULTILINE)


def page() -> list[str]:
    """Return what the page gives to a shell: the first terminal's commands, the second's, and the last one."""
    text = (ROOT / "docs" / "index.md").read_text()
    section = text.partition("## The first ten minutes")[2].partition("## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a person who has nothing of ours yet."""
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    venv = f"{ROOT / '.venv'}{os.sep}"
    kept["PATH"] = os.pathsep.join(p for p in kept["PATH"].split(os.pathsep) if not f"{p}/".startswith(venv))
    return {**kept, "XDG_CACHE_HOME": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1"}


class Visitor:
    """Somebody with two terminals.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkout = folder, folder / "rhapsody_parsl"
        self.first, self.second, self.last = page()
        self.began = time.monotonic()
        self.log = folder / "terminal.txt"

    def note(self, what: str) -> None:
        """Say what has just happened, and when."""
        print(f"first page: {time.monotonic() - self.began:4.0f} s  {what}", flush=True)

    def ask(self, commands: str) -> str:
        """Run commands in the second terminal, and return what they print."""
        shell, env = ["/bin/bash", "-ec", commands], environment(self.folder)
        done = subprocess.run(shell, cwd=self.checkout, env=env, capture_output=True, text=True, check=False)
        return done.stdout

    def follow(self) -> None:
        """Do what the page says."""
        commands = self.first.replace("REPOSITORY", str(ROOT))
        with self.log.open("w") as log:
            demo = subprocess.Popen(
                ["/bin/bash", "-ec", commands],
                cwd=self.folder,
                env=environment(self.folder),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                self.watch(demo)
            finally:
                if demo.poll() is None:
                    os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C; the job stops its block
                    demo.wait()
        self.report()

    def watch(self, demo: "subprocess.Popen[bytes]") -> None:
        """Look at the run in the second terminal until it has finished."""
        awaited: dict[str, Callable[[], object]] = {
            "the environment is ready": lambda: "setup: ready" in self.printed(),
            "the block runs": lambda: "Live, " in self.printed(),
            "`top` shows the MPI program running": lambda: MPI_RUNS.search(self.ask(self.second)),
            "`top` shows the model ready": lambda: MODEL_READY.search(self.ask(self.second)),
            "the model has answered": lambda: "the model picks" in " ".join(self.printed().split()),
            "the melting temperature is printed": lambda: "Melting temperature" in self.printed(),
        }
        for what, seen in awaited.items():
            while not seen():
                if demo.poll() is not None and not seen():
                    sys.exit(f"first page: FAILED: {what}: never\n{self.printed()[-3000:]}")
                self.pause(demo)
            self.note(what)
        if demo.wait() != 0:
            sys.exit(f"first page: FAILED: make demo: {demo.returncode}\n{self.printed()[-3000:]}")

    def printed(self) -> str:
        """Return what the first terminal shows."""
        return self.log.read_text()

    def pause(self, demo: "subprocess.Popen[bytes]") -> None:
        """Wait a moment, or less if the first terminal has its prompt again."""
        try:
            demo.wait(LOOK_EVERY)
        except subprocess.TimeoutExpired:
            return

    def report(self) -> None:
        """Make the report, and find both in it."""
        places = [Path(self.checkout, line) for line in self.ask(self.last).splitlines()]
        text = next(place.read_text() for place in places if place.suffix == ".html")
        missing = [word for word in ('"simulate"', '"assistant"') if word not in text]
        if missing:
            sys.exit(f"first page: FAILED: the report has no {' and no '.join(missing)}")
        self.note("the report shows both")


def main() -> None:
    """Follow the page, and compare the time with the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that all may take; default 600")
    limit = parser.parse_args().limit
    with tempfile.TemporaryDirectory(prefix="first-page-") as folder:
        visitor = Visitor(Path(folder))
        visitor.follow()
        seconds = time.monotonic() - visitor.began
    if seconds > limit:
        sys.exit(f"first page: FAILED: {seconds:.0f} s, and {limit:.0f} were allowed")


if __name__ == "__main__":
    main()
