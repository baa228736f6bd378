from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from somewhere import Elsewhere  # type: ignore[import-not-found]  # that is the point


def later(number: int, word: str = "") -> float:
    return number / 2


def of_no_type(thing: Elsewhere) -> None: ...
