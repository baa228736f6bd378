"""The results of a list of prompts as one."""

from typing import Any

import msgspec

from rhapsody_parsl.errors import PayloadError, PromptsFailed, RequestKilledEngine, ServiceRequestFailed
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.record.failures import Failures
from rhapsody_parsl.wire.joined import joined
from rhapsody_parsl.wire.messages import FAILED, JOINED, PARTLY, RESULT, Result, failed
from rhapsody_parsl.wire.times import RequestTimes
from rhapsody_parsl.worker.call import pack


def answer(number: int, value: Any, *, at: float = 100.0, replica: str = "s-0") -> Result:
    times = RequestTimes(at, first=0.5, prompt=2, tokens=3, replica=replica)
    return msgspec.structs.replace(pack(number, value, 1.0), ended=at + 2, request=times)


def test_one_answer_is_the_tasks() -> None:
    one = answer(77, "text")
    assert joined(5, "s", False, [one]) == msgspec.structs.replace(one, id=5)


def test_answers_are_in_order_and_counted_together() -> None:
    whole = joined(5, "s", False, [answer(1, "a", at=103.0), answer(2, "b", replica="s-1"), answer(3, "c")])
    assert (whole.id, whole.kind, whole.outcome, whole.ended, whole.seconds) == (5, JOINED, "done", 105.0, 5.0)
    assert whole.request == RequestTimes(100.0, first=0.5, prompt=6, tokens=9, replica="s-0,s-1")
    assert open_result(whole) == (["a", "b", "c"], None)


def test_whole_responses_are_one_response() -> None:
    parts = [{"choices": [{"index": 0, "text": text}], "usage": {"prompt_tokens": 2}} for text in "ab"]
    value, _ = open_result(joined(5, "s", True, [answer(n, part) for n, part in enumerate(parts)]))
    choices = [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}]
    assert value == {"choices": choices, "usage": {"prompt_tokens": 4}}


def test_one_that_fails_is_told_apart_from_the_others() -> None:
    refused, killed = ServiceRequestFailed("s", "too long"), RequestKilledEngine("s", 3, "it died", "words")
    results = [answer(1, "a"), failed(2, refused), answer(3, "c"), failed(4, killed)]
    whole = joined(5, "s", False, results)
    assert (whole.kind, whole.outcome) == (PARTLY, "failed")
    value, error = open_result(whole)
    assert value is None
    assert isinstance(error, PromptsFailed)
    assert error.results == ["a", None, "c", None]
    assert {place: type(one) for place, one in error.errors.items()} == {1: type(refused), 3: type(killed)}
    assert [str(one) for one in error.errors.values()] == [str(refused), str(killed)]
    assert str(error).startswith(f"Service 's' did not answer 2 of 4 prompts of a list. Prompt 1: {refused}")
    noted: list[Any] = []
    Failures(noted.append).of_result(whole)
    assert (noted[0].name, noted[0].words) == ("PromptsFailed", str(error)[:300])


def test_where_all_fail_alike_it_is_that_error() -> None:
    whole = joined(5, "s", False, [failed(n, ServiceRequestFailed("s", "no 'temprature'")) for n in range(3)])
    assert (whole.id, whole.kind) == (5, FAILED)
    assert isinstance(open_result(whole)[1], ServiceRequestFailed)
    assert not isinstance(open_result(whole)[1], PromptsFailed)


def test_an_answer_that_cannot_be_opened_fails_and_does_not_hang() -> None:
    whole = joined(5, "s", False, [answer(1, "a"), Result(2, RESULT, b"no pickle")])
    assert isinstance(open_result(whole)[1], PayloadError)
