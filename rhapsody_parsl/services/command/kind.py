"""Any command with a port as a kind of service: the pilot's half."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.in_block.context import Context, Placed
from rhapsody_parsl.in_block.gpus import shown_gpus
from rhapsody_parsl.service_config import CommandService, ServiceConfig
from rhapsody_parsl.services.blanks import fill
from rhapsody_parsl.services.command.settings import CommandSettings
from rhapsody_parsl.services.protocol import Program
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.messages import ServiceFacts

__all__ = ("CommandKind",)

_MODULE = "rhapsody_parsl.services.command.process"
_LEAVES_WITHIN = 1.0
"""Seconds that our process needs once its command is gone."""


class CommandKind:
    """A command of the user's, as `services.protocol.Kind` has it.

    Args:
        config: The user's.
        context: The block.
    """

    name = "command"

    def __init__(self, config: CommandService, context: Context) -> None:
        self.config, self._context = config, context
        self.what = config.argv[0]
        self._wants_secret = any("{secret" in text for text in (*config.argv, *config.env.values()))

    async def check(self) -> None:
        """Look for the program.

        Raises:
            ServiceFailed: It is not there.
        """
        program = self.config.argv[0]
        if shutil.which(program, path=self.config.env.get("PATH", os.environ.get("PATH"))) is None:
            raise ServiceFailed(
                self.config.name,
                f"command={program!r}: no such program on the block. Give its path, or install it there",
            )

    def command(self, settings: Settings, part: Placed | None, folder: Path) -> Program:
        """Return the process beside the command, with the command's own variables."""
        config, path, secret_file = self.config, str(folder / "settings.json"), str(folder / "secret")
        told = CommandSettings(
            **msgspec.structs.asdict(msgspec.structs.replace(settings, port=config.port or settings.port, secret="")),
            argv=tuple(config.argv),
            fixed_port=bool(config.port),
            ready=config.ready,
            health=config.health,
            health_failures=config.health_failures,
            secret_file=secret_file,
            stop_signal=config.stop_signal,
            stop_timeout=config.stop_timeout,
        )
        node = part.node if part else self._context.nodes[self._context.head]
        blanks = {"name": config.name, "secret": settings.secret, "secret_file": secret_file}
        blanks["hosts"] = ",".join(settings.hosts)
        own = {name: fill(value, blanks) for name, value in config.env.items()}
        return Program(
            argv=[self._context.python, "-m", _MODULE, path],
            env={**shown_gpus(node, part.share.gpus if part else ()), **own},
            files={path: told.text(), **({secret_file: settings.secret} if self._wants_secret else {})},
            grace=config.stop_timeout + _LEAVES_WITHIN,
        )

    def address(self, facts: ServiceFacts, secret: str) -> dict[str, str]:
        """Return the secret, if the command was given one."""
        return {"secret": secret} if self._wants_secret else {}

    def adapt(self, config: ServiceConfig, unload: Sequence[str] = ()) -> None:
        """Nothing of a command changes while it runs."""

    def complaint(self, log: str, reason: str, was_ready: bool) -> str | None:
        """The end of its log tells most."""
        return None
