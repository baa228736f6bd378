"""Moves values between the hosts of a block, from one to the other; by the pilot where these do not meet."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from rhapsody_parsl.agents.host import Host, OfValues
from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.words import (
    NOT_THERE,
    UNREACHABLE,
    VALUES,
    DropValues,
    FetchValue,
    GivesValues,
    GiveValues,
    SendValue,
    ValueFetched,
)
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.incoming import Incoming
from rhapsody_parsl.pilot.moves import Move, Moves

__all__ = ("Movers",)


class Movers:
    """Those of a block. None stands for the pilot's own host.

    Args:
        files: The values of this host.
        hosts: The others.
        arrived: Called with key, host and "" when a value is where it is wanted, with a reason when it cannot be.
        lacking: Called with key and host when no host has it; it is wanted no more then.

    Attributes:
        incoming: Writes what comes here in messages.
    """

    def __init__(
        self,
        files: DataFiles,
        hosts: Collection[Host],
        arrived: Callable[[str, Host | None, str], None],
        lacking: Callable[[str, Host | None], None],
    ) -> None:
        self._files, self._arrived, self._lacking = files, arrived, lacking
        self.incoming = Incoming(files)
        self._listener = next((host.listener for host in hosts), None)
        self._moves: Moves[Host | None] = Moves()
        self._own: ValuePort | None = None
        self._addresses: dict[Host, str] = {}
        self._unaddressed: dict[Host, list[Move[Host | None]]] = {}

    def has(self, key: str, host: Host | None) -> None:
        """A value lies there."""
        self._moves.has(key, host)

    def holders(self, key: str) -> list[Host | None]:
        """Return where a value is known to lie."""
        return self._moves.holders(key)

    def is_held(self, key: str) -> bool:
        """Whether a host is known to have a value."""
        return bool(self._moves.holders(key))

    def want(self, key: str, host: Host | None) -> None:
        """A host lacks a value."""
        if host is not None and self._files.has(key):
            self._moves.has(key, None)
        self._moves.want(key, host)
        self.go_on()

    def lost(self, host: Host) -> list[str]:
        """A host is gone; return what it alone had."""
        self._addresses.pop(host, None)
        self._unaddressed.pop(host, None)
        return self._moves.lost(host)

    def drop(self, key: str) -> list[Host]:
        """Nobody needs a value any more; return the other hosts that have it, or are about to."""
        there = self._moves.drop(key)
        self.incoming.drop([key])
        if self._own:
            self._own.drop([key])
        return [host for host in there if host is not None]

    def forget(self, keys: Mapping[Host, Sequence[str]]) -> None:
        """Have hosts remove values."""
        for host, dropped in keys.items():
            host.tell_of_values(DropValues(list(dropped)))
        self.go_on()

    def close(self) -> None:
        """Move nothing more; idempotent."""
        if self._own:
            self._own.close()

    # --- moves ---------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Begin what can begin, and tell of what cannot."""
        for move in self._moves.start():
            self._begin(move)
        for key, host in self._moves.hopeless():
            self._lacking(key, host)

    def _begin(self, move: Move[Host | None]) -> None:
        source = move.source
        if not move.direct:
            self._carry(move)
        elif source is None:
            self._fetch(move, self._port().open())
        elif address := self._addresses.get(source):
            self._fetch(move, address)
        else:
            waiting = self._unaddressed.setdefault(source, [])
            waiting.append(move)
            if len(waiting) == 1:
                source.tell_of_values(GiveValues())

    def _fetch(self, move: Move[Host | None], address: str) -> None:
        if move.target is None:
            self._port().fetch(move.key, address, lambda problem: self._ended(move.number, problem))
        else:
            move.target.tell_of_values(FetchValue(move.number, move.key, address))

    def _port(self) -> ValuePort:
        if self._own is None:
            if self._listener is None:
                raise RuntimeError("a value was to move in a block of one host")
            self._own = ValuePort(self._files, self._listener.address, self._listener.word)
        return self._own

    def _carry(self, move: Move[Host | None]) -> None:
        """Have a value come here, or send it from here: over the lines of the agents."""
        if move.source is not None:
            move.source.tell_of_values(SendValue(move.number, move.key))
            return
        try:
            content = bytes(self._files.open(move.key))
        except OSError:
            self._ended(move.number, NOT_THERE)
        else:
            self._bring(move, content)

    def _bring(self, move: Move[Host | None], content: bytes) -> None:
        if move.target is not None:
            move.target.send(VALUES, str(move.number), [move.key.encode(), content])
        else:
            self.incoming.write(move.key, [content], partial(self._ended, move.number))

    def _ended(self, number: int, problem: str) -> None:
        move = self._moves.ended(number, problem)
        if move and problem not in (UNREACHABLE, NOT_THERE):
            self._arrived(move.key, move.target, problem)
        self.go_on()

    def told(self, host: Host, word: OfValues, frames: Sequence[bytes]) -> None:
        """An agent says something of values."""
        match word:
            case GivesValues(address=address):
                self._addresses[host] = address
                for move in self._unaddressed.pop(host, ()):
                    if self._moves.move(move.number):
                        self._fetch(move, address)
            case ValueFetched(number=number, problem=problem):
                self._ended(number, problem)
            case _:
                with suppress(ValueError):
                    if carried := self._moves.move(int(word.peer)):
                        self._bring(carried, b"".join(frames))
