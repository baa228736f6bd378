"""Which results a process tells who has submitted their tasks, past the pilot, and what is left for the pilot."""

from typing import Any

import pytest

from rhapsody_parsl.wire.codec import INLINE_LIMIT
from rhapsody_parsl.wire.messages import (
    FAILED,
    PROMPT,
    RAISED,
    RESULT,
    ChildrenEnded,
    Done,
    Result,
    SharedPayload,
    SubmitChildren,
)
from rhapsody_parsl.wire.piece_messages import Piece, Pieces
from rhapsody_parsl.worker import line
from rhapsody_parsl.worker.outbox import Outbox

ASKER = ("asker", 5)


class Spoke:
    """Notes what is sent, in order."""

    def __init__(self, has_room: bool = True) -> None:
        self.has_room, self.said = has_room, list[Any]()

    def send(self, message: Any) -> None:
        self.said.append(message)

    def answer(self, peer: str, message: ChildrenEnded) -> bool:
        if self.has_room:
            self.said.append((peer, message))
        return self.has_room


def said(*results: tuple[Result, tuple[str, int] | None], has_room: bool = True) -> list[Any]:
    spoke = Spoke(has_room)
    outbox = Outbox(spoke)  # type: ignore[arg-type]  # all that it needs
    outbox.flush()
    for result, asker in results:
        outbox.put(3, result, asker)
    outbox.flush()
    return spoke.said


@pytest.mark.parametrize("kind", [RESULT, RAISED])
def test_who_asked_is_told_and_then_the_pilot_without_the_payload(kind: int) -> None:
    result = Result(1 << 50, kind, bytes(INLINE_LIMIT), 0.5, 100.0)
    assert said((result, ASKER)) == [
        ("asker", ChildrenEnded([Result(5, kind, bytes(INLINE_LIMIT), 0.5, 100.0, told=3)])),
        Done(3, [Result(1 << 50, kind, b"", 0.5, 100.0, told=3)]),
    ]


@pytest.mark.parametrize("result", [
    Result(7, FAILED, b"x"), Result(7, PROMPT, b"x"), Result(7, RESULT, bytes(INLINE_LIMIT + 1)),
    Result(7, RESULT, SharedPayload("/f", 9)), Result(7, RESULT, b"x", gives=(("3-key", 1),)),
])  # fmt: skip
def test_what_the_pilot_has_to_see_goes_by_it(result: Result) -> None:
    assert said((result, ASKER)) == [Done(3, [result])]


def test_without_room_or_asker_and_in_numbers_results_go_by_the_pilot() -> None:
    plain, other = Result(7, RESULT, b"x"), Result(8, RESULT, b"y")
    assert said((plain, ASKER), has_room=False) == [Done(3, [plain])]
    assert said((plain, None)) == [Done(3, [plain])]
    assert said((plain, None), (other, ASKER)) == [Done(3, [plain, other])]
    first, last = said((plain, ASKER), (other, ASKER))
    assert (first[0], last.results[1]) == ("asker", other), "a worker that is at short tasks sends them together"


def test_pieces_come_before_their_end() -> None:
    spoke = Spoke()
    outbox = Outbox(spoke)  # type: ignore[arg-type]  # all that it needs
    for task in (7, 8):  # side by side
        outbox.send_piece(3, Piece(task, 0, b"p"))
    for task in (7, 8):
        outbox.put(3, Result(task, RESULT, b"x"), ASKER)
        outbox.flush()
    assert [type(message) for message in spoke.said] == [Pieces, Pieces, Done, Done]
    outbox.put(3, Result(7, RESULT, b"x"), ASKER)
    assert spoke.said[-1][0] == "asker", "its next try gave none"


def test_who_is_being_killed_tells_nobody() -> None:
    spoke = Spoke()
    outbox = Outbox(spoke)  # type: ignore[arg-type]  # all that it needs
    outbox.seal()
    outbox.put(3, Result(7, RESULT, b"x"), ASKER)
    assert spoke.said == []


def test_what_a_task_has_heard_comes_before_its_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    spoke = Spoke()
    outbox = Outbox(spoke)  # type: ignore[arg-type]  # all that it needs
    word = SubmitChildren(7, [], heard=(Result(5, RESULT, b"", told=2),))
    monkeypatch.setattr(line.Here, "over", lambda: spoke.send(word))
    outbox.put(3, Result(7, RESULT, b"x"))
    outbox.flush()
    assert [type(message) for message in spoke.said] == [SubmitChildren, Done]
