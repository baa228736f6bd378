"""Tensors of torch as their bytes, which stay where they lie: torch itself copies them four times on their way."""

import pickle
import sys
from collections.abc import Sequence
from typing import Any

from rhapsody_parsl.hosts.data_space import writable

__all__ = ("made", "reduced")


def reduced(obj: Any) -> Any:
    """Return how a tensor is pickled; `NotImplemented` for all else, also for tensors that are more than numbers."""
    torch = sys.modules.get("torch")
    if torch is None or not sys.modules.get("numpy"):  # which torch loads where it is installed
        return NotImplemented
    if type(obj) is not torch.Tensor or not _is_plain(obj, torch):
        return NotImplemented
    tensor = obj.detach().resolve_conj().resolve_neg()
    order = sorted(range(tensor.dim()), key=lambda place: -tensor.stride(place))
    dense = tensor.permute(order)
    if not dense.is_contiguous():
        tensor = dense = tensor.contiguous()
    data = dense.reshape(-1).view(torch.uint8).numpy()
    facts = (obj.dtype, tuple(tensor.shape), tensor.stride(), obj.requires_grad)
    return made, (pickle.PickleBuffer(data), facts)


def _is_plain(tensor: Any, torch: Any) -> bool:
    """Whether it is nothing but numbers in the memory of this host."""
    is_here = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return is_here and not (tensor.is_nested or tensor.__dict__ or tensor._backward_hooks)


def made(data: Any, facts: tuple[Any, Sequence[int], Sequence[int], bool]) -> Any:
    """Return the tensor. It may be written to, as each of torch's: what is written is this process's own.

    Args:
        data: Its bytes.
        facts: Type, shape and strides, and whether it is to have gradients.
    """
    import numpy  # noqa: PLC0415 - as who has written it

    dtype, shape, stride, requires_grad = facts
    torch: Any = sys.modules["torch"]  # which has opened `dtype`
    if not len(data):
        return torch.empty(shape, dtype=dtype, requires_grad=requires_grad)
    memory = writable(memoryview(data), numpy.frombuffer(data, "u1").ctypes.data)
    tensor = torch.frombuffer(bytearray(data) if memory is None else memory, dtype=dtype).as_strided(shape, stride)
    return tensor.requires_grad_() if requires_grad else tensor
