"""The short form of `python -m benchmarks kills`: engines are killed under load, and no request is lost."""

import pytest

from benchmarks.studies.kills import QUICK, block, campaign


@pytest.mark.usefixtures("elsewhere")
def test_no_request_is_lost_while_engines_are_killed() -> None:
    with block(replicas=3) as executor:
        outcome = campaign(executor, QUICK)
    assert (outcome["kills"], outcome["lost"], outcome["wrong"]) == (QUICK, 0, 0)
    assert outcome["requests"] > 2 * QUICK
