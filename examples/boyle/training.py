"""The ranks of a gang train the ensemble: DistributedDataParallel over gloo, each rank with its part of the data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from boyle.gas import Measurement
from boyle.surrogate import CENTRE, SCALE, Surrogate, features

HIDDEN = 16
SPREADS = {"inner": 0.7, "inner_offset": 0.7, "outer": 1.5 / HIDDEN**0.5, "direct": 1.0, "offset": 0.5}
"""How far weights of untrained members lie apart: what is thought of the surface before any measurement."""


class Members(nn.Module):  # type: ignore[misc]  # torch is not read by mypy
    """All members of the ensemble, as one module."""

    def __init__(self, members: int, seed: int) -> None:
        super().__init__()
        dice = torch.Generator().manual_seed(seed)
        shapes = {"inner": (2, HIDDEN), "inner_offset": (1, HIDDEN), "outer": (HIDDEN, 1), "direct": (2, 1)}
        for name, spread in SPREADS.items():
            start = torch.randn(members, *shapes.get(name, (1, 1)), generator=dice) * spread
            self.register_parameter(name, nn.Parameter(start))

    def forward(self, seen: Any) -> Any:
        """Return each member's value; shape (members, states)."""
        hidden = torch.tanh(seen @ self.inner + self.inner_offset)
        return (hidden @ self.outer + seen @ self.direct + self.offset)[..., 0]


class Data:
    """A rank's part of the measurements, each moved by its error for each member."""

    def __init__(self, measured: Sequence[Measurement], members: int, seed: int, part: slice) -> None:
        dice = np.random.default_rng(seed)
        states = [one.state for one in measured]
        errors = np.array([one.error for one in measured]) / SCALE
        values = (np.array([one.value for one in measured]) - CENTRE) / SCALE
        moved = values + errors * dice.standard_normal((members, len(values)))
        seen = features([one.temperature for one in states], [one.density for one in states])
        self.seen, self.moved, self.errors = map(_tensor, (seen[part], moved[:, part], errors[part]))


def _tensor(array: Any) -> Any:
    return torch.tensor(array, dtype=torch.float32)


def train(measured: Sequence[Measurement], members: int, steps: int, seed: int) -> Surrogate:
    """Train on this rank's part of the data, together with all ranks; the same surrogate comes out on each.

    Args:
        measured: All measurements.
        members: Networks of the ensemble.
        steps: Of the optimizer.
        seed: The same on each rank.
    """
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")  # the gang's variables say where
    try:
        rank, size = distributed.get_rank(), distributed.get_world_size()
        data = Data(measured, members, seed, slice(rank, None, size))
        return _trained(data, Members(members, seed), steps, len(measured))
    finally:
        distributed.destroy_process_group()


def _trained(data: Data, members: Members, steps: int, measured: int) -> Surrogate:
    starts = {name: weights.detach().clone() for name, weights in members.named_parameters()}
    model = nn.parallel.DistributedDataParallel(members)  # the mean of the ranks' gradients
    optimizer = torch.optim.Adam(members.parameters(), lr=0.03)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    share = distributed.get_world_size() / measured
    for _ in range(steps):
        optimizer.zero_grad()
        misfit = (((model(data.seen) - data.moved) / data.errors) ** 2).sum() * share
        stray = sum((((now - starts[name]) / SPREADS[name]) ** 2).sum() for name, now in members.named_parameters())
        ((misfit + stray / measured) / 2).backward()
        optimizer.step()
        slower.step()
    return Surrogate(**{name: weights.detach().double().numpy() for name, weights in members.named_parameters()})
