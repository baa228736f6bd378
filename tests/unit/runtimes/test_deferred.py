"""What a runtime finds out within a call of the pilot's is told at the end of the turn."""

import asyncio

from rhapsody_parsl.errors import WorkerLost
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.wire.messages import RESULT, Result
from testing.contract.recorder import Recorder


def test_all_that_comes_in_a_turn_is_told_after_it_and_results_go_together() -> None:
    recorder = Recorder()
    recorder.given(1, [1, 2, 3])
    recorder.given(2, [4])

    async def turns() -> None:
        deferred = Deferred(recorder)
        with recorder.within("run"):
            deferred.done(1, [Result(1, RESULT, b"")])
            deferred.done(1, [Result(2, RESULT, b"")])
            deferred.returned(1, [3])
            deferred.lost(2, WorkerLost("here", "why"), [4])
        assert recorder.calls == []
        await asyncio.sleep(0)

    asyncio.run(turns())
    assert recorder.calls == [("done", 1), ("returned", 1), ("lost", 2)]
    assert [told.how for told in recorder.told.values()] == ["done", "done", "returned", "untouched"]
