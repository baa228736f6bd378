"""The tasks for people, of what the driver has and what blocks say."""

from rhapsody_parsl.control.messages import AppTasks
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.task_table import SEVERAL_APPS, Held, table, why_undelivered
from rhapsody_parsl.wire.examination import Examined, LaneReport, TaskPlace
from rhapsody_parsl.wire.totals import Totals
from testing.nodes import make_inventory, make_spec, make_task

TRAIN, SCREEN = make_spec("train"), make_spec("screen")
HELD = Held(
    [make_task(9, TRAIN)], {"0": [make_task(1, TRAIN), make_task(2, SCREEN)], "1": [make_task(3, SCREEN)]}, "no block"
)
EXAMINED = {
    "0": Examined(
        1,
        (LaneReport(app="train", runtime="local", running=1),
         LaneReport(app="screen", runtime="local", waiting=1, oldest=4.0, asks="1 core", why="it waits", service="s")),
        (TaskPlace(task=1, state="running", runtime="local", nodes=("n0",), worker="local-worker-1"),),
    )
}  # fmt: skip


def test_tasks_by_app_with_those_that_have_ended() -> None:
    made = table(HELD, EXAMINED, {"train": Totals(done=5), "gone": Totals(failed=1)}, [])
    assert {row.app: row for row in made.apps} == {
        "train": AppTasks(app="train", undelivered=1, running=1, done=5),
        "screen": AppTasks(app="screen", waiting=2),
        "gone": AppTasks(app="gone", failed=1),
    }
    assert made.silent == ("1",), "its task counts as waiting"


def test_what_waits_and_why() -> None:
    waits = table(HELD, EXAMINED, {}, []).waits
    assert {(wait.app, wait.block, wait.tasks, wait.why, wait.service) for wait in waits} == {
        ("train", "", 1, "no block", ""), ("screen", "0", 1, "it waits", "s"),
    }  # fmt: skip


def test_tasks_one_by_one() -> None:
    views = table(HELD, EXAMINED, {}, [1, 2, 9]).tasks
    assert [(view.task, view.app, view.state, view.block, view.worker) for view in views] == [
        (1, "train", "running", "0", "local-worker-1"), (2, "screen", "delivered", "0", ""),
        (9, "train", "undelivered", "", ""),
    ]  # fmt: skip


def test_only_of_one_app() -> None:
    made = table(HELD, EXAMINED, {"train": Totals(done=5)}, [], app="screen")
    assert [row.app for row in made.apps] == [wait.app for wait in made.waits] == ["screen"]
    assert HELD.of_app("screen") == [2, 3]
    assert HELD.of_app("") == [1, 2, 3, 9]


def test_a_lane_of_many_apps_has_no_name() -> None:
    examined = {"0": Examined(1, (LaneReport(app="", runtime="local", waiting=2),))}
    (row,) = table(Held([], {"0": []}), examined, {}, []).apps
    assert (row.app, row.waiting) == (SEVERAL_APPS, 2)


def test_why_a_task_is_in_no_block() -> None:
    here, leaving, cut = (Block(number, 0.0) for number in "012")
    for block in (here, leaving, cut):
        block.inventory = make_inventory()
    leaving.closing = cut.cut = True
    assert "as much as they are given ahead" in why_undelivered([here, leaving], {})
    assert "is cut" in why_undelivered([cut], {})
    assert "block 1 is leaving" in why_undelivered([leaving], {"1": "running"})
    assert "(2 jobs pending, 1 job running)" in why_undelivered([], {"4": "pending", "5": "pending", "6": "running"})
    assert "none is asked for" in why_undelivered([], {"4": "failed"})
