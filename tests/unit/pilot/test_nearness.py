"""Where a task goes that takes values by reference."""

from collections import Counter
from typing import Any

import msgspec

from rhapsody_parsl.annotations.task_spec import decode_spec
from rhapsody_parsl.pilot.ledger import Ledger
from rhapsody_parsl.pilot.lender import Lender
from rhapsody_parsl.pilot.nearness import Nearness
from rhapsody_parsl.wire.messages import Task
from testing.nodes import make_node, make_nodes, make_spec, make_task

MB = 1 << 20
LIE: dict[str, list[str]] = {"one": ["n1"], "two": ["n2"], "all": ["", "n1", "n2"], "some": ["", "n2"]}


def preferred(*takes: tuple[str, int], nodes: Any = None, **keys: Any) -> str:
    near = Nearness(nodes or make_nodes(3), lambda key: LIE.get(key, ()))
    (task,) = near.near([taking(*takes, **keys)])
    return decode_spec(task.spec).policy.near


def taking(*takes: tuple[str, int], number: int = 1, **keys: Any) -> Task:
    return msgspec.structs.replace(make_task(number, make_spec(**keys)), takes=takes)


def test_most_bytes_decide() -> None:
    assert preferred(("one", 2 * MB), ("two", 3 * MB)) == "n2"
    assert preferred(("one", 2 * MB), ("one", 2 * MB), ("two", 3 * MB)) == "n1"
    assert preferred(("one", 2 * MB), ("some", 3 * MB), ("two", MB)) == "n2"


def test_a_service_is_near_values_as_a_task_is() -> None:
    near = Nearness(make_nodes(3), lambda key: LIE.get(key, ()))
    assert near.nearest({"one": 2 * MB, "two": 3 * MB}) == "n2"
    assert near.nearest({"one": 1000}) == near.nearest({"nowhere": 9 * MB}) == near.nearest({}) == ""
    assert Nearness([make_node("a")] * 2, lambda _: [""]).nearest({"one": 2 * MB}) == ""


def test_where_it_is_no_matter_nothing_is_preferred() -> None:
    assert preferred(("one", 1000)) == ""
    assert preferred(("all", 9 * MB)) == ""
    assert preferred(("nowhere", 9 * MB)) == ""
    assert preferred() == ""


def test_what_the_user_says_stays() -> None:
    assert preferred(("one", 2 * MB), near="mine") == "mine"
    assert preferred(("one", 2 * MB), placement="spread") == ""


def test_one_host_costs_nothing() -> None:
    tasks = [taking(("one", 2 * MB))]
    assert Nearness([make_node("a")] * 2, lambda _: [""]).near(tasks) is tasks


def test_hosts_that_have_it_all_take_turns_and_so_do_their_nodes() -> None:
    nodes = [msgspec.structs.replace(make_node(name), host=name[0]) for name in ("a1", "a2", "b1", "b2", "c1")]
    near = Nearness(nodes, lambda _: ["", "b"])
    told = near.near([taking(("v", 2 * MB), number=number) for number in range(40)])
    assert Counter(decode_spec(task.spec).policy.near for task in told) == dict.fromkeys(("a1", "a2", "b1", "b2"), 10)


def test_the_node_is_taken_while_it_has_room_and_else_another() -> None:
    lender = Lender(Ledger(make_nodes(3, cores=2)), lambda: 0.0)
    near = Nearness(make_nodes(3), lambda key: LIE[key])
    (task,) = near.near([taking(("two", 2 * MB))])
    (gang,) = near.near([taking(("two", 2 * MB), runtime="mpi", ranks=2)])
    lent = [lender.lend(decode_spec(each.spec)) for each in (gang, task, task)]
    assert [placed[0].node.name for each in lent if each for placed in [each[1]]] == ["n2", "n0", "n0"]
