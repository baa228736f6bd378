"""Tests of lists, with the block of `test_vllm`: they stand there by name, for an engine takes half a minute."""

from typing import Any

import pytest

from rhapsody_parsl import RhapsodyExecutor, cancel
from rhapsody_parsl.errors import PromptsFailed, ServiceRequestFailed
from testing.waiting import until
from tests.integration.asking import asked, problem, running

GREEDY: dict[str, Any] = {"max_tokens": 4, "temperature": 0}


class TestLists:
    def test_a_list_has_all_that_a_prompt_has(self, executor: RhapsodyExecutor) -> None:
        each = [asked(text, **GREEDY).result() for text in ("hello", "you")]
        assert asked(["hello", "you"], **GREEDY).result() == each
        assert len(asked({"prompt": [[5, 6, 7], [8, 9]], **GREEDY}).result()) == 2
        assert [len(texts) for texts in asked(["hello", "you"], max_tokens=4, n=3).result()] == [3, 3]
        whole = asked(["hello", "you"], full=True, n=2, logprobs=1, ignore_eos=True, max_tokens=4).result()
        assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
        assert all(len(choice["logprobs"]["tokens"]) == 4 for choice in whole["choices"])
        assert whole["usage"]["completion_tokens"] == 16

    @pytest.mark.parametrize("service", ["tiny", "served"])
    def test_a_prompt_that_is_refused_is_told_apart(self, executor: RhapsodyExecutor, service: str) -> None:
        error = problem(["hello", "x" * 9000, "you"], service, **GREEDY)
        assert isinstance(error, PromptsFailed)
        assert list(error.errors) == [1]
        assert "maximum context length is 8192" in str(error)
        assert error.results == [asked("hello", **GREEDY).result(), None, asked("you", **GREEDY).result()]
        error = problem(["hello", "you"], service, temperature=-1)
        assert type(error) is ServiceRequestFailed, "it is the request that is at fault, and no prompt"

    def test_one_that_is_cancelled_leaves_the_engine(self, executor: RhapsodyExecutor) -> None:
        until(lambda: running(executor) == 0)
        many = asked([f"hello {n}" for n in range(8)], max_tokens=6000, ignore_eos=True)
        until(lambda: running(executor) >= 4)
        assert cancel(many)
        until(lambda: running(executor) == 0)

    def test_the_front_door_answers_one_as_it_answers_each(self, executor: RhapsodyExecutor) -> None:
        with executor.openai_client(timeout=60) as client:
            for name in ("tiny", "served"):
                texts = [client.completions.create(model=name, prompt=p, **GREEDY).choices[0].text for p in ("a", "b")]
                listed = client.completions.create(model=name, prompt=["a", "b"], **GREEDY)
                assert [choice.text for choice in listed.choices] == texts
                assert listed.usage is not None
                assert listed.usage.prompt_tokens > 1
            embedded = client.embeddings.create(model="vectors", input=["a", "b", "a"]).data
            assert embedded[0].embedding == pytest.approx(embedded[2].embedding, abs=1e-3)
            assert [one.index for one in embedded] == [0, 1, 2]

    def test_a_long_list_of_texts_has_its_vectors_in_order(self, executor: RhapsodyExecutor) -> None:
        texts = [f"{number} {'words ' * (number % 7)}" for number in range(500)]  # more than a socket holds
        by_app = asked(texts, "vectors", ask="embed").result()
        with executor.openai_client(timeout=60) as client:
            at_the_door = client.embeddings.create(model="vectors", input=texts).data
        assert [one.index for one in at_the_door] == list(range(500))
        for number in range(0, 500, 37):
            alone = pytest.approx(asked(texts[number], "vectors", ask="embed").result(), abs=1e-3)
            assert by_app[number] == alone
            assert at_the_door[number].embedding == alone
        assert by_app[0] != pytest.approx(by_app[1], abs=1e-3), "else the order says nothing"
