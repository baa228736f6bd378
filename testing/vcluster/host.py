"""One host of a virtual cluster: power, cable, and a way in."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from testing.vcluster.files import Settings, address
from testing.waiting import until

__all__ = ("Host",)

_BOOT = Path(__file__).with_name("boot.sh")
_SPACES = ["--net", "--uts", "--ipc", "--mount", "--pid"]
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _environment() -> dict[str, str]:
    """Return ours, but for a folder in the `/tmp` of this machine: hosts have their own."""
    return {name: value for name, value in os.environ.items() if name != "TMPDIR"}


class Host:
    """A host.

    Args:
        name: `vn0` is the head.
        state: The cluster's folder.
        settings: The cluster's.
        shared: Folders in `/tmp` that all hosts see.
    """

    def __init__(self, name: str, state: Path, settings: Settings, shared: Sequence[Path]) -> None:
        self.name, self.address = name, address(name)
        self._state, self._settings, self._shared = state, settings, shared
        self.folder = state / "hosts" / name
        self._boot: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True)
        (self.folder / "hostname").write_text(f"{name}\n")
        (self.folder / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")

    @property
    def pid(self) -> int:
        """The first process, in the machine's eyes."""
        return int((self.folder / "pid").read_text())

    # --- power and cable -----------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Start the first process; `plug` comes next."""
        for name in ("pid", "wired", "ready"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)  # as most machines do when they start
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o1777)
        settings = self._settings
        words = ["unshare", *_SPACES, "--fork", "--kill-child", str(_BOOT), str(self._state), self.name]
        words += [settings.shm, str(settings.gpus if self.name != "vn0" else 0), *map(str, self._shared)]
        with (self.folder / "boot.log").open("ab") as log:
            self._boot = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - tests have one thread
                env=_environment(),
            )  # fmt: skip

    def plug(self, switch: "Host") -> None:
        """Make the network, once the first process is there."""
        until((self.folder / "pid").exists, 20)
        if switch is self:
            self._net("ip", "link", "add", "eth0", "type", "bridge")
        else:
            switch._net("ip", "link", "del", self.name, check=False)
            number = int(self.address.rpartition(".")[2])
            # The same after each start, as hardware has: its peers remember it.
            peer = ["name", "eth0", "address", f"02:00:00:00:00:{number:02x}"]
            pair = ["name", self.name, "netns", str(switch.pid), "type", "veth"]
            subprocess.run(["ip", "link", "add", *pair, "peer", *peer, "netns", str(self.pid)], check=True)
            switch._net("ip", "link", "set", self.name, "master", "eth0", "up")
        self._net("ip", "addr", "add", f"{self.address}/24", "broadcast", "+", "dev", "eth0")
        self._net("ip", "link", "set", "eth0", "up")
        # Leads nowhere, but programs that look up "the" local address need a default route (Dragon over ssh does).
        self._net("ip", "route", "add", "default", "dev", "eth0")
        if self._settings.rate and switch is not self:
            self.slow_down(self._settings.rate)
        (self.folder / "wired").touch()

    def slow_down(self, rate: str) -> None:
        """Have its link send at this rate, as `tc` takes it; "" for what the machine gives."""
        self._net("tc", "qdisc", "del", "dev", "eth0", "root", check=False)
        if rate:
            limits = ("rate", rate, "burst", "256kb", "latency", "50ms")
            self._net("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *limits)

    def wait_ready(self) -> None:
        """Wait for its services."""
        until((self.folder / "ready").exists, 20)

    def power_off(self) -> None:
        """End all its processes: peers see their connections close. Idempotent."""
        if self._boot is None:
            return
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.pid, signal.SIGKILL)
        self._boot.kill()
        self._boot.wait(20)
        self._boot = None

    def freeze(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """Stop every process."""
        for entry in list(self._entries()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), number)

    def thaw(self) -> None:
        """Continue every process."""
        self.freeze(signal.SIGCONT)

    # --- a way in ------------------------------------------------------------------------------------------------

    def words(self, *command: str) -> list[str]:
        """Return the words that run a command here, from outside."""
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", f"--wdns={Path.cwd()}", "--", *command]

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command here to its end and return what it says."""
        words = self.words(*command)
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, env=_environment())
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def start(self, *command: str, env: Mapping[str, str] | None = None, **streams: Any) -> "subprocess.Popen[str]":
        """Start a command here."""
        environment = {**_environment(), **(env or {})}
        return subprocess.Popen(self.words(*command), text=True, env=environment, **streams)

    def processes(self) -> dict[int, str]:
        """Return the command lines of all processes here, by the machine's number; zombies have none."""
        found = {}
        for entry in self._entries():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return {pid: line.strip() for pid, line in found.items() if line.strip()}

    def _entries(self) -> Iterator[Path]:
        """Yield the machine's /proc entries of our processes: many have left their session, but not their host."""
        space = (Path("/proc") / str(self.pid) / "ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/pid").readlink() == space:
                    yield entry

    def _net(self, *command: str, check: bool = True) -> None:
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", *command], check=check, capture_output=not check)
