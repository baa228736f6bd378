import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhapsody_parsl import time_left
from rhapsody_parsl.in_block.context import Context, Run
from testing.nodes import make_node, make_spec


def test_a_task_can_ask_how_much_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RHAPSODY_JOB_END", raising=False)
    assert time_left() is None
    monkeypatch.setenv("RHAPSODY_JOB_END", f"{time.time() + 100:.3f}")
    assert 90 < (time_left() or 0) < 101
    monkeypatch.setenv("RHAPSODY_JOB_END", f"{time.time() - 100:.3f}")
    assert time_left() == 0


@pytest.mark.parametrize(("keys", "ends_at", "notice"), [
    ({"signal": "SIGUSR1", "notice": 90}, 1000.0, (int(signal.SIGUSR1), 910.0)),
    ({"signal": "SIGTERM"}, 1000.0, (int(signal.SIGTERM), 940.0)),
    ({"signal": "SIGUSR1", "notice": 90}, None, (0, 0.0)),
    ({}, 1000.0, (0, 0.0)),
])  # fmt: skip
def test_the_block_says_which_signal_and_when(
    keys: dict[str, Any], ends_at: float | None, notice: tuple[int, float]
) -> None:
    node = make_node("n0")
    here = Context(
        nodes={"n0": node}, head="n0", folder=Path("/x"), logs=Path("/x"), python="python", environment={},
        events=None,  # type: ignore[arg-type]  # unheard
    )  # fmt: skip
    here = msgspec.structs.replace(here, ends_at=ends_at)
    assert here.notice(Run(1, make_spec(**keys))) == notice
