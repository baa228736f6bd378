from pathlib import Path

import pytest

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.record import RunRecord, read
from rhapsody_parsl.report import requests, tables
from rhapsody_parsl.report.spread import percentile
from rhapsody_parsl.wire.messages import failed
from testing.runs import MadeUp


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    made = MadeUp(tmp_path / "record.msgpack")
    for number in range(1, 101):
        made.ran(number, 1.0 + number, number / 100, name="many", waited="cores" if number > 10 else "nothing")
    made.ran(101, 50.0, 200.0, name="long", waited="nodes")
    for number in (102, 103):
        made.ran(number, 60.0, 1.0, name="bad", make=lambda task: failed(task.id, WorkerLost("worker 1", "signal 9")))
    made.ran(104, 70.0, 2.0, shares=(), service="assistant", name="ask", tokens=80)
    made.recorder.close()
    return read(tmp_path)


def test_the_first_numbers(run: RunRecord) -> None:
    told = tables.summary(run)
    assert (told["tasks"], told["done"], told["lost"], told["cores"], told["nodes"]) == (104, 102, 2, 8, 2)
    assert told["core hours used"] == pytest.approx((50.5 + 200.0) / 3600, rel=0.01)


def test_apps_are_in_the_order_of_what_they_took(run: RunRecord) -> None:
    rows = {row["app"]: row for row in tables.apps(run)}
    assert list(rows)[:2] == ["long", "many"]
    many = rows["many"]
    assert (many["tasks"], many["no value"], rows["bad"]["no value"]) == (100, 0, 2)
    assert (many["p50 s"], many["p99 s"], many["most s"]) == pytest.approx((0.51, 1.0, 1.0), rel=1e-3)
    assert many["wait p50 s"] == pytest.approx(0.5)


def test_failures_are_told_once_each_with_their_words(run: RunRecord) -> None:
    (row,) = tables.failures(run)
    assert (row["outcome"], row["error"], row["how many"], row["apps"], row["first task"]) == (
        "lost", "WorkerLost", 2, "bad", 102,
    )  # fmt: skip
    assert row["words"] == str(WorkerLost("worker 1", "signal 9"))


def test_what_was_waited_for_and_where_the_time_went(run: RunRecord) -> None:
    assert [(row["waited for"], row["tasks"]) for row in tables.causes(run)] == [
        ("cores", 90), ("nothing", 13), ("nodes", 1),
    ]  # fmt: skip
    steps = {row["step"]: row["p50 s"] for row in tables.steps(run)}
    assert steps["queue of the block"] == pytest.approx(0.25)
    assert steps["way of the result"] == pytest.approx(0.01, rel=0.1)


def test_services_tell_their_tokens(run: RunRecord) -> None:
    (row,) = requests.services(run)
    assert (row["service"], row["requests"], row["tokens"], row["tokens/s"]) == (
        "assistant", 1, 80, pytest.approx(40.0),
    )  # fmt: skip
    assert (row["answer p50 s"], row["first p50 s"]) == pytest.approx((2.0, 0.125))


def test_a_service_that_no_app_asked_is_there_with_its_life(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.served(1.0, "llm", "starting", 0)
    made.served(3.0, "llm", "ready", 1)
    made.at(9.0).recorder.close()
    (row,) = requests.services(read(tmp_path))
    assert [row[key] for key in ("service", "state", "ready s", "replicas", "requests")] == ["llm", "ready", 3.0, 1, 0]


def test_the_longest_tasks_and_the_blocks(run: RunRecord) -> None:
    assert tables.slowest(run)[0]["task"] == 101
    (block,) = tables.blocks(run)
    assert (block["block"], block["tasks"], block["left s"]) == ("0", 104, None)


def test_a_run_in_which_nothing_happened_has_tables_too(tmp_path: Path) -> None:
    MadeUp(tmp_path / "record.msgpack").recorder.close()
    run = read(tmp_path)
    assert tables.summary(run)["tasks per second"] == 0.0
    for make in (tables.apps, tables.causes, tables.failures, requests.services, tables.slowest):
        assert make(run) == []
    assert percentile([], 0.5) == 0.0
