"""Our presence on another host of the block: starts processes there, tells how they exit, and relays what they say.

A script, `python -I -S agent.py FOLDER HELD FILES JOB_FILES`, below `node_agent`. It leaves, with all it has started,
when that does, or when the pilot is silent for too long: it is gone, or cannot be told from one that is.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if __name__ == "__main__":  # a script in isolated mode finds nothing; the pilot told where all is
    with open(os.path.join(sys.argv[1], "agent"), "rb") as _file:
        sys.path[:] = [*json.load(_file)["path"], *sys.path]

import msgspec
import zmq  # noqa: F401 - said here, for it has to be found

from rhapsody_parsl.agents.gauge import Gauge
from rhapsody_parsl.agents.host_values import HostValues
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.processes import Processes
from rhapsody_parsl.agents.relay import Relay
from rhapsody_parsl.agents.shelf import Shelf, restored
from rhapsody_parsl.agents.value_port import ValuePort
from rhapsody_parsl.agents.ways import COMES_WITHIN, Way, Ways
from rhapsody_parsl.agents.words import (
    VALUES,
    Abridged,
    Begun,
    DropValues,
    Ended,
    Environment,
    FetchValue,
    GivesValues,
    GiveValues,
    HangUp,
    Hello,
    KeepValues,
    Kill,
    Leave,
    Left,
    Open,
    Relayed,
    Release,
    SendValue,
    Settings,
    Start,
    ToAgent,
    ValueFetched,
)
from rhapsody_parsl.hosts import environment, freed_memory, guard, leftovers, limits, probe
from rhapsody_parsl.hosts.data_files import DataFiles
from rhapsody_parsl.hosts.own_address import address_towards
from rhapsody_parsl.hosts.probe import HostFacts
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.tcp_connection import AsyncTcpConnection

if TYPE_CHECKING:
    from rhapsody_parsl.agents.gateway import Gateway

__all__ = ("NodeAgent",)

_PATIENCE = 1 / 8
"""Part of the threshold without a confirmation after which a connection is made anew: the kernel's next try may come
much later."""
_OTHERS_FIRST = 0.5
"""Seconds that a gateway stays: the others are told at the same time, and what they have not read is lost with it."""


class NodeAgent:
    """The agent of one host.

    Args:
        settings: From the pilot.
        folder: The private one.
        held: Descriptor that holds it.
    """

    def __init__(self, settings: Settings, folder: str, held: int) -> None:
        self._settings, self._folder = settings, folder
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = loop.create_future()
        self._processes = Processes(self._tell, held)
        self._line: Line[ToAgent] = Line(
            ToAgent,
            post=self._post,
            receive=self._obey,
            lost=self.leave,
            period=settings.period,
            threshold=settings.threshold,
            grace=COMES_WITHIN * settings.threshold if settings.gateway else 0.0,
            crowd=self._hold,
        )
        self._relay = Relay(folder, self._say, lambda exchange, peer: self._line.send(Left(exchange, peer)))
        self._gauge: Gauge | None = None
        self._met = False
        self._values = HostValues(folder, self._value_port, self._say_of_values)
        self._shelf: Shelf[bytes] = Shelf()
        self._gateway: Gateway | None = None
        self._connection, self._ways = self._connect(settings, loop)

    def _connect(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> tuple[AsyncTcpConnection, Ways | None]:
        """Connect to the pilot, by another agent if that is to be; and let others in by us."""
        server, public, secret = (key.encode() for key in settings.keys)
        straight, by_other = Way(settings.address, Keys((server, b""), (public, secret))), None
        if settings.gateway:
            by_other = Way(settings.gateway, Keys((public, secret), (public, secret)))
        first = by_other or straight
        connection = AsyncTcpConnection(
            first.address,
            settings.name,
            first.keys,
            loop,
            receive=self._line.hear,
            connected=self._note_connection,
            hung_up=lambda: self.leave("the pilot hears us no more"),
            patience=_PATIENCE * settings.threshold,
            pass_on=self._pass_to_others,
        )
        if settings.listens:
            from rhapsody_parsl.agents.gateway import gateway  # noqa: PLC0415 - one of many is one

            self._gateway = gateway(settings.listens, (public, secret), connection.send_packed, settings.period)
        if not by_other:
            return connection, None
        return connection, Ways(connection, by_other, straight, period=settings.period, threshold=settings.threshold)

    async def serve(self, facts: HostFacts) -> str:
        """Do as told until the pilot is gone; return why we leave.

        Args:
            facts: What the host offers.
        """
        self._line.send(Hello(facts))
        if self._settings.use_every:
            self._gauge = Gauge(facts, self._settings.use_every, self._line.send)
        reason = await self._over
        return reason if self._met else f"{self._settings.address}, where the pilot listens, was not reached: {reason}"

    def leave(self, reason: str) -> None:
        """Have `serve` return; idempotent."""
        if not self._over.done():
            self._over.set_result(reason)

    def close(self) -> None:
        """Stop all that runs here."""
        if self._gauge:
            self._gauge.close()
        self._line.close()
        self._relay.close()
        self._processes.close()
        if self._ways:
            self._ways.close()
        if self._gateway:
            self._gateway.close()
        self._connection.close()
        self._values.close()

    def _post(self, frames: Sequence[bytes]) -> None:
        if self._gateway:
            self._gateway.say(self._settings.name, frames)
        else:
            self._connection.send(frames)

    def _note_connection(self, there: bool) -> None:
        if there:
            self._met = True
            self._line.beat()
        elif self._ways:
            self._ways.cut()
        if self._gateway:
            self._gateway.open(there)

    def _pass_to_others(self, name: str, frames: list[bytes]) -> None:
        if self._gateway:
            self._gateway.pass_on(name, frames)

    def _hold(self, held: bool) -> None:
        self._relay.hold(held)

    def _say(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        self._processes.up(peer)
        self._line.relay(exchange, peer, frames)

    def _tell(self, word: Begun | Ended) -> None:
        if isinstance(word, Ended):
            self._relay.drain()
        self._line.send(word)

    def _obey(self, order: ToAgent, frames: list[bytes]) -> None:
        try:
            self._do(order, frames)
        except OSError as problem:  # as no room on the disk: who comes after us may have some
            self.leave(str(problem))

    def _do(self, order: ToAgent, frames: list[bytes]) -> None:
        match order:
            case Relayed(exchange=exchange, peer=peer):
                whole = restored(order, frames, self._shelf) if isinstance(order, Abridged) else frames
                self._pass_on(exchange, peer, whole)
            case Start() | Release() | Kill():
                self._see_to_process(order)
            case HangUp(exchange=exchange, peer=peer):
                self._relay.hang_up(exchange, peer)
            case Open(exchange=exchange, after=after):
                self._relay.open(exchange, after)
            case Leave():
                loop = asyncio.get_running_loop()
                loop.call_later(_OTHERS_FIRST if self._gateway else 0.0, self.leave, "the pilot has no more use for it")
            case Environment():
                self._be_as(order)
            case KeepValues() | DropValues() | GiveValues() | FetchValue() | SendValue():
                self._values.obey(order)

    def _be_as(self, job: Environment) -> None:
        """Start what is started from now on as the job's batch system starts it: ssh brings none of this along."""
        os.umask(job.umask)
        limits.take_on(job.limits)
        self._processes.environment = environment.on_host(job.variables, os.environ)
        environment.put(self._folder, self._processes.environment)

    def _see_to_process(self, order: Start | Release | Kill) -> None:
        match order:
            case Start():
                self._processes.start(order)
            case Release(number=number):
                self._processes.release(number)
            case Kill(number=number):
                self._processes.kill(number)

    def _pass_on(self, exchange: str, peer: str, frames: list[bytes]) -> None:
        if exchange == VALUES:
            self._values.take(peer, frames)
        else:
            self._relay.tell(exchange, peer, frames)

    def _value_port(self, files: DataFiles) -> ValuePort:
        pilot = self._settings.address.removeprefix("tcp://").rpartition(":")[0]
        return ValuePort(files, address_towards(pilot), self._settings.keys[-1].encode())

    def _say_of_values(self, word: GivesValues | ValueFetched | Relayed, frames: Sequence[bytes]) -> None:
        self._line.send(word, frames)


async def _serve(settings: Settings, folder: str, held: int) -> None:
    loop = asyncio.get_running_loop()
    agent = NodeAgent(settings, folder, held)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, agent.leave, f"it was told to leave ({signal.Signals(number).name})")
    try:
        reason = await agent.serve(probe.facts(os.environ))
    finally:
        agent.close()
    line = json.dumps({"host": settings.host, "no": reason})
    with contextlib.suppress(OSError):  # nobody may hear it any more
        os.write(1, f"{line}\n".encode())


def main(arguments: list[str]) -> None:
    """Serve until the pilot is gone, and leave nothing: our parent does that too, unless it was killed."""
    folder, *numbers = arguments
    held, files, job_files = map(int, numbers)
    limits.inherit(files, job_files)
    freed_memory.keep()
    guard.adopt_orphans()
    path = os.path.join(folder, "agent")
    with open(path, "rb") as file:
        settings = msgspec.json.decode(file.read(), type=Settings)
    os.unlink(path)
    try:
        asyncio.run(_serve(settings, folder, held))
    finally:
        guard.kill_all()
        os.close(held)
        if not leftovers.remove_folder(folder):  # else our parent lives, and holds it
            leftovers.sweep_memory()


if __name__ == "__main__":
    main(sys.argv[1:])
