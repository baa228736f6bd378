from rhapsody_parsl.in_block.gpu_memory import GpuMemory
from rhapsody_parsl.wire.leases import Share

PAIR = Share("n0", (), (0, 1))


def test_what_is_held_is_more_than_the_least_that_was_ever_seen() -> None:
    memory = GpuMemory()
    assert memory.held([PAIR]) == {}, "nobody has told anything"
    memory.note("n0", [0.5, 30.0])
    assert memory.held([PAIR]) == {}, "who else is on a GPU from the start is none of ours"
    memory.note("n0", [60.0, 31.0])
    assert memory.held([PAIR, Share("n1", (), (0,))]) == {"n0:0": 60.0}
    assert memory.held([Share("n0", (), (1,))]) == {}
    memory.note("n0", [2.4, 0.1])
    assert memory.held([PAIR]) == {}
    memory.note("n0", [2.6, 30.0])
    assert memory.held([PAIR]) == {"n0:0": 2.6, "n0:1": 30.0}
    memory.note("n0", [])
    assert memory.held([PAIR]) == {}, "nobody tells any more"
