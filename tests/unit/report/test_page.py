import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.record import read
from rhapsody_parsl.report.page import data_of, page
from rhapsody_parsl.wire.messages import failed
from testing.runs import MadeUp


@pytest.fixture
def run(tmp_path: Path) -> Any:
    made = MadeUp(tmp_path / "record.msgpack")
    made.ran(1, 1.0, 2.0)
    made.ran(
        2, 2.0, 2.0, name="</script><b>", make=lambda task: failed(task.id, WorkerLost("<!--<script>", "</script>"))
    )
    made.at(10.0).recorder.close()
    return read(tmp_path)


def test_the_page_holds_all_of_it_and_asks_no_server(run: Any) -> None:
    text = page(run)
    assert not re.search(r"https?:|src=|<link|@import|url\(", text)
    for mark in ("/*STYLE*/", "/*CODE*/", "/*DATA*/"):
        assert mark not in text
    assert text.count("<script") == text.count("</script>") == 2
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data) == json.loads(json.dumps(data_of(run)))


def test_times_are_parts_of_the_run_in_whole_numbers(run: Any) -> None:
    told = data_of(run)["timeline"]
    start, end = (memoryview(b64decode(told[name])).cast("I").tolist() for name in ("start", "end"))
    whole = (1 << 32) - 1
    assert [value / whole * 10 for value in start] == pytest.approx([1.0, 2.0], abs=1e-6)
    assert [value / whole * 10 for value in end] == pytest.approx([3.0, 4.01], abs=1e-6)
    assert told["apps"] == ["app", "</script><b>"]
