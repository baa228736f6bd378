"""Tasks packed, spread, and near each other, on two declared nodes: `python examples/rhapsody/placement.py`."""

import time
from pathlib import Path

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor

POLICIES = {"pack": {}, "spread": {"placement": "spread"}, "near": {"near": "my data"}}


@python_app
def work(file, parsl_resource_specification=None):
    import time  # noqa: PLC0415 - the function travels without its script
    from pathlib import Path  # noqa: PLC0415 - as above

    while Path(file).exists():
        time.sleep(0.05)


def nodes_of(executor, tasks):
    """Return the nodes that so many tasks hold, as soon as all of them run; a block reports twice per second."""
    while True:
        leases = [lease for block in executor.view().blocks for lease in block.leases if lease.name == "work"]
        if len(leases) == tasks:
            return {share.node for lease in leases for share in lease.shares}
        time.sleep(0.1)


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()], declared_nodes=2, cores_per_node=2)
    with parsl.load(Config(executors=[executor])) as dfk:
        for name, policy in POLICIES.items():
            going = Path(dfk.run_dir, name).absolute()
            going.touch()
            tasks = [work(str(going), parsl_resource_specification={"cores": 1, **policy}) for _ in range(2)]
            nodes = nodes_of(executor, len(tasks))
            going.unlink()
            [task.result() for task in tasks]
            print(f"{name}: {'one node' if len(nodes) == 1 else 'two nodes'}")
