import asyncio

from rhapsody_parsl.runtimes.vllm.live_adapters import LiveAdapters


class Engine:
    """Notes what it is told; it takes no adapter of a folder named `bad`, and dies of `worse`."""

    def __init__(self, named: dict[str, str] | str) -> None:
        self.told: list[str] = []
        self.adapters = LiveAdapters(named, self.load, self.unload)

    async def load(self, name: str, folder: str) -> str:
        self.told.append(f"+{name}={folder}")
        if folder == "worse":
            raise OSError("no memory")
        return "its rank is too large" if folder == "bad" else ""

    async def unload(self, name: str) -> None:
        self.told.append(f"-{name}")

    def become(self, wanted: dict[str, str] | None, *unload: str) -> list[str]:
        self.told.clear()
        asyncio.run(self.adapters.become(wanted, unload))
        return self.told


def test_only_what_is_otherwise_is_told() -> None:
    engine = Engine({"a": "/a", "b": "/b"})
    assert engine.become({"a": "/a", "b": "/b"}) == []
    assert engine.become({"b": "/b2", "c": "/c"}, "a") == ["-a", "-b", "+b=/b2", "+c=/c"]
    assert engine.become({"b": "/b2", "c": "/c"}) == []
    assert engine.become({}) == ["-b", "-c"]


def test_an_engine_that_finds_them_by_itself_only_forgets() -> None:
    engine = Engine("/folder")
    assert engine.become(None, "late") == ["-late"]
    assert engine.become(None) == []


def test_who_asks_for_one_that_was_not_loaded_is_told_why() -> None:
    engine = Engine({})
    engine.become({"a": "bad", "b": "worse", "c": "/c"})
    assert engine.adapters.refusal("a") == "the adapter 'a' could not be loaded: its rank is too large"
    assert engine.adapters.refusal("b") == "the adapter 'b' could not be loaded: OSError: no memory"
    assert not engine.adapters.refusal("c")
    assert not engine.adapters.refusal(None)
    engine.become({"a": "/a"})
    assert not engine.adapters.refusal("a")
