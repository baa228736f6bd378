"""Ranges of ports: those of all engines on a host, whoever started them."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from rhapsody_parsl.runtimes.vllm import ports
from rhapsody_parsl.runtimes.vllm.ports import WIDTH, claimed, starts

JOB = """
import sys
from contextlib import ExitStack
from rhapsody_parsl.runtimes.vllm.ports import claimed
with ExitStack() as stack:
    print(*[stack.enter_context(claimed(False)).start for _ in range(10)], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_PORT", "x")  # so that it is put back
    monkeypatch.delenv("VLLM_PORT")


def test_the_engines_of_three_jobs_that_start_at_once_have_ports_of_their_own() -> None:
    jobs = [
        subprocess.Popen([sys.executable, "-c", JOB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        taken = [int(start) for job in jobs if job.stdout for start in job.stdout.readline().split()]
    finally:
        for job in jobs:
            job.communicate(timeout=20)
    every = {port for start in taken for port in range(start, start + WIDTH)}
    assert len(taken) == 30
    assert len(every) == 30 * WIDTH, "two have the same port"
    assert min(every) > 1023


def test_whoever_has_all_but_one_range_leaves_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(False) as first, claimed(False) as second:
        monkeypatch.setattr(ports, "starts", lambda low, high: [first.start, second.start])
        with claimed(False) as none:
            assert (none.start, none.rendezvous, none.own) == (0, 0, 0)
    with claimed(False) as again, ExitStack() as stack:
        other = ({first.start, second.start} - {again.start}).pop()
        used = stack.enter_context(socket.socket())
        used.bind(("", other + WIDTH - 1))
        assert stack.enter_context(claimed(False)).start == 0, "somebody uses a port of it"


def test_vllm_looks_behind_the_claim_and_the_place_to_meet() -> None:
    with claimed(True) as mine:
        assert os.environ["VLLM_PORT"] == str(mine.own) == str(mine.start + 2)
        assert mine.rendezvous == mine.start + 1
        with claimed(True):
            assert os.environ["VLLM_PORT"] == str(mine.own), "what is set stays"


def test_several_engines_below_one_process_find_ports_as_vllm_does() -> None:
    with claimed(False):
        assert "VLLM_PORT" not in os.environ


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [(32_768, 60_999, 20_480, 32_752), (1_024, 60_999, 61_000, 65_512), (1_024, 65_535, 53_248, 65_520)],
)
def test_ranges_lie_where_the_kernel_gives_no_ports_away(low: int, high: int, first: int, last: int) -> None:
    found = starts(low, high)
    assert (found[0], found[-1]) == (first, last)
    assert len(found) <= 768
    assert found[-1] + WIDTH - 1 <= 65_535
