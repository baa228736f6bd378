"""Tasks per second, and the time of one, per runtime: `python examples/rhapsody/throughput.py [TASKS]`."""

import sys
import time

import parsl
from parsl import Config, python_app

from rhapsody_parsl import DragonRuntime, LocalRuntime, RhapsodyExecutor


@python_app
def nothing(parsl_resource_specification=None):
    return None


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[DragonRuntime(), LocalRuntime()])])):
        for runtime in ("dragon", "local"):
            spec = {"runtime": runtime}
            nothing(parsl_resource_specification=spec).result()  # its workers are there
            began = time.perf_counter()
            for task in [nothing(parsl_resource_specification=spec) for _ in range(number)]:
                task.result()
            rate = number / (time.perf_counter() - began)
            began = time.perf_counter()
            nothing(parsl_resource_specification=spec).result()
            print(f"{runtime}: {rate:,.0f} tasks per second, {1000 * (time.perf_counter() - began):.1f} ms for one")
