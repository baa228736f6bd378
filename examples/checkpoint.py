"""A task that is longer than its block: told of the end, it writes a checkpoint, and it goes on in the next block."""

import parsl
from parsl import Config, python_app
from parsl.launchers import WrappedLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate


@python_app
@annotate(Policy(signal="SIGUSR1", notice=3, on_loss="rerun"))
def simulate(steps: int, checkpoint: str) -> dict[str, int]:
    """Go so many steps, from where the last block came to."""
    import json
    import os
    import signal
    import time

    state = {"step": 0, "blocks": 0}
    if os.path.exists(checkpoint):
        with open(checkpoint) as file:
            state = json.load(file)
    state["blocks"] += 1
    ending: list[bool] = []
    signal.signal(signal.SIGUSR1, lambda *_: ending.append(True))  # three seconds before the block ends
    while state["step"] < steps:
        time.sleep(0.1)  # a step
        state["step"] += 1
        if ending:
            with open(checkpoint + ".new", "w") as file:
                json.dump(state, file)
            os.replace(checkpoint + ".new", checkpoint)
    return state


if __name__ == "__main__":
    # On a cluster: SlurmProvider(walltime="12:00:00"), and nothing more. Here `timeout` stops the block after 8 s.
    provider = LocalProvider(
        launcher=WrappedLauncher(prepend="timeout 8"),
        worker_init="export RHAPSODY_JOB_END=$(( $(date +%s) + 8 ))",
    )
    with parsl.load(Config(executors=[RhapsodyExecutor(provider=provider, runtimes=[LocalRuntime()])])):
        state = simulate(90, "checkpoint.json").result()
        print(f"{state['step']} steps in {state['blocks']} blocks")
