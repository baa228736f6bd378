"""Proxies of ProxyStore as arguments and results, with connectors of its own: files, and the block's Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor
from testing.servers import REDIS, has
from tests.integration import proxies

store = pytest.importorskip("proxystore.store")
pytestmark = pytest.mark.usefixtures("elsewhere")

COUNT, TIMEOUT = 50_000, 60


def stored(kind: str, folder: Path, block: RhapsodyExecutor) -> Any:
    """Return a store in files, or in the Redis of the block."""
    if kind == "file":
        from proxystore.connectors.file import FileConnector

        return store.Store("files", FileConnector(str(folder / "store")), register=True)
    from proxystore.connectors.redis import RedisConnector

    block.services["cache"].wait_ready(TIMEOUT)
    return store.Store(
        "redis", RedisConnector(*block.submit(proxies.address, {}, "cache").result(TIMEOUT)), register=True
    )


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.skipif(not has(REDIS), reason="no server"))])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RhapsodyExecutor, Any]]:
    services = [CommandService("cache", REDIS, ready="tcp", cores=0)] if request.param == "redis" else []
    block = RhapsodyExecutor(runtimes=[LocalRuntime()], services=services, cores_per_node=2)
    with block, stored(request.param, tmp_path, block) as opened:
        yield block, opened


def test_a_proxy_becomes_the_value_when_it_is_used(stores: tuple[RhapsodyExecutor, Any]) -> None:
    block, opened = stores
    proxy = opened.proxy(numpy.ones(COUNT))
    assert block.submit(proxies.total, {}, proxy, [proxy]).result(TIMEOUT) == 2 * COUNT
    config = opened.config().model_dump()
    made = block.submit(proxies.made, {}, config, COUNT).result(TIMEOUT)
    assert block.submit(proxies.total, {}, made).result(TIMEOUT) == COUNT
    assert made.sum() == COUNT


def is_resolved(proxy: Any) -> bool:
    from proxystore.proxy import is_resolved as found

    return bool(found(proxy))


def test_nobody_fetches_it_on_the_way(stores: tuple[RhapsodyExecutor, Any]) -> None:
    """Whoever asks one anything, be it its class, makes it fetch its value."""
    block, opened = stores
    proxy = opened.proxy(numpy.ones(COUNT), populate_target=False)
    handed = block.submit(proxies.handed_on, {}, proxy).result(TIMEOUT)
    assert not is_resolved(handed)
    assert is_resolved(proxy) is False
    assert handed.sum() == COUNT
