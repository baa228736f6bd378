"""A kind of service is added by one row: endpoint, executor and pilot go by it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rhapsody_parsl import CommandService, LocalRuntime, VLLMService, service_table
from rhapsody_parsl.config import BlockConfig, read_config, write_config
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.globus_compute.settings import read_services
from rhapsody_parsl.pilot.catalogue import build_services
from rhapsody_parsl.runtime_table import load
from rhapsody_parsl.service_config import check_services
from testing.leases import FakeLeases
from testing.nodes import make_context, make_node

SOURCE = """
from rhapsody_parsl.service_config import ServiceConfig


class Cache(ServiceConfig, frozen=True, kw_only=True, tag_field="type", tag="cache"):
    megabytes: int


class CacheKind:
    name = "cache"

    def __init__(self, config, context):
        self.config = config
"""
ROW = service_table.ServiceRow(tag="cache", config="caches:Cache", implementation="caches:CacheKind", key="megabytes")


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "caches.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(service_table, "_ROWS", [*service_table._ROWS, ROW])
    monkeypatch.delitem(sys.modules, "caches", raising=False)
    import caches  # type: ignore[import-not-found]  # the test's own

    yield caches
    sys.modules.pop("caches")


@pytest.mark.parametrize("row", service_table._ROWS, ids=lambda row: row.tag)
def test_a_row_leads_to_a_configuration_of_its_tag_and_to_a_kind(row: service_table.ServiceRow) -> None:
    kind = load(row.config)
    assert kind.__struct_config__.tag == row.tag == load(row.implementation).name
    assert not row.key or row.key in kind.__struct_fields__
    assert service_table.of_class(kind) == service_table.of_tag(row.tag) == row


def test_a_row_is_all_that_a_new_kind_needs(caches: Any, tmp_path: Path) -> None:
    services = read_services([{"name": "hot", "megabytes": 5}, {"name": "llm", "model": "m"}])
    assert services == (caches.Cache(name="hot", megabytes=5), VLLMService("llm", "m"))
    block = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", services=services
    )
    write_config(block, tmp_path / "block.json")
    read = read_config(tmp_path / "block.json")
    assert read == block
    built = build_services(read, make_context(tmp_path, SimpleNamespace(), make_node("n0")), FakeLeases())
    assert {type(service.kind).__name__ for service in built} == {"CacheKind", "VLLMKind"}


@pytest.mark.usefixtures("caches")
def test_a_class_without_a_row_is_refused() -> None:
    with pytest.raises(
        InvalidTask, match=r"VLLMService\(\.\.\.\) and CommandService\(\.\.\.\) and Cache\(\.\.\.\) is needed"
    ):
        check_services([LocalRuntime()], "services")


def test_a_class_that_derives_from_a_known_one_is_of_its_kind() -> None:
    class Redis(CommandService, frozen=True, kw_only=True):
        pass

    assert service_table.of_class(Redis).tag == "command"
