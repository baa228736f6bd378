import csv
import json
from pathlib import Path

import pytest

from rhapsody_parsl.cli.main import main
from rhapsody_parsl.record import read
from rhapsody_parsl.wire.leases import Share
from testing.runs import MadeUp


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    made = MadeUp(folder / "record.msgpack")
    made.ran(1, 1.0, 2.0, shares=(Share("n0", (0, 1), (0,)),))
    made.ran(2, 2.0, 2.0, shares=(), service="assistant", tokens=5)
    made.at(10.0).recorder.close()
    return folder


def test_report_writes_a_page_a_table_and_a_picture_beside_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make(tmp_path / "runinfo" / "003" / "lab")
    assert main(["report"]) == 0
    written = capsys.readouterr().out.split()
    assert written == [f"runinfo/003/lab/report.{kind}" for kind in ("html", "csv", "png")]
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "report.csv").read_text().splitlines()))
    assert [(row["task"], row["nodes"], row["cores"], row["gpus"], row["tokens"]) for row in rows] == [
        ("1", "n0", "2", "1", ""), ("2", "", "0", "0", "5"),
    ]  # fmt: skip
    assert [float(row["submitted"]) for row in rows] == [task.submitted for task in read(folder).tasks]


def test_trace_has_a_slice_for_each_bar_on_a_named_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "lab")
    assert main(["trace", str(tmp_path), "-o", str(tmp_path / "t.json")]) == 0
    events = json.loads((tmp_path / "t.json").read_bytes())["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    slices = [(names[e["pid"]], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert slices == [
        ("n0 cores", 1, 1e6, 2e6), ("n0 GPUs", 1, 1e6, 2e6), ("requests to assistant", 1, 2e6, 2e6),
    ]  # fmt: skip
    assert capsys.readouterr().out == f"{tmp_path / 't.json'}\n"


def test_several_executors_have_a_report_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        make(tmp_path / "000" / name)
    assert main(["trace", str(tmp_path / "000"), "-o", str(tmp_path / "t.json")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"t-{name}.json") for name in ("a", "b")]


@pytest.mark.parametrize("command", ["report", "trace"])
def test_where_there_is_no_record_or_no_folder_to_write_to_a_sentence_says_so(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path)]) == 1
    assert "There is no record of a run in" in capsys.readouterr().err
    make(tmp_path / "lab")
    assert main([command, str(tmp_path), "-o", str(tmp_path / "no" / "such.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err
