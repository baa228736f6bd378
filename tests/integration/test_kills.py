"""The short form of `python -m benchmarks kills`: engines are killed under load, and no request is lost."""

import pytest

from benchmarks.studies.kills import QUICK, WAYS, block, campaign


@pytest.mark.usefixtures("elsewhere")
def test_no_request_is_lost_while_engines_are_killed() -> None:
    with block(replicas=3) as executor:
        for way, kills in (("apps", QUICK), ("door", QUICK // 2)):
            with WAYS[way](executor) as ask:
                outcome = campaign(ask, kills)
            assert (way, outcome["kills"], outcome["lost"], outcome["wrong"]) == (way, kills, 0, 0)
            assert outcome["requests"] > 2 * kills
