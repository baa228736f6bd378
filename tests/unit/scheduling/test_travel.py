import base64
import pickle
from typing import Any

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.travel import packed, unpacked
from testing import policies


class Here:
    class Inner(policies.Shortest):
        pass


class Main(policies.Shortest):
    pass


Main.__module__ = "__main__"


class TooLarge(policies.Shortest):
    def __init__(self) -> None:
        self.text = "x" * 100_000


@pytest.mark.parametrize(("name", "kind"), [("fifo", Fifo), ("easy", Easy), ("fair", Fair)])
def test_a_name_is_a_policy(name: str, kind: type) -> None:
    assert type(unpacked(packed(name), 60.0)) is kind


def test_the_ageing_of_the_executor_is_that_of_the_named_ones() -> None:
    policy = unpacked(packed("easy"), 7.0)
    assert isinstance(policy, Easy)
    assert policy.ageing == 7.0


def test_an_object_arrives_as_it_was() -> None:
    policy = unpacked(packed(Fair(by="labels", backfill=False)), 60.0)
    assert isinstance(policy, Fair)
    assert (policy.by, policy.backfill) == ("labels", False)
    assert isinstance(unpacked(packed(policies.Shortest()), 60.0), policies.Shortest)


@pytest.mark.parametrize(("given", "says"), [
    ("easi", "easy"),
    (3, "an object with `claim`"),
    (Fifo, "an object with `claim`"),
    (Main(), "Move the class to the top level of a module"),
    (Here.Inner(), "a block cannot import it from where it is"),
    (policies.Open(), "it cannot be pickled"),
    (policies.Endless(), "`claim` returned nan"),
    (policies.Silent(), "`claim` returned None, and a number is needed"),
    (policies.Undecided(), "`backfill` raised LookupError"),
    (TooLarge(), "65536 are allowed"),
])  # fmt: skip
def test_what_cannot_travel_is_refused_with_the_remedy(given: Any, says: str) -> None:
    with pytest.raises(InvalidTask, match="scheduling") as caught:
        packed(given)
    assert says in str(caught.value)


def test_a_policy_that_fails_is_refused() -> None:
    class Failing(policies.Shortest):
        def claim(self, task: Any, arrival: float, queue: Any) -> float:
            raise KeyError("weight")

    Failing.__qualname__ = "Failing"
    with pytest.raises(InvalidTask, match="raised KeyError"):
        packed(Failing())


def test_a_module_that_is_not_there_is_named() -> None:
    text = packed(policies.Shortest()).partition(" ")[0]
    gone = pickle.dumps(policies.Shortest()).replace(b"testing.policies", b"testing.policieZ")

    with pytest.raises(InvalidTask, match="the block cannot have it"):
        unpacked(f"{text} {base64.b64encode(gone).decode()}", 60.0)
