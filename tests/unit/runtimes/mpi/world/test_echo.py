"""Which exceptions of a rank tell of another rank's failure."""

import pytest

from rhapsody_parsl.runtimes.mpi.world.echo import is_echo


class DistBackendError(RuntimeError):
    __module__ = "torch.distributed"


def _wrapped() -> Exception:
    problem = ValueError("the epoch failed")
    problem.__cause__ = ConnectionResetError("104")
    return problem


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("[/w/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:3"),
        RuntimeError("[/w/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 30000ms for recv"),
        DistBackendError("NCCL communicator was aborted on rank 1"),
        BrokenPipeError(32, "Broken pipe"),
        _wrapped(),
    ],
)
def test_echoes(problem: Exception) -> None:
    assert is_echo(problem)


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 2x1)"),
        ValueError("connection closed by peer"),
        KeyError("gloo/"),
        FileNotFoundError(2, "no such file"),
    ],
)
def test_causes(problem: Exception) -> None:
    assert not is_echo(problem)
