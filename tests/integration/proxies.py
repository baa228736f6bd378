"""The functions of the tests of ProxyStore: a worker imports this module by its name."""

from typing import Any

import numpy


def total(array: Any, more: Any = ()) -> float:
    return float(array.sum() + sum(each.sum() for each in more))


def made(store: dict[str, Any], count: int) -> Any:
    """Put an array into a store, and return its proxy."""
    from proxystore.store import get_or_create_store
    from proxystore.store.config import StoreConfig

    return get_or_create_store(StoreConfig(**store)).proxy(numpy.ones(count))


def handed_on(proxy: Any) -> Any:
    return proxy


def address(name: str) -> tuple[str, int]:
    """Return where a service of the block listens."""
    from rhapsody_parsl import service

    found = service(name)
    return found.host, found.port
