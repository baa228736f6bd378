"""A runtime whose code is missing in the block costs its own tasks only."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from rhapsody_parsl import LocalRuntime, RuntimeConfig
from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.errors import RuntimeUnavailable
from rhapsody_parsl.pilot.catalogue import build
from rhapsody_parsl.runtimes.local.runtime import Local
from rhapsody_parsl.runtimes.protocol import Context, Runtime
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.services.services import Services
from testing.leases import FakeLeases
from testing.nodes import make_context, make_node, make_spec


class Broken:
    """A pilot's half that cannot be made."""

    def __init__(self, _config: Any, _context: Context) -> None:
        raise OSError("no such device")


def built(implementation: str) -> dict[str, Runtime]:
    class Odd(RuntimeConfig, frozen=True):
        name: ClassVar[str] = "odd"

    Odd.implementation = implementation
    config = BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(), Odd()), default_runtime="local", logs="",
        missing={"gone": "gone:Gone cannot be imported: No module named 'gone'"},
    )  # fmt: skip
    events: Any = SimpleNamespace(done=None)  # nothing runs
    context = make_context(Path("/x"), events, make_node("n0"), python="python")
    services = Services(VLLMKind, (), context, FakeLeases())  # type: ignore[arg-type]  # none is made
    return build(config, context, services)


@pytest.mark.parametrize(("implementation", "words"), [
    ("gone:Pilots", "gone:Pilots cannot be used: ModuleNotFoundError(\"No module named 'gone'\")"),
    (f"{__name__}:Broken", "Broken cannot be used: OSError('no such device')"),
])  # fmt: skip
def test_the_others_work_and_it_says_why_not(implementation: str, words: str) -> None:
    runtimes = built(implementation)
    assert list(runtimes) == ["local", "odd", "gone"]
    assert isinstance(runtimes["local"], Local)
    for name, why in (("odd", words), ("gone", "gone:Gone cannot be imported")):
        assert runtimes[name].refuse(make_spec()) == ""
        with pytest.raises(RuntimeUnavailable) as caught:
            asyncio.run(runtimes[name].start())
        assert f"The {name} runtime cannot run in this block: " in str(caught.value)
        assert why in str(caught.value)
        assert str(caught.value).endswith("Install it in the block's environment, or put it on its PYTHONPATH "
                                          "(the provider's worker_init).")  # fmt: skip
        asyncio.run(runtimes[name].stop())
