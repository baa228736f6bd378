"""Every file in `configs/` loads and validates."""

import runpy
from pathlib import Path

import pytest
from parsl import Config

from rhapsody_parsl import RhapsodyExecutor

FILES = sorted(Path(__file__).parents[2].glob("configs/*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_loads_and_holds_our_executor(file: Path) -> None:
    config = runpy.run_path(str(file))["config"]
    assert isinstance(config, Config)
    assert [type(executor) for executor in config.executors] == [RhapsodyExecutor]


def test_there_are_configs() -> None:
    assert {"local", "slurm", "pbs"} <= {file.stem for file in FILES}
