from rhapsody_parsl.annotations.reruns import MOST_RERUNS, Reruns
from testing.nodes import make_spec

RERUN, FAIL = make_spec(on_loss="rerun").policy, make_spec().policy


def test_a_task_runs_again_so_often_and_each_counts_for_itself() -> None:
    reruns = Reruns()
    assert [reruns.allow(1, RERUN) for _ in range(MOST_RERUNS + 1)] == [True] * MOST_RERUNS + [False]
    assert reruns.allow(2, RERUN)
    reruns.forget(1)
    assert reruns.allow(1, RERUN)
    assert len(reruns) == 2


def test_one_whose_policy_does_not_say_so_never_does_and_is_not_remembered() -> None:
    reruns = Reruns()
    assert not reruns.allow(1, FAIL)
    reruns.forget(1)
    assert not reruns
