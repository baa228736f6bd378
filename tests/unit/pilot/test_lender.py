from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.lane import ActiveRun, Lane
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.pool import Pool
from rhapsody_parsl.pilot.shape import Shape
from rhapsody_parsl.runtimes.protocol import Run
from testing.nodes import make_nodes, make_spec


def test_each_use_of_a_lease_is_a_line_of_the_record() -> None:
    ledger, spec, seconds = Ledger(make_nodes(1)), make_spec(), iter(range(10))
    lender = Lender(ledger, lambda: next(seconds))
    lent = lender.lend(spec)
    assert lent is not None
    active = ActiveRun(Run(1, spec, lent[1]), Lane(spec, "local", Shape(spec, "local", 0, Pool())), lent[0], 0.0)
    lender.begin(active, "app")
    active.total += 3
    lender.pause(active)
    lender.pause(active)
    lender.begin(active, "app")
    active.total += 2
    lender.release(active)
    assert [(r.began, r.ended, r.tasks) for r in lender.take_closed()] == [(0, 1, 3), (2, 3, 2)]
    assert lender.take_closed() == []
    assert ledger.leases == []


def test_what_does_not_fit_or_is_closed_is_not_lent() -> None:
    ledger, demand = Ledger(make_nodes(2, cores=1)), Demand(make_spec())
    lender = Lender(ledger, lambda: 0.0)
    ledger.keep([ledger.accounts["n0"]])
    assert lender.lend(make_spec(), demand, [ledger.keep([]).room(demand)]) is None
    assert lender.lend(make_spec(), demand, [ledger.open.room(demand)]) is not None
    assert lender.lend_to_service("llm", TaskSpec(resources=Resources(cores=2)), "", lasting=True) is None
    assert lender.services == []


def test_what_a_service_holds_is_its_runtimes_in_the_record() -> None:
    lender = Lender(Ledger(make_nodes(1)), lambda: 7.0)
    lender.lend_to_service("llm", TaskSpec(runtime="mine", resources=Resources(cores=2)), "", lasting=True)
    (record,) = lender.services
    assert (record.runtime, record.name, record.began) == ("mine", "llm", 7.0)


def test_tasks_near_a_service_go_to_its_node() -> None:
    lender = Lender(Ledger(make_nodes(3, cores=1)), lambda: 0.0)
    lender.lend(make_spec())
    parts = lender.lend_to_service("llm", TaskSpec(resources=Resources(cores=0)), "llm", lasting=True)
    assert parts is not None
    lent = lender.lend(make_spec(near="llm", cores=0, placement="spread"))
    assert lent is not None
    assert lent[1][0].node == parts[1][0].node
    assert [record.name for record in lender.services] == ["llm"]
