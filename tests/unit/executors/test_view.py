from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.view import describe_block

STATE = {"tasks": {"queued": 1}, "runtimes": {"local": {}}, "services": [{"name": "a"}], "lost_nodes": ["n"]}


def test_a_block_has_the_same_keys_before_and_after_its_first_report() -> None:
    block = Block("0", 0.0)
    before = describe_block(block, {})
    assert [before[key] for key in STATE] == [{}, {}, [], []]
    block.state = STATE
    after = describe_block(block, {})
    assert [after[key] for key in STATE] == list(STATE.values())
    assert before.keys() == after.keys()
