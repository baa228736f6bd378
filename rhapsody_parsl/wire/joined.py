"""The results of a list of prompts, each of which was asked by itself, as the one result of their task."""

from collections.abc import Sequence
from typing import Any

import msgspec

from rhapsody_parsl.errors import PromptsFailed
from rhapsody_parsl.wire.messages import FAILED, JOINED, PARTLY, Result
from rhapsody_parsl.wire.times import RequestTimes

__all__ = ("Answers", "decode_answers", "failure", "joined")


class Answers(msgspec.Struct, array_like=True, frozen=True):
    """What a result of kind JOINED or PARTLY holds.

    Attributes:
        service: Who was asked.
        full: Whether the answers are whole responses.
        answers: Of each prompt in order: what RESULT or FAILED holds, after that word.
    """

    service: str
    full: bool
    answers: list[tuple[int, bytes]]


decode_answers = msgspec.msgpack.Decoder(Answers).decode


def joined(task: int, service: str, full: bool, results: Sequence[Result]) -> Result:
    """Return the result of a task.

    Args:
        task: Its number.
        service: Who was asked.
        full: Whether the answers are whole responses.
        results: Of its prompts, in order; one alone is the result.
    """
    first = results[0]
    if len(results) == 1:
        return msgspec.structs.replace(first, id=task)
    failures = [result for result in results if result.kind == FAILED]
    request = _times(results)
    if len(failures) == len(results) and all(result.payload == first.payload for result in results):
        return msgspec.structs.replace(first, id=task, request=request)
    answers = [(result.kind, result.payload) for result in results]
    ended = max(result.ended for result in results)
    seconds = max(0.0, ended - request.asked) if request.asked else 0.0
    kind, payload = PARTLY if failures else JOINED, msgspec.msgpack.encode((service, full, answers))
    return Result(task, kind, payload, seconds, ended, request)


def _times(results: Sequence[Result]) -> RequestTimes:
    """Return when the first was asked and gave its first token, the tokens of all, and by whom they were answered."""
    times = [result.request for result in results if result.request]
    asked = min((one.asked for one in times if one.asked), default=0.0)
    first = min((one.asked + one.first for one in times if one.first), default=asked)
    names = dict.fromkeys(one.replica for one in times if one.replica)
    prompt, tokens = sum(one.prompt for one in times), sum(one.tokens for one in times)
    return RequestTimes(asked, first - asked, prompt, tokens, ",".join(names))


def failure(told: Answers, results: Sequence[Any]) -> PromptsFailed:
    """Return the error of a result of kind PARTLY.

    Args:
        told: What it holds.
        results: The answers; None for a prompt that failed.
    """
    problems = [
        (index, *msgspec.msgpack.decode(payload))
        for index, (kind, payload) in enumerate(told.answers)
        if kind == FAILED
    ]
    return PromptsFailed(told.service, list(results), problems)
