from rhapsody_parsl.executors.blocks import Block, Blocks
from testing.nodes import make_spec, make_task


def block(number: str, cores: int = 4, tasks: int = 0) -> Block:
    made = Block(number, 0.0)
    node = {"name": "n", "cores": cores, "gpus": 0, "memory": 16.0, "labels": []}
    made.inventory = {"nodes": [node], "cores": cores}
    made.tasks = {n: make_task(n, make_spec()) for n in range(tasks)}
    return made


def chosen(*blocks: Block, several: bool = True, cores: int = 1) -> str | None:
    known = Blocks(several)
    for each in blocks:
        known.add(each)
    found = known.choose(make_spec(cores=cores))
    return found.id if found else None


def test_the_least_loaded_for_its_size() -> None:
    assert chosen(block("0", tasks=3), block("1", tasks=2)) == "1"
    assert chosen(block("0", cores=8, tasks=3), block("1", cores=4, tasks=2)) == "0"


def test_only_a_block_that_can_ever_hold_it() -> None:
    assert chosen(block("0"), block("1", cores=8, tasks=99), cores=8) == "1"
    assert chosen(block("0"), cores=8) is None


def test_not_one_that_leaves_has_not_said_hello_or_is_full() -> None:
    leaving, silent, full = block("0"), Block("1", 0.0), block("2", tasks=400)
    leaving.closing = True
    assert chosen(leaving, silent, full) is None
    assert chosen(leaving, silent, full, block("3")) == "3"


def test_a_single_block_takes_everything_at_once() -> None:
    assert chosen(block("0", tasks=10_000), several=False) == "0"
    assert chosen(Block("0", 0.0), several=False) is None
