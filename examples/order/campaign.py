"""Which order suits a campaign? Ask before it runs, then run it in that order."""

from pathlib import Path

import parsl
from parsl.config import Config
from parsl.providers import LocalProvider
from shortest import ShortestFirst

from rhapsody_parsl import LocalRuntime, MPIRuntime, RhapsodyExecutor, TracedTask


@parsl.python_app
def screen(molecule):
    """Stand for some work."""
    return molecule % 7


block = LocalProvider(worker_init=f"export PYTHONPATH={Path(__file__).parent}:$PYTHONPATH")
executor = RhapsodyExecutor(
    runtimes=[LocalRuntime(), MPIRuntime()],
    provider=block,
    declared_nodes=4,
    cores_per_node=4,
    scheduling=ShortestFirst(),
)

half = TracedTask(name="relax", seconds=600, keys={"num_nodes": 2, "walltime": 600})
whole = TracedTask(name="md", submitted=1, seconds=600, keys={"num_nodes": 4, "walltime": 600})
small = TracedTask(name="screen", submitted=10, seconds=20, keys={"walltime": 30})
trace = [half, whole] + [small] * 200
for order in ("fifo", "fair", "easy", ShortestFirst()):
    forecast = executor.simulate(trace, scheduling=order)
    name = order if isinstance(order, str) else type(order).__name__
    print(f"{name}: done after {forecast.seconds:.0f} s, mean wait {forecast.waits.mean:.0f} s")

with parsl.load(Config(executors=[executor])):
    print(sum(future.result() for future in [screen(number) for number in range(50)]))
