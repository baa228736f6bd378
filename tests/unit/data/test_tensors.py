"""Tensors of torch as a value's file and back: read in place, and written to without harm."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from rhapsody_parsl.data.packing import opened, packed
from rhapsody_parsl.hosts.data_space import HUGE, mapped

torch = pytest.importorskip("torch")


def there_and_back(value: Any, folder: Path) -> Any:
    path = folder / "value"
    path.write_bytes(b"".join(packed(value)))
    with path.open("rb") as file:
        return opened(mapped(file.fileno(), os.fstat(file.fileno()).st_size))


def numbers(*shape: int) -> Any:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


@pytest.mark.parametrize(
    "tensor",
    [
        numbers(30, 40),
        numbers(30, 40).T,
        numbers(30, 40)[::2, ::3],
        numbers(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.ones(1).expand(5, 6),
        torch.tensor(3.5),
        torch.empty(0, 3),
        torch.ones(7, dtype=torch.bfloat16),
        torch.ones(7, dtype=torch.float8_e4m3fn),
        torch.tensor([True, False]),
        torch.ones(3, dtype=torch.cfloat).conj(),
        torch.ones(4, requires_grad=True),
        torch.nn.Parameter(torch.ones(4)),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)} {tensor.dtype}",
)
def test_a_tensor_is_the_same(tensor: Any, tmp_path: Path) -> None:
    found = there_and_back({"a": tensor}, tmp_path)["a"]
    assert (type(found), found.dtype, found.shape) == (type(tensor), tensor.dtype, tensor.shape)
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found.float() if "float8" in str(found.dtype) else found.resolve_conj(),
                       tensor.float() if "float8" in str(found.dtype) else tensor.resolve_conj())  # fmt: skip
    if tensor.is_contiguous(memory_format=torch.channels_last):
        assert found.stride() == tensor.stride()


@pytest.mark.parametrize("count", [1_000, HUGE // 2])
def test_it_is_not_copied_and_who_writes_has_pages_of_its_own(count: int, tmp_path: Path) -> None:
    state = torch.nn.Linear(count, 1).state_dict()
    assert any(isinstance(piece, memoryview) and len(piece) == 4 * count for piece in packed(state)), "it is copied"
    found = there_and_back(state, tmp_path)["weight"]
    other = there_and_back(state, tmp_path)["weight"]
    before = found.clone()
    found += 1  # a map that cannot be written would kill this process
    assert torch.equal(found, before + 1)
    assert torch.equal(other, before)
    assert torch.equal(there_and_back(state, tmp_path)["bias"], state["bias"])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_is_more_than_numbers_is_left_to_torch(tmp_path: Path) -> None:
    sparse, named = torch.eye(3).to_sparse(), torch.ones(2)
    named.label = "mine"
    assert torch.equal(there_and_back(sparse, tmp_path).to_dense(), torch.eye(3))
    assert there_and_back(named, tmp_path).label == "mine"
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert [part.tolist() for part in there_and_back(nested, tmp_path).unbind()] == [[1, 1], [1, 1, 1]]


def test_where_torch_has_no_numpy_tensors_are_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert there_and_back(torch.ones(3), tmp_path).tolist() == [1, 1, 1]


def test_an_array_with_gaps_is_written_once_and_read_in_place(tmp_path: Path) -> None:
    array = numpy.arange(10_000.0).reshape(100, 100)[1:-1, 1:-1]
    assert any(isinstance(piece, memoryview) and piece.nbytes == array.nbytes for piece in packed(array))
    found = there_and_back(array, tmp_path)
    assert numpy.array_equal(found, array)
    assert not found.flags.writeable
