"""Two ranks train one model with torch's DistributedDataParallel: `python examples/training.py`."""

import parsl
from parsl import Config, python_app

from rhapsody_parsl import MPI, MPIRuntime, Policy, RhapsodyExecutor, annotate


@python_app
@annotate(MPI(ranks=2), Policy(isolation="process"))
def fit(steps, comm=None):  # on each rank; rank 0's result counts
    import torch  # noqa: PLC0415 - the function travels without its script
    from torch import distributed, nn  # noqa: PLC0415 - as above

    distributed.init_process_group("gloo")  # RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are there
    model = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    x = torch.linspace(-1, 1, 32).reshape(-1, 1)[comm.rank :: comm.size]  # each rank's part of the data
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), 2 * x + 1).backward()
        optimizer.step()
    slope, offset = (parameter.item() for parameter in model.parameters())
    ranks = distributed.get_world_size()
    del model, optimizer
    distributed.destroy_process_group()
    return ranks, slope, offset


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[MPIRuntime()], cores_per_node=2)])):
        ranks, slope, offset = fit(steps=200).result()
        print(f"{ranks} ranks found y = {slope:.1f} x + {offset:.1f}")
