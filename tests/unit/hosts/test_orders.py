from typing import get_type_hints

from rhapsody_parsl.hosts.host import Word
from rhapsody_parsl.hosts.orders import Said


def test_the_pilot_reads_all_that_a_node_agent_may_say() -> None:
    said, read = get_type_hints(Said), get_type_hints(Word)
    assert set(read) == said.keys() - {"pong"}, "a sign of life needs no answer"
    assert {name: kind for name, kind in said.items() if name in read and read[name] != kind} == {
        "hello": said["hello"]  # nothing else is said first, so the pilot's may be missing
    }
