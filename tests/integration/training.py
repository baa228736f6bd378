"""A training step over a gang, as a function on ranks and as a program: `python training.py`."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

VARIABLES = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip


def step(comm: Any = None) -> list[float]:
    """Train a line on data of each rank's own; return their number and the weights, which are alike on all of them."""
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        found = _trained(distributed.get_rank())
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, found)
        assert all(one == every[0] for one in every)
        return [len(every), *found]
    finally:
        distributed.barrier()
        distributed.destroy_process_group()


def _trained(rank: int) -> list[float]:
    """Return the weights; the model is gone before its process group, else torch may hang."""
    import torch
    from torch import nn

    torch.manual_seed(rank)
    model = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        x = torch.full((4, 1), float(rank))
        loss = nn.functional.mse_loss(model(x), 2 * x + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.item() for parameter in model.parameters()]


def endless(folder: str, deadly: int, comm: Any = None) -> None:
    """Train until a file is there; then one rank notes the time, and dies of SIGKILL."""
    import torch
    from torch import distributed, nn

    distributed.init_process_group("gloo")
    model = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    while True:
        if distributed.get_rank() == deadly and Path(folder, "go").exists():
            Path(folder, "died").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        model(torch.ones(1, 1)).sum().backward()


def broken(failing: int, comm: Any = None) -> None:
    """Meet twice; between that one rank raises, and leaves its group as the others do."""
    import torch
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        distributed.all_reduce(torch.ones(1))
        if distributed.get_rank() == failing:
            raise ValueError("a broken sample")
        distributed.all_reduce(torch.ones(1))
    finally:
        distributed.destroy_process_group()


def rendezvous(comm: Any = None) -> list[str]:
    """Return what torch reads, and the host."""
    return [*(os.environ[name] for name in VARIABLES), os.uname().nodename]


def port(comm: Any = None) -> int:
    time.sleep(0.01)  # ranks that met would take longer
    return int(os.environ["MASTER_PORT"])


if __name__ == "__main__":
    said = step()
    if os.environ["RANK"] == "0":
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
    os._exit(0)  # a thread of torch's may abort the process while Python leaves
