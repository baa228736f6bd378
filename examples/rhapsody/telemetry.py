"""What the executor knows while it runs and afterwards: `python examples/rhapsody/telemetry.py`."""

import time

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor


@python_app
def busy(seconds):
    import time  # noqa: PLC0415 - the function travels without its script

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    return seconds


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()], cores_per_node=2)
    with parsl.load(Config(executors=[executor])):
        tasks = [busy(0.2) for _ in range(10)]
        while executor.outstanding():
            block = next(iter(executor.view().blocks), None)
            print("queued and running:", executor.outstanding(), "state:", block.state if block else "none")
            time.sleep(0.5)
        totals = executor.view().totals
        held = sum(lease["end"] - lease["start"] for lease in executor.timeline() if lease["end"])
        print("done:", totals.tasks.done, "failed:", totals.tasks.failed)
        print(f"core seconds held: {held:.1f}")
