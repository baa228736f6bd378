"""What services borrow while the block runs, beside the tasks that wait."""

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.in_block.context import Loan
from rhapsody_parsl.pilot.backlog import Backlog
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.reservations import Reservations
from rhapsody_parsl.scheduling.fifo import Fifo
from testing.nodes import make_nodes, make_spec, make_task
from testing.simulation import FakeRuntime, Simulation, kinds


def wants(cores: int) -> TaskSpec:
    return TaskSpec(runtime="command", resources=Resources(cores=cores))


def kept(block: Simulation) -> list[str]:
    return [account.node.name for pool in block.core.ledger.kept for account in pool]


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
    assert kept(block) == ["n0"]
    block.run()
    assert len(block.ended) == 8
    assert not kept(block)


def test_what_a_block_can_never_lend_is_said_and_takes_nothing() -> None:
    leases = running(1).under_way.for_services
    assert leases.lack(wants(1), 3) == ""
    assert leases.lack(wants(1), 3) == ""
    assert leases.lack(wants(2), 2).startswith("it has room for 1 of them at most, for it asks 2 cores")


def pools(block: Simulation) -> list[set[str]]:
    return [{account.node.name for account in pool} for pool in block.core.ledger.kept]


def ask(block: Simulation, cores: int, when: float, granted: list[Loan]) -> None:
    def happen() -> None:
        block.under_way.for_services.ask("service s[0]", wants(cores), "s", granted.append)

    block.at(when, happen)


def with_nodes(count: int) -> Simulation:
    block = Simulation(make_nodes(count, cores=4), {"local": FakeRuntime(), "mpi": FakeRuntime()})
    leases = block.under_way.for_services
    leases.lasting = False
    leases.on_change = lambda: block.at(block.now, lambda: block.core.room_changed(block.now))
    return block


def test_a_replica_comes_before_a_gang_that_has_nodes_kept_free_and_the_gang_follows() -> None:
    block, granted = with_nodes(2), list[Loan]()
    block.seconds.update({1: 20.0, 2: 30.0, 3: 1.0})
    block.submit(make_spec(cores=4), 1, 2)
    block.submit(make_spec("gang", runtime="mpi", num_nodes=2, ranks_per_node=4, num_ranks=8), 3, when=1.0)
    block.run(until=10)
    assert pools(block) == [{"n0", "n1"}]
    ask(block, 4, 11.0, granted)
    block.run(until=15)
    assert pools(block)[0] in ({"n0"}, {"n1"})
    block.run(until=25)
    (loan,) = granted
    assert loan.placed[0].node.name == block.begun_on[1][0], "the node that was free first"
    block.at(40.0, loan.give_back)
    block.run()
    assert kinds(block) == {1: "ok", 2: "ok", 3: "ok"}
    assert block.started[3][0] >= 40


def test_a_gang_has_its_nodes_kept_free_again_when_a_replica_is_given_up() -> None:
    block = with_nodes(2)
    block.seconds.update({1: 20.0, 2: 30.0})
    block.submit(make_spec(cores=4), 1, 2)
    block.submit(make_spec("gang", runtime="mpi", num_nodes=2, ranks_per_node=4, num_ranks=8), 3, when=1.0)
    leases = block.under_way.for_services
    block.at(10.0, lambda: block.at(12.0, leases.ask("service s[0]", wants(4), "s", lambda _: None)))
    block.run(until=11)
    assert {"n0", "n1"} not in pools(block)
    block.run(until=13)
    assert pools(block) == [{"n0", "n1"}]
    assert not leases.wanted
    block.run()
    assert kinds(block)[3] == "ok"


def test_a_gang_does_not_wait_for_a_node_that_a_service_holds() -> None:
    block = with_nodes(3)
    assert block.under_way.for_services.lend("service s[0]", wants(4)) is not None
    block.submit(make_spec(cores=1), *range(8))
    block.submit(make_spec(cores=1), *range(8, 200), when=0.6)
    gang = make_spec("gang", runtime="mpi", num_nodes=2, ranks_per_node=4, num_ranks=8)
    block.submit(gang, 1000, when=0.5)
    block.run()
    assert block.started[1000][0] < 10, "small tasks do not use up the nodes that it can have"
    assert len(block.ended) == 201


def test_replicas_wait_in_order_and_each_keeps_its_own_node() -> None:
    block, granted = with_nodes(2), list[Loan]()
    block.seconds.update(dict.fromkeys(range(100), 0.5))
    block.submit(make_spec(cores=1), *range(100))
    for when in (1.1, 1.2):
        ask(block, 4, when, granted)
    block.run(until=1.3)
    assert pools(block) in ([{"n0"}, {"n1"}], [{"n1"}, {"n0"}])
    block.run(until=2.2)
    assert {loan.placed[0].node.name for loan in granted} == {"n0", "n1"}
    assert not pools(block)
    for loan in granted:
        block.at(3.0, loan.give_back)
    block.run()
    assert len(block.ended) == 100


def test_a_run_takes_no_memory_that_is_kept_for_a_replica() -> None:
    ledger = Ledger(make_nodes(1, cores=4, memory=10.0))
    backlog = Backlog(ledger, {"local": FakeRuntime()}, default_runtime="local", windows={}, scheduling=Fifo())
    shape = backlog.put(make_task(1, make_spec()), 0.0).shape
    claims = Reservations(ledger, backlog, {"local"})
    assert not claims.keeps("n0", shape)
    ledger.keep([ledger.accounts["n0"]])
    assert claims.keeps("n0", shape)
