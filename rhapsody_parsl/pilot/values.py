"""What the pilot does for values that are kept by reference: it has those of its host, gets and gives the others."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.words import KeepValues
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.data.wanted import Wanted
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.in_block.exchange import Peer
from rhapsody_parsl.wire.messages import FromParent, FromPilot, OfValues, ToValues
from rhapsody_parsl.wire.shared_memory import block_folder, discard_results
from rhapsody_parsl.wire.value_messages import (
    AskValue,
    Copied,
    DropValues,
    ValueHere,
    ValueLeft,
    ValuesCame,
    WantValue,
)

__all__ = ("Values",)

_GONE = "it was deleted, or nobody held it any more"


class Values:
    """Those of a block.

    What a task leaves on another host is brought here, and is left there. What a task on another host lacks is brought
    there from here, once: who asks there asks for all. What is not here the driver is asked for.

    Args:
        config: The block's.
        block: Its number.
        folder: Its private one.
        hosts: The block's other hosts.
        send: Sends the driver a message.

    Attributes:
        shared_folder: For large results; "" where the driver's folder is not seen.
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
        self._folder, self._hosts, self._send = str(folder), hosts, send
        self._place = _place(config, block, self._folder, seen=bool(self.shared_folder))
        self._files = DataFiles(self._place)
        self._holders: dict[str, set[Host]] = {}
        self._wanted: Wanted[tuple[Peer, int]] = Wanted()
        for host in hosts:
            host.keep_values(KeepValues(self._place.token, block, config.values[2], self._place.where))

    def close(self) -> None:
        """Remove what is kept for this block alone; idempotent."""
        if self._place.role == "pilot":
            data_place.close(self._folder)

    def discard(self, tasks: Collection[int]) -> None:
        """Remove what tasks leave that nobody will read: of processes that were killed while they wrote, or after."""
        drafts = [os.path.join(root, self._place.writer) for root in (self._place.memory, self._place.disk) if root]
        for folder in {self.shared_folder, *drafts} - {""}:
            discard_results(folder, tasks)
        for task in tasks:
            self._files.drop(str(task))

    def _drop(self, keys: Collection[str], unfinished: bool) -> None:
        """Remove values here and on the hosts that have them; what is not whole may lie on any."""
        of_host: dict[Host, list[str]] = {host: list(keys) for host in self._hosts} if unfinished else {}
        for key in keys:
            self._files.drop(key)
            for host in self._holders.pop(key, ()):
                if not unfinished:
                    of_host.setdefault(host, []).append(key)
        for host, dropped in of_host.items():
            host.drop_values(dropped)

    # --- what processes of tasks say -----------------------------------------------------------------------------

    def hear(self, others: Callable[[Peer, FromParent], None], peer: Peer, message: FromParent | OfValues) -> None:
        """A process says something of values, or something that others hear."""
        if isinstance(message, ValueLeft):
            self._keep(message.copies)
            self._note(peer, [copied.key for copied in message.copies])
        elif isinstance(message, AskValue):
            self._ask(peer, message)
            self._note(peer, [message.key])
        else:
            others(peer, message)

    def _note(self, peer: Peer, keys: Iterable[str]) -> None:
        """A host has these, or is about to."""
        if host := peer.host:
            for key in keys:
                self._holders.setdefault(key, set()).add(host)

    def _keep(self, copies: Iterable[Copied]) -> None:
        for copied in copies:
            if isinstance(copied.payload, bytes) and _is_key(copied.key):
                with contextlib.suppress(OSError):  # no room: who needs it is told that it is gone
                    self._files.write(copied.key, [copied.payload])

    def _ask(self, peer: Peer, ask: AskValue) -> None:
        if self._place.role == "driver" or self._files.has(ask.key):
            peer.send(self._answer(ask.order, ask.key))
        elif self._wanted.ask(ask.key, (peer, ask.order)):
            self._send(WantValue(ask.key))

    def _answer(self, order: int, key: str) -> ValueHere:
        copies, _ = self._found(key)
        return ValueHere(order, copies, "" if copies else _GONE)

    def _found(self, key: str) -> tuple[list[Copied], list[str]]:
        try:
            return [Copied(key, bytes(self._files.open(key)))], []
        except FileNotFoundError:
            return [], [key]

    # --- what the driver says ------------------------------------------------------------------------------------

    def told(self, message: ToValues) -> None:
        """The driver says something of values."""
        match message:
            case WantValue(key=key):
                self._send(ValuesCame(*self._found(key)))
            case ValuesCame(copies=copies, gone=gone):
                self._keep(copies)
                for key in (*(copied.key for copied in copies), *gone):
                    for peer, order in self._wanted.take(key):
                        peer.send(self._answer(order, key))
            case DropValues(keys=keys, unfinished=unfinished):
                self._drop(keys, unfinished)


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
