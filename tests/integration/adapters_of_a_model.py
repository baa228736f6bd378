"""Tests of adapters, with the block of `test_vllm`: they stand there by name, for an engine takes half a minute."""

from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import InvalidTask, ServiceFailed
from testing.tiny_llama import write_tiny_adapter
from tests.integration.asking import asked, problem


class TestAdapters:
    def test_an_adapter_is_asked_by_its_name(self, executor: RhapsodyExecutor) -> None:
        greedy: dict[str, Any] = {"service": "served", "max_tokens": 8, "temperature": 0}
        plain, poet = (asked("hello", model=name, **greedy).result() for name in ("served", "poet"))
        assert plain != poet == asked("hello", model="poet", **greedy).result()
        with executor.openai_client(timeout=60) as client:
            same = client.completions.create(model="poet", prompt="hello", max_tokens=8, temperature=0)
        assert same.choices[0].text == poet
        assert "`late` does not exist" in str(problem("hello", "served", model="late"))

    def test_an_adapter_of_a_folder_is_loaded_when_it_is_asked(self, executor: RhapsodyExecutor) -> None:
        names = ("vectors", "poet", "late")
        plain, poet, late = (asked("hello", "vectors", ask="embed", model=name).result() for name in names)
        assert all(one != pytest.approx(other, abs=1e-2) for one, other in ((plain, poet), (plain, late), (poet, late)))
        with executor.openai_client(timeout=60) as client:
            for name, same in (("late", late), ("vectors", plain)):
                (one,) = client.embeddings.create(model=name, input="hello", encoding_format="float").data
                assert one.embedding == pytest.approx(same, abs=1e-3)

    def test_adapters_are_loaded_and_unloaded_while_the_engine_runs(
        self, executor: RhapsodyExecutor, tmp_path: Path
    ) -> None:
        served, greedy = executor.services["served"], {"max_tokens": 8, "temperature": 0}
        poet = asked("hello", "served", model="poet", **greedy).result()
        served.unload_adapter("poet")
        assert "`poet` does not exist" in str(problem("hello", "served", model="poet"))
        other = write_tiny_adapter(tmp_path / "other", seed=7)
        served.load_adapter("other", str(other))
        assert asked("hello", "served", model="other", **greedy).result() != poet
        with executor.openai_client(timeout=60) as client:
            assert "other" in {model.id for model in client.models.list()}
            assert client.completions.create(model="other", prompt="hello").choices
        with pytest.raises(ServiceFailed, match="the folder has no adapter_config"):
            served.load_adapter("third", str(tmp_path))
        with pytest.raises(InvalidTask, match="it has other"):
            served.unload_adapter("othr")

    def test_an_adapter_of_a_folder_that_was_unloaded_is_loaded_as_it_is_now(self, executor: RhapsodyExecutor) -> None:
        vectors = executor.services["vectors"]
        ask: dict[str, Any] = {"service": "vectors", "ask": "embed", "model": "late"}
        before = asked("hello", **ask).result()
        write_tiny_adapter(Path(vectors.config.adapters) / "late", seed=8)  # type: ignore[attr-defined]  # a model's
        assert asked("hello", **ask).result() == pytest.approx(before, abs=1e-3)
        vectors.unload_adapter("late")
        assert asked("hello", **ask).result() != pytest.approx(before, abs=1e-2)
        with pytest.raises(InvalidTask, match="each is loaded with the first request"):
            vectors.load_adapter("more", "/nowhere")
        with pytest.raises(InvalidTask, match="its engine was started without adapters"):
            executor.services["tiny"].load_adapter("more", "/nowhere")
