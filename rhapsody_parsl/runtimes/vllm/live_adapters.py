"""The adapters of an engine that runs: loaded and unloaded as the user wants them now."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ("LiveAdapters",)


class LiveAdapters:
    """Those of one engine.

    Args:
        named: What it was started with: folders by name.
        load: Loads one, `(name, folder)`, and returns the engine's complaint, or "".
        unload: Unloads one, and says nothing of one that is not there.
    """

    def __init__(
        self,
        named: Mapping[str, str] | str,
        load: Callable[[str, str], Awaitable[str]],
        unload: Callable[[str], Awaitable[None]],
    ) -> None:
        self._named = {} if isinstance(named, str) else dict(named)
        self._load, self._unload = load, unload
        self._refused: dict[str, str] = {}

    async def become(self, wanted: Mapping[str, str] | None, unload: Iterable[str] = ()) -> None:
        """Have these.

        Args:
            wanted: Folders by name; None where the engine finds its adapters by itself.
            unload: Names of others that are to go; one that the engine finds by itself it loads again when asked.
        """
        wanted = self._named if wanted is None else wanted
        gone = [name for name, folder in self._named.items() if wanted.get(name) != folder]
        for name in dict.fromkeys([*gone, *unload]):
            self._named.pop(name, None)
            self._refused.pop(name, None)
            await self._unload(name)
        for name, folder in wanted.items():
            if name not in self._named:
                self._named[name] = folder
                await self._try(name, folder)

    def refusal(self, name: object) -> str:
        """Return why an adapter is not there that is to be, or ""."""
        return self._refused.get(name, "") if isinstance(name, str) else ""

    async def _try(self, name: str, folder: str) -> None:
        try:
            complaint = await self._load(name, folder)
        except Exception as problem:  # noqa: BLE001 - whatever it raises, who asks for the adapter is to hear of it
            complaint = f"{type(problem).__name__}: {problem}"
        if complaint:
            self._refused[name] = f"the adapter '{name}' could not be loaded: {complaint}"
