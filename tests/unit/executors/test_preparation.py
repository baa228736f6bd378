import logging

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl.errors import TooFewOpenFiles
from rhapsody_parsl.executors.preparation import prepare
from rhapsody_parsl.hosts import limits


def provider(**blocks: int) -> LocalProvider:
    return LocalProvider(**blocks)


@pytest.fixture
def hard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hard limit allows 1,000 files more."""
    monkeypatch.setattr(limits, "allow", lambda more: max(0, more - 1_000))
    monkeypatch.setattr(limits, "hard", lambda: 1_000)


@pytest.mark.usefixtures("hard")
def test_a_bound_that_is_set_high_is_no_need(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        prepare(provider(init_blocks=1, max_blocks=476))
        assert caplog.text == ""
        prepare(provider(init_blocks=0, max_blocks=10**6))
    assert "(ulimit -Hn) is 1000: enough for 476 blocks" in caplog.text


@pytest.mark.usefixtures("hard")
@pytest.mark.parametrize("first", ["init_blocks", "min_blocks"])
def test_blocks_that_start_at_once_must_fit(first: str) -> None:
    prepare(provider(**{"init_blocks": 0, first: 476}, max_blocks=1_000))
    with pytest.raises(TooFewOpenFiles, match="An executor of 600 blocks needs 1248 open files"):
        prepare(provider(**{"init_blocks": 0, first: 600}, max_blocks=1_000))
