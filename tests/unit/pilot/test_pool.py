import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rhapsody_parsl.annotations.resources import Part
from rhapsody_parsl.pilot.account import Account
from rhapsody_parsl.pilot.demand import Demand
from rhapsody_parsl.pilot.ledger import Lease, Ledger
from rhapsody_parsl.pilot.levels import Levels, emptiest_first, fullest_first
from rhapsody_parsl.pilot.pool import Pool, Room
from rhapsody_parsl.pilot.scheduler import place
from testing.nodes import make_node, make_nodes, make_spec

ASKED: list[dict[str, Any]] = [
    {},
    {"cores": 3},
    {"gpus": 0.5},
    {"gpus": 2},
    {"memory": 40},
    {"labels": ["big"]},
    {"placement": "exclusive", "labels": ["big"]},
    {"num_nodes": 2},
    {"runtime": "mpi", "num_nodes": 2, "ranks_per_node": 2, "gpus_per_rank": 0.5},
    {"runtime": "mpi", "num_ranks": 5, "memory": 20},
]


def make_block() -> Ledger:
    sizes = [(4, 0), (4, 2), (6, 2), (2, 0), (4, 2)]
    labels: list[tuple[str, ...]] = [("big",), (), ("big",), (), ()]
    nodes = [make_node(f"n{n}", cores, gpus, labels=labels[n]) for n, (cores, gpus) in enumerate(sizes)]
    return Ledger(nodes)


def holding(pool: Pool, demand: Demand) -> dict[str, int]:
    """Look at every node."""
    found = {a.node.name: demand.holds(a) for a in pool if not a.away}
    return {name: holds for name, holds in found.items() if holds}


def check(ledger: Ledger, rooms: list[tuple[Pool, Room]]) -> None:
    for pool, room in rooms:
        demand, naive = room.demand, holding(pool, room.demand)
        assert {a.node.name for a in emptiest_first([room.levels], demand.least)} == set(naive)
        order = [a.free_cores for a in fullest_first([room.levels], demand.least)]
        assert order == sorted(order)
        if not demand.per_rank:
            assert room.available(99) == len(naive)
        else:
            assert room.available(99) >= sum(naive.values())
    assert sum(len(pool) for pool in (ledger.open, *ledger.kept)) == len(ledger.accounts)


@given(st.integers(0, 10**9))
def test_an_index_agrees_with_a_look_at_every_node(seed: int) -> None:
    """Nodes are lent, returned, lost, found again, kept and kept no more, in any order."""
    dice, ledger = random.Random(seed), make_block()  # noqa: S311 - it has to be the same again
    out: list[Lease] = []
    rooms = [(ledger.open, ledger.open.room(Demand(make_spec(**keys)))) for keys in ASKED]
    for _, room in rooms:
        room.demand.plain = False
        room.index()
    for _ in range(40):
        action = dice.randrange(6)
        if action <= 1:
            placing = place(make_spec(**dice.choice(ASKED)), ledger)
            lease = ledger.acquire("x", placing) if placing else None
            out += [lease] if lease else []
        elif action == 2 and out:
            ledger.release(out.pop(dice.randrange(len(out))))
        elif action == 3:
            ledger.set_away(f"n{dice.randrange(5)}", away=dice.random() < 0.5)
        elif action == 4:
            ledger.keep(dice.sample(list(ledger.open), min(len(ledger.open), dice.randrange(3))))
        elif ledger.kept:
            ledger.open_up(dice.choice(ledger.kept))
        check(ledger, rooms)


@given(st.integers(0, 10**9))
def test_a_search_finds_room_where_a_look_at_every_node_does(seed: int) -> None:
    dice, ledger = random.Random(seed), make_block()  # noqa: S311 - it has to be the same again
    for _ in range(30):
        spec = make_spec(**dice.choice(ASKED))
        demand = Demand(spec)
        enough = sum(holding(ledger.open, demand).values()) >= demand.needs
        placing = place(spec, ledger)
        assert (placing is not None) == enough
        if placing:
            ledger.acquire("x", placing)
        if dice.random() < 0.5 and ledger.leases:
            ledger.release(dice.choice(ledger.leases))


def test_a_search_that_meets_many_useless_nodes_has_them_indexed() -> None:
    nodes = [*make_nodes(100), make_node("gpu", gpus=1)]
    ledger = Ledger(nodes)
    demand = Demand(make_spec(gpus=1))
    room = ledger.open.room(demand)
    assert room.available(999) == 101
    assert place(make_spec(gpus=1), ledger, demand=demand, rooms=[room]) is not None
    assert [account.node.name for account in emptiest_first([room.levels], 0)] == ["gpu"]
    for _ in range(3000):
        lease = ledger.acquire("x", [("n0", make_spec().resources.single())])
        assert lease is not None
        ledger.release(lease)
    assert room.available(999) == 101, "nobody asked for long"


def test_those_who_ask_the_same_of_a_node_have_one_room() -> None:
    pool = Pool(Account(node, number) for number, node in enumerate(make_nodes(3)))
    gangs = [pool.room(Demand(make_spec(num_nodes=count))) for count in (1, 2, 3)]
    assert gangs[0] is gangs[1] is gangs[2]
    assert pool.room(Demand(make_spec())) is not gangs[0]


def test_a_change_costs_nothing_where_nobody_looks() -> None:
    """A block has an index for each amount of memory that waits; only those are kept up that somebody asks."""
    ledger, looks = Ledger(make_nodes(3)), list[str]()

    def holds(account: Account) -> bool:
        looks.append(account.node.name)
        return account.free_cores > 1

    levels = Levels(ledger.open.book, holds)
    assert list(fullest_first([levels.now()], 0)) == list(ledger.open)
    looks.clear()
    for _ in range(100):
        ledger.acquire("x", [("n1", Part(3))])
        ledger.release(ledger.leases[0])
    ledger.acquire("x", [("n2", Part(3))])
    assert not looks
    assert [account.node.name for account in emptiest_first([levels.now()], 0)] == ["n0", "n1"]
    assert looks == ["n1", "n2"], "each node that has changed, once"
