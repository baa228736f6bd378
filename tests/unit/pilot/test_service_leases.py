"""What services borrow while the block runs, beside the tasks that wait."""

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.block.context import Loan
from testing.nodes import make_nodes, make_spec
from testing.simulation import Simulation, kinds


def wants(cores: int) -> TaskSpec:
    return TaskSpec(runtime="command", resources=Resources(cores=cores))


def running(*cores: int) -> Simulation:
    """Return a block of one node, whose services lease these cores for its life."""
    block = Simulation(make_nodes(1, cores=4))
    leases = block.under_way.for_services
    for index, count in enumerate(cores):
        assert leases.lend(f"service s[{index}]", wants(count)) is not None
    leases.lasting = False
    leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))
    return block


def test_what_a_service_gives_back_is_the_tasks_at_once_and_in_the_record() -> None:
    block = Simulation(make_nodes(1, cores=4))
    leases = block.under_way.for_services
    loan = leases.lend("service s[0]", wants(3), "s")
    assert loan is not None
    assert block.core.ledger.at_best().accounts["n0"].free_cores == 1
    leases.lasting = False
    leases.on_change = lambda: block.core.room_changed(block.now)
    block.at(1.0, loan.give_back)
    block.submit(make_spec(cores=4), 1, when=1.5)
    block.run()
    assert kinds(block) == {1: "ok"}
    record = block.records[0]
    assert (record.name, record.ended > 0) == ("service s[0]", True)
    assert block.under_way.lender.home("s") == ""


def test_a_task_waits_for_what_a_service_may_give_back() -> None:
    block = running()
    loan = block.under_way.for_services.lend("service s[0]", wants(3))
    assert loan is not None
    block.submit(make_spec(cores=4), 1)
    block.at(5.0, loan.give_back)
    block.run()
    assert kinds(block) == {1: "ok"}
    assert block.started[1][0] >= 5


def test_who_waits_for_a_lease_comes_before_tasks_that_wait() -> None:
    block = running()
    granted: list[tuple[float, Loan]] = []
    block.submit(make_spec(cores=1), *range(40))
    leases = block.under_way.for_services

    def ask() -> None:
        leases.ask("service s[0]", wants(3), "s", lambda loan: granted.append((block.now, loan)))

    block.at(1.0, ask)
    block.run(until=30)
    ((when, loan),) = granted
    assert when < 4, "as soon as three of the tasks that run have ended"
    assert len(loan.placed[0].share.cores) == 3
    assert not leases.wanted
    block.run()
    assert len(block.ended) == 40


def test_a_wish_that_is_withdrawn_keeps_nothing_free() -> None:
    block = running()
    block.submit(make_spec(cores=1), *range(8))
    leases = block.under_way.for_services

    def ask() -> None:
        block.at(1.2, leases.ask("service s[0]", wants(4), "s", lambda _: None))

    block.at(0.9, ask)
    block.run(until=1.1)
    assert leases.closed == {"n0"}
    block.run()
    assert len(block.ended) == 8
    assert not leases.closed


def test_what_a_block_can_never_lend_is_said_and_takes_nothing() -> None:
    leases = running(1).under_way.for_services
    assert leases.lack(wants(1), 3) == ""
    assert leases.lack(wants(1), 3) == ""
    assert leases.lack(wants(2), 2).startswith("it has room for 1 of them at most, for it asks 2 cores")
