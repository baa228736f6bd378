import random

import pytest

from rhapsody_parsl.wire.codec import Codec
from rhapsody_parsl.wire.messages import FAILED, FromPilot, Goodbye, Hello, Results, Submit
from rhapsody_parsl.wire.piece_messages import Pieces
from rhapsody_parsl.wire.session import Session
from testing.clock import Clock
from testing.line import failure
from testing.nodes import make_spec, make_task
from testing.simulated_pilot import Pilot


@pytest.mark.parametrize("hundred", range(20))
def test_whatever_happens_each_task_has_one_outcome(hundred: int) -> None:
    """`make simulation` runs 100,000 of them."""
    assert not list(filter(None, map(failure, range(100 * hundred, 100 * hundred + 100))))


def test_a_frozen_pilot_sees_a_lost_node_and_a_signal_when_it_goes_on() -> None:
    """It tells of the failed task before its goodbye, which would make the task one that had not begun."""
    clock, told, session = Clock(), list[tuple[float, FromPilot]](), Session()

    def hear(_peer: str, frames: list[bytes]) -> None:
        told.extend((clock.now, Codec[FromPilot](FromPilot).decode(body)) for body in session.receive(frames))

    pilot = Pilot("0", clock, random.Random(0), faults=0.0, hear=hear)  # noqa: S311 - it has to be the same again
    pilot._receive(Submit([make_task(1, make_spec(on_loss="fail"))]))
    while not pilot.block.started:
        clock.step(None, pilot.tick)
        pilot.act()
    pilot.frozen_until = clock.now + 10.0
    pilot.block.freeze(pilot.frozen_until)
    [node] = pilot.block.begun_on[1]
    pilot.once_awake(pilot.lose_node, node)
    pilot.once_awake(pilot.leave, "it was told to by a signal")
    while clock.step(None, pilot.tick):
        pilot.act()
    (_, hello), (when, results), (_, goodbye) = [each for each in told if not isinstance(each[1], Pieces)]
    assert isinstance(hello, Hello)
    assert when >= pilot.frozen_until
    assert isinstance(results, Results)
    assert [(result.id, result.kind) for result in results.results] == [(1, FAILED)]
    assert goodbye == Goodbye("it was told to by a signal", [])
