"""A function whose result is to stay in the block: `Policy(result="reference")`."""

from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ("Keeping", "Stays")


class Stays:
    """What such a function has returned.

    Attributes:
        value: That.
        above: Bytes; what takes no more travels as a value.
    """

    __slots__ = ("above", "value")

    def __init__(self, value: Any, above: int) -> None:
        self.value, self.above = value, above


class Keeping:
    """The function as the driver sends it.

    Args:
        function: The app's.
        above: See `Stays`.
    """

    def __init__(self, function: Callable[..., Any], above: int) -> None:
        self.__wrapped__, self._above = function, above
        if code := getattr(function, "__code__", None):
            self.__code__ = code  # by which a function is known that Parsl holds to a walltime

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it; what it yields travels as it does from any other function.

        Raises:
            BaseException: Whatever it raises.
        """
        value = self.__wrapped__(*args, **kwargs)
        if issubclass(type(value), Coroutine):
            return self._awaited(value)
        return value if _is_no_value(value) else Stays(value, self._above)

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Stays:
        return Stays(await coroutine, self._above)

    def __eq__(self, other: object) -> bool:
        """Whether it keeps the same function's results: so it is written once, and not for each task."""
        return type(other) is Keeping and (self.__wrapped__, self._above) == (other.__wrapped__, other._above)

    def __hash__(self) -> int:
        return hash((self.__wrapped__, self._above))

    def __reduce__(self) -> tuple[Any, ...]:
        return Keeping, (self.__wrapped__, self._above)


def _is_no_value(value: Any) -> bool:
    """Whether it is a generator, or how Parsl's decorators return what they caught."""
    kind = type(value)  # a proxy that was asked would fetch its value
    return hasattr(kind, "send") or hasattr(kind, "asend") or hasattr(kind, "reraise")
