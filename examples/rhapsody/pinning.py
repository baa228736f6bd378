"""Which cores each task holds: `python examples/rhapsody/pinning.py`."""

import parsl
from parsl import Config, python_app

from rhapsody_parsl import DragonRuntime, RhapsodyExecutor


@python_app
def cores(parsl_resource_specification=None):
    import os  # noqa: PLC0415 - the function travels without its script
    import time  # noqa: PLC0415 - as above

    time.sleep(0.5)  # all run at once
    return sorted(os.sched_getaffinity(0))


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[DragonRuntime()])])):
        held = [task.result() for task in [cores(parsl_resource_specification={"cores": 1}) for _ in range(2)]]
        print("each task is pinned to its own core:", held)
