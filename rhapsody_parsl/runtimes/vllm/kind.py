"""A model as a kind of service: what is checked, started and told of it."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rhapsody_parsl.in_block.context import Context, Placed
from rhapsody_parsl.runtimes.vllm import preflight
from rhapsody_parsl.runtimes.vllm.adapters import check_adapters, named_adapters
from rhapsody_parsl.runtimes.vllm.environment import process_environment
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.service_config import ServiceConfig, VLLMService
from rhapsody_parsl.services.protocol import Program
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.engine_messages import Adapters
from rhapsody_parsl.wire.messages import ServiceFacts

__all__ = ("VLLMKind", "root_cause")

_COMPLAINT = re.compile(r"^(?:\(\w+ pid=\d+\) ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)


class VLLMKind:
    """A model of the user's, as `services.protocol.Kind` has it.

    Args:
        config: The user's.
        context: The block.
    """

    name = "vllm"

    def __init__(self, config: VLLMService, context: Context) -> None:
        self.config, self._context = config, context
        self.what, self._adapted = config.model, False

    async def check(self) -> None:
        """Find what would make the service fail.

        Raises:
            MissingPackage: Its environment lacks vLLM, or what our half of it needs.
            ServiceFailed: The model, the interpreter or the command is not there.
        """
        await preflight.check(self.config, self._context.python)

    def command(self, settings: Settings, part: Placed | None, folder: Path) -> Program:
        """Return the process that holds or supervises the engine, or its part on a further node."""
        config, path = self.config, str(folder / "settings.json")
        told = EngineSettings(**msgspec.structs.asdict(settings), service=config, model=preflight.resolve_model(config))
        module = "member" if settings.rank else "backend" if config.server == "hosted" else "command"
        python = preflight.interpreter(config, self._context.python)
        return Program(
            argv=[python, "-m", f"rhapsody_parsl.runtimes.vllm.{module}", path],
            env=process_environment(config, part, self._context, folder=folder, api_key=settings.secret),
            files={path: told.text()},
        )

    def address(self, facts: ServiceFacts, secret: str) -> dict[str, str]:
        """Return the model's name in requests, and the key of its replicas; other clients come by the front door."""
        return {"model": facts.model, "secret": secret}

    def adapt(self, config: ServiceConfig, unload: Sequence[str] = ()) -> Adapters | None:
        """Take the adapters as they are to be now; where they ever changed, each replica is told when it is ready.

        Raises:
            ServiceFailed: One is not there; nothing has changed.
        """
        if isinstance(config, VLLMService) and config.adapters != self.config.adapters:
            changed = msgspec.structs.replace(self.config, adapters=config.adapters, engine_args=config.engine_args)
            check_adapters(changed)
            self.config, self._adapted = changed, True
        if not (self._adapted or unload):
            return None
        return Adapters(named_adapters(self.config), list(unload))

    def complaint(self, log: str, reason: str, was_ready: bool) -> str | None:
        """Return the exception at the root; nothing when the process has looked itself what is wrong."""
        if reason and not was_ready:
            return root_cause(log) if "root cause" in reason else ""
        return root_cause(log) or None


def root_cause(log: str) -> str:
    """Return the last exception that a log shows and that tells more than where to look for another, or ""."""
    found = [text for text in _COMPLAINT.findall(log) if "root cause" not in text]
    return str(found[-1]) if found else ""
