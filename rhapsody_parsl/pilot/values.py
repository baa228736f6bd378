"""What the pilot does for values that are kept by reference: it knows where they lie, and has them moved."""

import os
from collections.abc import Callable, Collection
from functools import partial
from itertools import zip_longest
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.words import KeepValues
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.data.names import of_block
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.pilot.movers import Movers
from rhapsody_parsl.wire.messages import FromParent, FromPilot
from rhapsody_parsl.wire.shared_memory import block_folder, discard_results
from rhapsody_parsl.wire.value_messages import (
    AskValue,
    Copied,
    DropValues,
    OfValues,
    ToValues,
    ValueHere,
    ValueLeft,
    ValuesCame,
    WantValue,
)

__all__ = ("Values",)

_GONE = "it was deleted, or nobody held it any more"

Answer = Callable[[str], None]
"""Called with "" when a value is where it is wanted, or with why it is not."""


class Values:
    """Those of a block.

    What a task leaves stays on its host. What a task lacks is brought to its host once, from one that has it: who asks
    there asks for all. What no host of the block has the driver is asked for.

    Args:
        config: The block's.
        block: Its number.
        folder: Its private one.
        hosts: The block's other hosts.
        send: Sends the driver a message.

    Attributes:
        shared_folder: For large results; "" where the driver's folder is not seen.
        freed: Told which value the driver needs no more, and how many handles it has had, None where the value is
            deleted. Returns whether it goes: tasks of the block may need it.
    """

    def __init__(
        self,
        config: BlockConfig,
        block: str,
        folder: Path,
        *,
        hosts: Collection[Host],
        send: Callable[[FromPilot], None],
    ) -> None:
        self.shared_folder = block_folder(config.shared_folder, block)
        self._folder, self._hosts, self._send = str(folder), {host.name: host for host in hosts}, send
        self._place = _place(config, block, self._folder, seen=bool(self.shared_folder))
        self._files = DataFiles(self._place)
        self._waiting: dict[tuple[str, Host | None], list[Answer]] = {}
        self._asked: set[str] = set()
        self._lost: dict[str, str] = {}
        self.freed: Callable[[str, int | None], bool] = lambda _key, _count: True
        self._movers = Movers(self._files, hosts, self._arrived, self._lacking)
        for host in hosts:
            host.keep_values(KeepValues(self._place.token, block, config.values[2], block), self._movers.told)

    def close(self) -> None:
        """Remove what is kept for this block alone; idempotent."""
        self._movers.close()
        if self._place.role == "pilot":
            data_place.close(self._folder)

    def discard(self, tasks: Collection[int], left: Collection[int] = ()) -> None:
        """Remove what tasks leave that nobody will read: of processes that were killed while they wrote, or after.

        Args:
            tasks: Their numbers.
            left: Those of them that may have left something on any host.
        """
        drafts = [os.path.join(root, self._place.writer) for root in (self._place.memory, self._place.disk) if root]
        for folder in {self.shared_folder, *drafts} - {""}:
            discard_results(folder, tasks)
        for task in tasks:
            self._files.drop(str(task))
        if left:
            names = (str(task) for task in left)
            self.drop([each for name in names for each in (name, of_block(self._place.writer, name))], unfinished=True)

    def hosts_of(self, key: str) -> list[str]:
        """Return the hosts where a value lies; "" is this one."""
        there = {host.name for host in self._movers.holders(key) if host is not None}
        return [*there, ""] if self._files.has(key) else list(there)

    def host_changed(self, name: str, problem: str) -> None:
        """A host is lost, and what it alone had; or, without a problem, it is back, with nothing."""
        host = self._hosts.get(name)
        if host is not None and problem:
            self._waiting = {(key, where): who for (key, where), who in self._waiting.items() if where is not host}
            reason = f"host {name}, where it lay, was lost ({problem})"
            self._lost |= {key: reason for key in self._movers.lost(host) if not self._files.has(key)}
            self._movers.go_on()

    def drop(self, keys: Collection[str], *, unfinished: bool = False) -> None:
        """Remove values here and on the hosts that have them; what is not whole may lie on any."""
        of_host: dict[Host, list[str]] = {host: list(keys) for host in self._hosts.values()} if unfinished else {}
        for key in keys:
            self._lost.pop(key, None)
            self._files.drop(key)
            for host in self._movers.drop(key):
                if not unfinished:
                    of_host.setdefault(host, []).append(key)
        self._movers.forget(of_host)

    # --- what processes of tasks say -----------------------------------------------------------------------------

    def hear(self, others: Callable[[Peer, FromParent], None], peer: Peer, message: FromParent | OfValues) -> None:
        """A process says something of values, or something that others hear."""
        if isinstance(message, ValueLeft):
            self.lies(message.key, peer.host)
        elif isinstance(message, AskValue):
            self._want(message.key, peer.host, lambda reason: peer.send(ValueHere(message.order, reason)))
        else:
            others(peer, message)

    def lies(self, key: str, host: Host | None) -> None:
        """A value lies on a host, or is about to."""
        self._lost.pop(key, None)
        self._movers.has(key, host)

    def _want(self, key: str, where: Host | None, answer: Answer) -> None:
        if where is None and self._files.has(key):
            answer("")
        else:
            self._waiting.setdefault((key, where), []).append(answer)
            self._movers.want(key, where)

    def _arrived(self, key: str, where: Host | None, problem: str) -> None:
        """A value is there, or cannot be."""
        for answer in self._waiting.pop((key, where), ()):
            answer(problem)

    def _lacking(self, key: str, where: Host | None) -> None:
        """No host of the block has a value."""
        if reason := self._lost.get(key):
            self._arrived(key, where, reason)
        elif key not in self._asked:
            self._asked.add(key)
            self._send(WantValue(key, sees=self._place.role == "driver"))

    # --- what the driver says ------------------------------------------------------------------------------------

    def told(self, message: ToValues) -> None:
        """The driver says something of values."""
        match message:
            case WantValue(key=key):
                self._give(key)
            case ValuesCame(copies=copies, gone=gone, here=here):
                for copied in copies:
                    self._keep(copied)
                for key in here:
                    self._came(key)
                for key, reason in gone.items():
                    self._came(key, reason)
            case DropValues(keys=keys, unfinished=unfinished, counts=counts):
                going = [key for key, count in zip_longest(keys, counts) if self.freed(key, count)]
                self.drop(going, unfinished=unfinished)

    def _give(self, key: str) -> None:
        """Have a value that the driver wants here, and tell it."""
        if self._files.has(key) or self._movers.is_held(key):
            self._want(key, None, partial(self._give_from_here, key))
        else:
            self._send(ValuesCame([], {key: self._lost.get(key, _GONE)}))

    def _give_from_here(self, key: str, problem: str) -> None:
        answer = ValuesCame([], here=[key])
        if problem:
            answer = ValuesCame([], {key: problem})
        elif self._place.role == "pilot":
            try:
                answer = ValuesCame([Copied(key, bytes(self._files.open(key)))])
            except FileNotFoundError:
                answer = ValuesCame([], {key: _GONE})
        self._send(answer)

    def _came(self, key: str, problem: str = "") -> None:
        """The driver has brought a value here, if there was room; or it cannot be had."""
        self._asked.discard(key)
        if not self._files.has(key):
            problem = problem or _GONE
        for wanted, where in [each for each in self._waiting if each[0] == key]:
            if problem or where is None:
                self._arrived(wanted, where, problem)
            else:
                self._movers.want(wanted, where)

    def _keep(self, copied: Copied) -> None:
        came = partial(self._came, copied.key)
        if isinstance(copied.payload, bytes) and _is_key(copied.key):
            self._movers.incoming.write(copied.key, [copied.payload], came)
        else:
            came()


def _place(config: BlockConfig, block: str, folder: str, *, seen: bool) -> Place:
    token, disk, wish = config.values
    if not (seen and os.path.isdir(disk)):
        return data_place.open_place(folder, token, block, wish, where=block, role="pilot")
    memory = config.shared_folder
    place = Place(token, memory, disk, block, data_place.budget_of(memory, wish))
    place.tell(folder)
    return place


def _is_key(key: str) -> bool:
    return bool(key) and "/" not in key and not key.startswith(".")
