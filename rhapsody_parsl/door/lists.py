"""A list of prompts at the door: its parts go to replicas as requests of their own, and come back as one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from rhapsody_parsl.door.call import Call
from rhapsody_parsl.door.refusal import Refusal
from rhapsody_parsl.door.visits import current
from rhapsody_parsl.prompt_lists import joined

__all__ = ("Answered", "answer_list")

_AT_ONCE = 2048
"""Parts of one list that are asked, or wait, at once: the places of those that wait are for others too."""
_AT_FAULT = 400


class Answered(NamedTuple):
    """What a replica answered.

    Attributes:
        status: HTTP's.
        body: All of it.
        replica: Its name.
    """

    status: int
    body: bytes
    replica: str


class _Failed(Exception):  # noqa: N818 - named for what happened
    """A part was not answered: so the list is not, as OpenAI has it."""

    def __init__(self, answer: Answered, part: Call) -> None:
        super().__init__()
        self.answer, self.part = answer, part


async def answer_list(parts: Sequence[Call], ask: Callable[[Call], Awaitable[Answered]]) -> web.Response:
    """Return one answer to all parts; with the first that fails, nothing more is asked, and that is the answer.

    Args:
        parts: Of a list, in order.
        ask: Returns what a replica answers.

    Raises:
        Refusal: None can answer.
    """
    answers: list[Answered] = [Answered(0, b"", "")] * len(parts)
    waiting = iter(range(len(parts)))

    async def one_after_the_other(places: Iterator[int]) -> None:
        for place in places:
            answers[place] = answer = await ask(parts[place])
            if answer.status >= _AT_FAULT:
                raise _Failed(answer, parts[place])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(parts))):
                group.create_task(one_after_the_other(waiting))
    except* (_Failed, Refusal) as failed:
        problem = failed.exceptions[0]
    else:
        return _response(200, _joined(answers), answers)
    if isinstance(problem, _Failed):
        return _response(problem.answer.status, _told(problem), [problem.answer])
    raise problem


def _joined(answers: Sequence[Answered]) -> bytes:
    try:
        parts = [msgspec.json.decode(answer.body, type=dict[str, Any]) for answer in answers]
        return msgspec.json.encode(joined(parts))
    except (msgspec.DecodeError, TypeError, AttributeError) as problem:
        raise Refusal(502, f"A replica's answer to a part of the list cannot be read: {problem}") from None


def _told(failed: _Failed) -> bytes:
    """Return a replica's error, with the place of the prompts in the list."""
    body = failed.answer.body
    try:
        told = msgspec.json.decode(body)
        told["error"]["message"] = f"{failed.part.place}: {told['error']['message']}"
    except (msgspec.DecodeError, LookupError, TypeError):
        return body
    return msgspec.json.encode(told)


def _response(status: int, body: bytes, answers: Sequence[Answered]) -> web.Response:
    names = ", ".join(dict.fromkeys(answer.replica for answer in answers))
    headers = {"X-Rhapsody-Replica": names}
    current().began(status, body, stream=False)
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
