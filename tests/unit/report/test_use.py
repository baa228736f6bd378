from base64 import b64decode
from pathlib import Path

import pytest

from rhapsody_parsl.record import read
from rhapsody_parsl.report import use
from testing.runs import BEGAN, MadeUp


def test_how_much_each_node_worked_is_a_strip_for_its_cores_and_each_gpu(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.worked(3.0, cpu=0.25, gpu=1.0)
    made.worked(7.0, cpu=0.75, gpu=0.0)
    made.worked(8.0, cpu=0.5, gpu=0.5, node="n1")
    made.worked(9.0, cpu=0.5, gpu=0.5, node="gone")
    made.at(10.0).recorder.close()
    run = read(tmp_path)
    assert [(each.node, each.at - BEGAN, each.cpu, each.gpus) for each in run.use] == [
        ("n0", 2.0, 0.25, ((1.0, 5.0),)), ("n0", 6.0, 0.75, ((0.0, 5.0),)), ("n1", 7.0, 0.5, ((0.5, 5.0),)),
    ]  # fmt: skip
    told = use.strips(run)
    of_a_node = ["CPU", "memory", "GPU 0"]
    assert told["rows"] == [[node, kind] for node in ("n0", "n1") for kind in of_a_node]
    values = b64decode(told["values"])
    first, memory, second = (values[240 * row : 240 * (row + 1)] for row in range(3))
    per_second = 24
    assert first[: 2 * per_second] == bytes([255] * 2 * per_second), "nobody has said"
    assert set(first[2 * per_second : 6 * per_second]) == {50}
    assert set(first[6 * per_second :]) == {150}
    assert (second[3 * per_second], second[-1]) == (200, 0)
    assert (told["memory"], memory[3 * per_second], memory[-1]) == (7.5, round(200 / 3), 200)
    rows = {row["node"]: row for row in use.nodes(run)}
    assert [rows["n0"][key] for key in ("CPU %", "most CPU %", "most memory GB", "GPU %")] == pytest.approx(
        [50.0, 75.0, 7.5, 50.0]
    )
    assert rows["n1"]["CPU %"] == pytest.approx(50.0)


def test_a_run_of_which_nobody_said_it_has_no_strips(tmp_path: Path) -> None:
    MadeUp(tmp_path / "record.msgpack").at(5.0).recorder.close()
    run = read(tmp_path)
    assert (use.strips(run)["rows"], use.nodes(run)) == ([], [])
