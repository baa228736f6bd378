"""The models of an executor's blocks for every program on the driver's host: an address, a key, a client."""

import secrets
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.front_door import HOST
from rhapsody_parsl.executors.openai_keys import OpenAIKeys
from rhapsody_parsl.executors.running import not_running
from rhapsody_parsl.executors.services import ExecutorServices
from rhapsody_parsl.executors.standalone import Standalone

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ("WithFrontDoor",)


class WithFrontDoor(Standalone):
    """The part of the executor by which others than its apps ask its models."""

    services: ExecutorServices
    openai_keys: OpenAIKeys
    """Further keys, for people and programs, with limits."""
    _openai_key = ""

    @property
    def openai_key(self) -> str:
        """The key that requests to `openai_url` show; the front doors of all blocks take it."""
        self._openai_key = self._openai_key or secrets.token_urlsafe(24)
        return self._openai_key

    def openai_url(self, port: int = 0) -> str:
        """Return an OpenAI-compatible address on this host, 127.0.0.1, for the models of all blocks.

        It lasts as long as the executor, whichever blocks come and go. A request waits while there is no block, or no
        replica of its model, for `openai_wait` seconds at most. Then it gets HTTP status 503 with `Retry-After`.

        Args:
            port: Where to listen; default a free port. Only the first call decides.

        Raises:
            RhapsodyError: The executor is not running, has no model, or the port is taken.
        """
        if self._link is None or self._closed:
            raise not_running()
        if not any(service.takes_requests for service in self.services.configs):
            raise RhapsodyError("This executor has no model: give it one with services=[VLLMService(...)].")
        try:
            return f"http://{HOST}:{self._link.open_front_door(port)}/v1"
        except OSError as problem:
            text = f"openai_url(port={port}): {problem.strerror}. Leave port out for a free one."
            raise RhapsodyError(text) from None

    def openai_client(self, **settings: Any) -> "OpenAI":
        """Return a client of the `openai` package for `openai_url`.

        Args:
            settings: Further arguments of `openai.OpenAI`: `timeout`, `max_retries`, ...

        Raises:
            RhapsodyError: The package is not installed; or as of `openai_url`.
        """
        try:
            from openai import OpenAI  # noqa: PLC0415 - takes a second, and is nobody's need but the user's
        except ImportError:
            raise RhapsodyError(
                "openai_client() needs the package openai, which is not installed here. "
                "Install it with: pip install 'rhapsody-parsl[openai]'"
            ) from None
        return OpenAI(base_url=self.openai_url(), api_key=self.openai_key, **settings)
