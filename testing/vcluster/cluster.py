"""A virtual cluster: brought up, hosts made to fail, taken down without a trace."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from testing.vcluster.files import Settings, write_files
from testing.vcluster.host import Host
from testing.waiting import until

__all__ = ("Cluster",)

_STATES = {"idle", "mixed", "allocated"}
_ROOT = Path(__file__).parents[2]
_FILES = ("rhapsody-*", "ompi.*", "dragon-*", "hydra_*")
_DAEMONS = ("boot.sh", "sleep 86400", "munged", "sshd: /usr/sbin/sshd", "slurmd", "slurmctld")


class Cluster:
    """A head and some nodes; ends with the process that made it, however that ends.

    Args:
        settings: Its size.

    Attributes:
        hosts: By name; `vn0` is the head.
        folder: Shared by all hosts, empty at first.
    """

    def __init__(self, settings: Settings) -> None:
        self._state = Path(tempfile.mkdtemp(prefix="vcluster-", dir="/var/tmp"))
        self._state.chmod(0o711)
        for name in ("ctld", "spool"):
            (self._state / name).mkdir()
        self.folder = self._state / "shared"
        self.folder.mkdir()
        write_files(self._state, settings)
        shared = [_ROOT, Path(os.environ.get("VIRTUAL_ENV", _ROOT))]
        self.hosts = {name: Host(name, self._state, settings, shared) for name in settings.names}
        self.head = self.hosts["vn0"]
        self.nodes = [host for name, host in self.hosts.items() if name != "vn0"]

    def __enter__(self) -> Self:
        """Bring it up."""
        try:
            for host in self.hosts.values():
                host.power_on()
            for host in self.hosts.values():
                host.plug(self.head)
            for host in self.hosts.values():
                host.wait_ready()
            self.wait_for_nodes()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Take it down."""
        self.down()

    def down(self) -> None:
        """End all; the kernel drops namespaces, cables and mounts with the last process of each host."""
        for host in reversed(self.hosts.values()):
            host.power_off()
        shutil.rmtree(self._state)

    def wait_for_nodes(self, seconds: float = 40) -> None:
        """Wait until Slurm has every node."""
        until(lambda: self.states() and set(self.states().values()) <= _STATES, seconds)

    def states(self) -> dict[str, str]:
        """Return Slurm's state of each node."""
        lines = self.head.run("sinfo", "-h", "-N", "-o", "%N %T", check=False).splitlines()
        return dict(line.split() for line in lines)

    # --- failures ------------------------------------------------------------------------------------------------

    def link(self, name: str, up: bool) -> None:
        """Plug or pull a host's cable; its processes go on."""
        self.head.run("ip", "link", "set", name, "up" if up else "down")

    def silence(self, name: str, silent: bool) -> None:
        """Lose all that goes to a host or comes from it: its own link is up, so its kernel tries ever more rarely."""
        self.head.run("ip", "link", "set", name, *(("nomaster",) if silent else ("master", "eth0")))

    def kill(self, name: str) -> None:
        """Power a host off: cable first, so that its peers see only silence."""
        self.link(name, up=False)
        self.hosts[name].power_off()

    def start(self, name: str) -> None:
        """Power a host on again: same name, address and host id."""
        host = self.hosts[name]
        host.power_on()
        host.plug(self.head)
        host.wait_ready()

    # --- traces --------------------------------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Return what lives on the hosts beside their own services, and what lies in their private folders."""
        return [f"{name}: {what}" for name in self.hosts for what in self.leftovers_on(name)]

    def wait_clean(self, seconds: float = 20) -> None:
        """Wait until nothing is left; else say what is."""
        try:
            until(lambda: not self.leftovers(), seconds)
        except AssertionError:
            raise AssertionError("\n".join(["left on the hosts:", *self.leftovers()])) from None

    def leftovers_on(self, name: str) -> list[str]:
        """The same of one host."""
        return list(_leftovers(self.hosts[name]))


def _leftovers(host: Host) -> Iterator[str]:
    for line in host.processes().values():
        if not any(word in line for word in _DAEMONS):
            yield f"process {line[:200]}"
    with contextlib.suppress(OSError):
        root = Path("/proc") / str(host.pid) / "root"
        yield from (f"/tmp/{path.name}" for pattern in _FILES for path in (root / "tmp").glob(pattern))
        yield from (f"/dev/shm/{path.name}" for path in (root / "dev/shm").iterdir())
