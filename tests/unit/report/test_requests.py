from pathlib import Path

import pytest

from rhapsody_parsl.record import RunRecord, read
from rhapsody_parsl.report import requests, tables
from rhapsody_parsl.report.bars import timeline
from rhapsody_parsl.report.page import data_of
from rhapsody_parsl.report.series import Bins
from rhapsody_parsl.report.table import requests_table
from testing.runs import BEGAN, MadeUp


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 2.0, 2.0, shares=(), service="assistant", name="ask", tokens=80)
    for came in (2.0, 3.0, 4.0):
        made.asked(came, 2.0, key="carol", tokens=40)
    made.asked(5.0, 1.0, end="failed", error="HTTP 400", words="a bad prompt")
    made.asked(6.0, 1.0, service="", end="refused", error="model_not_found", words="no 'x'", had=False)
    made.at(10.0).recorder.close()
    return read(tmp_path)


def test_a_service_has_a_row_for_those_of_apps_and_one_for_the_front_door(run: RunRecord) -> None:
    by_apps, at_door = requests.services(run)
    assert (by_apps["asked by"], by_apps["requests"], by_apps["tokens"]) == ("apps", 1, 80)
    assert (at_door["asked by"], at_door["requests"], at_door["no answer"]) == ("front door", 4, 1)
    assert (at_door["tokens"], at_door["prompt"]) == (120, 40)
    assert at_door["tokens/s"] == pytest.approx(120 / 3.75)
    assert (at_door["wait p50 s"], at_door["answer p99 s"]) == pytest.approx((0.25, 1.75))
    assert by_apps.keys() == at_door.keys(), "the page takes the columns of the first"


def test_the_slowest_requests_and_failures_of_both_are_told(run: RunRecord) -> None:
    slowest = requests.slowest(run)
    assert [row["seconds"] for row in slowest] == sorted((row["seconds"] for row in slowest), reverse=True)
    assert (slowest[0]["asked by"], slowest[1]["app or key"]) == ("apps", "carol")
    told = [(row["outcome"], row["error"], row["words"], row["apps"]) for row in tables.failures(run)]
    assert told == [
        ("failed", "HTTP 400", "a bad prompt", "front door"), ("refused", "model_not_found", "no 'x'", "front door"),
    ]  # fmt: skip


def test_they_have_bars_of_their_own_where_a_replica_had_them(run: RunRecord) -> None:
    of = timeline(run)
    (rows,) = [rows for rows in of.rows if rows.name == "front door: assistant"]
    assert (rows.kind, rows.size) == ("request", 2)
    bars = [bar for bar in of.bars if bar.runtime == "front door"]
    assert [(bar.app, bar.start - BEGAN, bar.end - BEGAN) for bar in bars[:2]] == [
        ("key carol", 2.25, 4.0), ("key carol", 3.25, 5.0),
    ]  # fmt: skip
    assert len(bars) == 4


def test_what_is_under_way_tokens_and_latencies_over_time(run: RunRecord) -> None:
    bins, asked = Bins(BEGAN, BEGAN + 10.0, 100), requests.requests(run)
    layers = requests.under_way(asked, bins)
    assert set(layers) == {"assistant", "assistant, waiting"}
    assert sum(layers["assistant"]) * bins.width == pytest.approx(2.0 + 3 * 1.75 + 0.75)
    assert sum(requests.tokens(asked, bins)["assistant"]) * bins.width == pytest.approx(200)
    lines = requests.latencies(run, asked)
    assert set(lines) == {"assistant p50", "assistant p99"}
    told = [value for value in lines["assistant p50"] if value is not None]
    assert told == pytest.approx([2.5, 2.0, 2.0])


def test_the_page_and_the_table_have_them(run: RunRecord) -> None:
    told = data_of(run)
    assert (told["summary"]["requests"], len(told["tables"]["requests"])) == (5, 6)
    assert {"requests", "tokens", "latency"} <= set(told["charts"])
    head, *lines = requests_table(run).splitlines()
    assert (len(lines), head.split(",")[:3]) == (5, ["service", "key", "path"])
    assert lines[0].startswith("assistant,carol,/v1/completions,0,n0,done,200,")


def test_a_run_without_requests_has_none_of_it(tmp_path: Path) -> None:
    MadeUp(tmp_path / "record.msgpack").recorder.close()
    told = data_of(read(tmp_path))
    assert told["tables"]["requests"] == told["tables"]["services"] == []
    assert not {"requests", "tokens", "latency"} & set(told["charts"])
