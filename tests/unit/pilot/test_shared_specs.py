"""Specs of tasks, kept once."""

from rhapsody_parsl.pilot import shared_specs
from rhapsody_parsl.pilot.shared_specs import SharedSpecs
from rhapsody_parsl.wire.messages import Task


def fresh(text: str) -> bytes:
    return text.encode() * 2  # made anew each time


def test_tasks_with_equal_specs_hold_the_same_bytes_and_others_their_own() -> None:
    specs, tasks = SharedSpecs(), [Task(number, fresh(spec), b"") for number, spec in enumerate("aab")]
    specs.share(tasks[:1])
    specs.share(tasks[1:])
    assert tasks[0].spec is tasks[1].spec == b"aa"
    assert tasks[2].spec == b"bb"


def test_many_specs_are_not_kept_for_ever() -> None:
    specs = SharedSpecs()
    for number in range(3 * shared_specs._MOST):
        specs.share([Task(number, b"%d" % number, b"")])
    assert len(specs._known) <= shared_specs._MOST + 1
