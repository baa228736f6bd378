"""How much an object remembers: every container below it, by the way to it."""

from collections import deque
from collections.abc import Collection
from typing import Any

CONTAINERS = (dict, list, set, deque)


def sizes(root: object, skip: Collection[str] = ()) -> dict[str, int]:
    """Return the length of each container that can be reached from an object through attributes of our own classes.

    Args:
        root: An object of ours; what it shares with others is told once.
        skip: Names of attributes that are not looked into.
    """
    found: dict[str, int] = {}
    seen: set[int] = set()
    todo: deque[tuple[str, Any]] = deque([("", root)])
    while todo:
        way, thing = todo.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, CONTAINERS):
            found[way] = len(thing)
        elif type(thing).__module__.startswith("rhapsody_parsl"):
            todo += [(f"{way}.{name}".lstrip("."), value) for name, value in _attributes(thing) if name not in skip]
    return found


def _attributes(thing: object) -> list[tuple[str, Any]]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    own = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return list((own | getattr(thing, "__dict__", {})).items())
