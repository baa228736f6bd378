"""What a node agent does for the values of its host: makes a place for them, gives them, has them, and removes them."""

from collections.abc import Callable, Sequence

from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.words import (
    NOT_THERE,
    VALUES,
    DropValues,
    FetchValue,
    GivesValues,
    GiveValues,
    KeepValues,
    Relayed,
    SendValue,
    ValueFetched,
)
from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.incoming import Incoming

__all__ = ("HostValues",)


class HostValues:
    """That of this host.

    Args:
        folder: The private one.
        port: Makes the place where other hosts have values from.
        say: Tells the pilot something; a value goes along as frames.
    """

    def __init__(
        self,
        folder: str,
        port: Callable[[DataFiles], ValuePort],
        say: Callable[[GivesValues | ValueFetched | Relayed, Sequence[bytes]], None],
    ) -> None:
        self._folder, self._make_port, self._say = folder, port, say
        self._files: DataFiles | None = None
        self._port: ValuePort | None = None
        self._incoming: Incoming | None = None

    def obey(self, order: KeepValues | DropValues | GiveValues | FetchValue | SendValue) -> None:
        """Do as the pilot says.

        Raises:
            OSError: There is no room for values at all.
        """
        if isinstance(order, KeepValues):
            token, writer, wish, where = order.token, order.writer, order.wish, order.where
            place = data_place.open_place(self._folder, token, writer, wish, where=where, role="host")
            self._files = DataFiles(place)
            self._port, self._incoming = self._make_port(self._files), Incoming(self._files)
        elif self._files and self._port:
            self._move(order, self._files, self._port)

    def _move(self, order: DropValues | GiveValues | FetchValue | SendValue, files: DataFiles, port: ValuePort) -> None:
        match order:
            case DropValues(keys=keys):
                port.drop(keys)
                if self._incoming:
                    self._incoming.drop(keys)
                files.discard(keys)
            case GiveValues():
                self._say(GivesValues(port.open()), ())
            case FetchValue(number=number, key=key, address=address):
                port.fetch(key, address, lambda problem: self._say(ValueFetched(number, problem), ()))
            case SendValue(number=number, key=key):
                self._send(number, key, files)

    def _send(self, number: int, key: str, files: DataFiles) -> None:
        try:
            content = bytes(files.open(key))
        except OSError:
            self._say(ValueFetched(number, NOT_THERE), ())
        else:
            self._say(Relayed(VALUES, str(number), 1), [content])

    def take(self, number: str, frames: Sequence[bytes]) -> None:
        """A value has come by the pilot: its key and its content."""

        def done(problem: str) -> None:
            self._say(ValueFetched(int(number), problem), ())

        if self._incoming:
            self._incoming.write(frames[0].decode(), frames[1:], done)
        else:
            done("there is no place for values")

    def close(self) -> None:
        """Give nothing more, and remove what is kept in memory."""
        if self._port:
            self._port.close()
        data_place.close(self._folder)
