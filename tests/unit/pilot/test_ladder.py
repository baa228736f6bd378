from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.ladder import Ladder
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.shape import Shape
from testing.nodes import make_nodes, make_spec, make_task


def make_ladder(ledger: Ledger, asked: list[tuple[float, float]]) -> tuple[Ladder, list[Shape[Lane]]]:
    """Return a ladder on which a task waits for each memory and claim."""
    ladder, shapes = Ladder(of_gangs=False, least=1), []
    for number, (memory, claim) in enumerate(asked):
        spec = make_spec(memory=memory)
        shape = Shape[Lane](spec, "local", 0, ledger.open)
        lane = Lane(spec, "local", shape)
        lane.join(make_task(number, spec), claim, 0.0)
        shape.add(lane)
        ladder.add(shape)
        shapes.append(shape)
    return ladder, shapes


def test_the_first_claim_of_those_that_fit_is_found_and_of_equal_ones_the_largest() -> None:
    ledger = Ledger(make_nodes(1, cores=2, memory=10.0))
    ladder, shapes = make_ladder(ledger, [(1.0, 5.0), (8.0, 1.0), (2.0, 5.0), (4.0, 7.0)])
    account = ledger.accounts["n0"]
    assert ladder.first_on(account, Part(0), 9.0) == (1.0, shapes[1])
    ledger.acquire("other", [("n0", Part(1, memory=5.0))])
    assert ladder.first_on(account, Part(0), 9.0) == (5.0, shapes[2])
    assert ladder.first_on(account, Part(0), 5.0) is None, "no claim is below"
    assert ladder.first_on(account, Part(0, memory=5.0), 9.0) == (1.0, shapes[1])


def test_a_claim_that_rose_without_a_word_is_looked_at_again() -> None:
    ledger = Ledger(make_nodes(1))
    ladder, shapes = make_ladder(ledger, [(1.0, 1.0), (2.0, 2.0)])
    lane = shapes[0].lanes.first()
    assert lane is not None
    lane.join(make_task(9, lane.spec), 3.0, 0.0)
    lane.take(1)
    ladder.climb()
    assert ladder.bound() == 1.0, "it is known from before"
    assert ladder.front() == (2.0, shapes[1])


def test_in_a_walk_who_finds_no_room_takes_all_larger_ones_along_until_it_is_over() -> None:
    ladder, shapes = make_ladder(Ledger(make_nodes(1)), [(1.0, 3.0), (2.0, 1.0), (4.0, 2.0)])
    ladder.climb()
    assert ladder.front() == (1.0, shapes[1])
    ladder.leave_out(shapes[1])
    assert ladder.front() == (3.0, shapes[0])
    ladder.restore()
    ladder.climb()
    assert ladder.front() == (1.0, shapes[1])


def test_who_waits_no_more_leaves_nothing() -> None:
    ladder, shapes = make_ladder(Ledger(make_nodes(1)), [(1.0, 1.0), (2.0, 2.0)])
    for shape in shapes:
        lane = shape.lanes.first()
        assert lane is not None
        lane.take(1)
    ladder.climb()
    assert ladder.front() is None
    assert ladder.is_unused


def test_on_a_node_who_finds_no_room_takes_all_larger_ones_along() -> None:
    ledger = Ledger(make_nodes(1, memory=10.0))
    ladder, shapes = make_ladder(ledger, [(1.0, 5.0), (2.0, 2.0), (4.0, 1.0), (8.0, 3.0)])
    account = ledger.accounts["n0"]
    assert ladder.first_on(account, Part(0), 9.0, [shapes[2]]) == (2.0, shapes[1])
    assert ladder.first_on(account, Part(0), 9.0, shapes[1:3]) == (5.0, shapes[0])
    assert ladder.first_on(account, Part(0), 9.0, shapes) is None
    assert ladder.first_on(account, Part(0), 9.0) == (1.0, shapes[2]), "it is for once"


def test_who_asks_for_less_leaves_no_rung_behind() -> None:
    ledger = Ledger(make_nodes(1))
    ladder, (small, large) = make_ladder(ledger, [(1.0, 1.0), (9.0, 2.0)])
    for step in range(100):
        assert large.asks(8.9 - step / 100)
        ladder.add(large)
    assert len(ladder._rungs) == 2
    assert ladder.first_on(ledger.accounts["n0"], Part(0), 9.0, [small]) is None
    assert ladder.first_on(ledger.accounts["n0"], Part(0), 9.0) == (1.0, small)
    ladder.climb()
    assert ladder.front() == (1.0, small)
