"""Further keys for the models' address, each with limits of its own, as `executor.openai_keys`."""

import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rhapsody_parsl.annotations.limits import MOST, check_range
from rhapsody_parsl.errors import InvalidTask, RhapsodyError
from rhapsody_parsl.wire.door import DoorKey, hash_of

if TYPE_CHECKING:
    from rhapsody_parsl.executors.link import Link

__all__ = ("OpenAIKeys",)


class OpenAIKeys:
    """The keys that were given away beside `executor.openai_key`, by name; only their hashes are kept."""

    def __init__(self) -> None:
        self._keys: dict[str, DoorKey] = {}
        self._link: Link | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, name: str, *, requests_per_minute: int = 0, concurrency: int = 0) -> str:
        """Return a new key; it is shown here, and never again.

        A request beyond a limit gets HTTP status 429 with `Retry-After`, as OpenAI has it. Limits hold in each block.

        Args:
            name: Of who gets it: letters, digits, `-` and `_`.
            requests_per_minute: How many requests may begin within any 60 s; 0 is any number.
            concurrency: How many requests may be under way at once; 0 is any number.

        Raises:
            InvalidTask: The name or a limit is none.
            RhapsodyError: The name has a key.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name if type(name) is str else ""):
            raise InvalidTask("openai_keys.add(name)", name, "letters, digits, - and _ only, and 100 at most")
        for limit, value in (("requests_per_minute", requests_per_minute), ("concurrency", concurrency)):
            check_range(f"openai_keys.add({limit})", value, 0, MOST)
        if name in self._keys:
            raise RhapsodyError(f"openai_keys: '{name}' has a key. Call openai_keys.remove('{name}') for another one.")
        key = secrets.token_urlsafe(24)
        self._keys = {**self._keys, name: DoorKey(name, hash_of(key), int(requests_per_minute), int(concurrency))}
        self._tell()
        return key

    def remove(self, name: str) -> None:
        """Have a key refused from now on; requests that are under way are still answered.

        Raises:
            RhapsodyError: No key has this name.
        """
        if name not in self._keys:
            names = ", ".join(map(repr, self._keys)) or "none"
            raise RhapsodyError(f"openai_keys: no key has the name {name!r}. There are {names}.")
        self._keys = {other: key for other, key in self._keys.items() if other != name}
        self._tell()

    def begin(self, link: "Link") -> None:
        """Tell blocks from now on.

        Args:
            link: To them.
        """
        self._link = link
        self._tell()

    def _tell(self) -> None:
        if self._link:
            self._link.take_keys(list(self._keys.values()))
