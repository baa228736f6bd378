"""Every file in `configs/` loads and validates."""

import ast
import runpy
from pathlib import Path

import pytest
from parsl import Config
from parsl.launchers import SimpleLauncher

from rhapsody_parsl import RhapsodyExecutor

FILES = sorted(Path(__file__).parents[2].glob("configs/*.py"))
LOADED = [pytest.param(file, marks=[pytest.mark.dragon] * (file.stem == "local"), id=file.stem) for file in FILES]
"""The local one's block runs this Python, and Dragon."""
SITES = {"perlmutter", "frontier", "aurora", "polaris", "delta", "bridges2"}


@pytest.mark.parametrize("file", LOADED)
def test_config_loads_and_holds_our_executor(file: Path) -> None:
    config = runpy.run_path(str(file))["config"]
    assert isinstance(config, Config)
    assert [type(executor) for executor in config.executors] == [RhapsodyExecutor]


def test_there_are_configs() -> None:
    assert {"local", "slurm", "pbs", *SITES} <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_says_at_its_top_what_was_run(file: Path) -> None:
    words = ast.get_docstring(ast.parse(file.read_text())) or ""
    assert "Run here: " in words
    assert ("nothing yet" in words) == (file.stem in SITES)


@pytest.mark.parametrize("file", LOADED)
def test_one_pilot_a_block(file: Path) -> None:
    (executor,) = runpy.run_path(str(file))["config"].executors
    provider = executor.provider
    assert provider.nodes_per_block == 1 or isinstance(provider.launcher, SimpleLauncher)
