"""Patches what Dragon 0.15 does wrong over several nodes; on `PYTHONPATH`, Python imports it first.

A Dragon in which a place to patch is not as here is left as it is.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any


def calm_agents() -> None:
    """Keep the TCP agents from spinning.

    Their control loop calls `Queue.poll(timeout=5)`, which returns at once instead of waiting, so that each agent (two
    a node and two for the front end) burns a core: one that tasks have leased, and of small nodes all.
    """
    import time

    import dragon.native.queue
    import dragon.transport.tcp.client

    queue: Any = dragon.native.queue.Queue
    poll_once = queue._poll

    def poll(self: Any, timeout: float | None = None) -> bool:
        end = time.monotonic() + (3600.0 if timeout is None else timeout)
        while not (ready := bool(poll_once(self, timeout=0))) and time.monotonic() < end:
            time.sleep(0.02)
        return ready

    queue._poll = poll
    client: Any = dragon.transport.tcp.client.Client
    client.recv.__defaults__ = (1.0,)  # a receive with a timeout first spins, and it does ten a second


def listen_where_told() -> None:
    """Have the nodes' TCP agents listen on the launcher's `--port`.

    They are told it with each node, and take 7575 all the same: two runtimes on the same hosts would meet there.
    """
    import dragon.infrastructure.messages as said

    told: Any = said.LAChannelsInfo
    take_in = told.__init__

    def take_in_ports(self: Any, *args: Any, **options: Any) -> None:
        take_in(self, *args, **options)
        for node in self.nodes_desc.values():
            if port := getattr(node, "port", None):
                node.ip_addrs = [place if ":" in place else f"{place}:{port}" for place in node.ip_addrs]

    told.__init__ = take_in_ports


def await_nodes() -> None:
    """Let the front end take what nodes say of their start in any order.

    It takes "global services are up", which the first node says, for an error when a slower node has yet to say that
    its agent is up, which they do not wait for. Two starts of eight failed so where three nodes shared two busy cores.
    """
    import dragon.infrastructure.messages as said
    import dragon.launcher.frontend as launcher

    front_end: Any = launcher.LauncherFrontEnd
    receive, next_message = front_end._recv_startup_msgs, launcher.dlutil.get_with_blocking

    def receive_in_any_order(self: Any, kind: type, count: int = 1, *, what: str | None = None) -> list[Any]:
        if kind is said.GSIsUp and (early := self.__dict__.pop("_early", None)):
            return [early]
        if kind is not said.TAUp:
            return list(receive(self, kind, count, what=what))
        messages: list[Any] = []
        while len(messages) < count:
            message = next_message(self.la_fe_stdin)
            if isinstance(message, said.GSIsUp):
                self._early = message
            elif isinstance(message, kind):
                messages.append(message)
            else:
                self._raise_startup_failure(message, what or kind.__name__)
        return messages

    front_end._recv_startup_msgs = receive_in_any_order


def name_as_slurm() -> None:
    """Let a node say Slurm's name for it, which is not the host's own in clouds.

    By those names the launcher asks Slurm for a step on all nodes.
    """
    import dragon.infrastructure.node_desc as node

    own: Any = node.gethostname
    node.gethostname = lambda: os.environ.get("SLURMD_NODENAME") or own()


PATCHES = {
    "dragon.transport.tcp.__main__": (calm_agents, listen_where_told),
    "dragon.launcher.dragon_multi_fe": (await_nodes,),
    "dragon.launcher.network_config": (name_as_slurm,),
}
_COMMANDS = {"dragon", "dragon-tcp", "dragon-network-config-launch-helper"}


class _Hook(importlib.abc.MetaPathFinder):
    """Patches when the module that needs it is about to be imported, and finds nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        for patch in PATCHES.pop(name, ()):
            with suppress(ImportError, AttributeError):
                patch()
        return None


def _run_the_one_behind() -> None:
    """Run the `sitecustomize` that Python would have found without us."""
    path = [place for place in sys.path if place != os.path.dirname(__file__)]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if _COMMANDS & {os.path.basename(word) for word in getattr(sys, "orig_argv", ())}:
        sys.meta_path.insert(0, _Hook())
    _run_the_one_behind()
