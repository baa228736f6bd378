"""Every file in `configs/` loads and validates."""

import ast
import re
import runpy
from pathlib import Path

import pytest
from parsl import Config
from parsl.launchers import SimpleLauncher

from rhapsody_parsl import RhapsodyExecutor

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(FOLDER.glob("*.py"))
LOADED = [pytest.param(file, marks=[pytest.mark.dragon] * (file.stem == "local"), id=file.stem) for file in FILES]
"""The local one's block runs this Python, and Dragon."""
PROVIDERS = {"SlurmProvider", "PBSProProvider"}
OURS = {"nodes_per_block", "init_blocks", "max_blocks", "launcher"}
"""What a line says of the block, and not of the site."""
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


@pytest.mark.parametrize("site", sorted(SITES))
def test_each_line_about_a_site_names_its_page(site: str) -> None:
    text = (FOLDER / f"{site}.py").read_text()
    pages = set(re.findall(r"^\[(\d)\] ", text, re.MULTILINE))
    assert pages == {str(n + 1) for n in range(len(pages))}
    (provider,) = [
        call for call in ast.walk(ast.parse(text)) if isinstance(call, ast.Call) and named(call) in PROVIDERS
    ]
    for keyword in provider.keywords:
        if keyword.arg not in OURS:
            line = text.splitlines()[keyword.lineno - 1]
            cited = {each for group in re.findall(r"\[([\d, ]+)\]", line) for each in group.split(", ")}
            assert cited <= pages, line
            assert cited or line.endswith(("# yours", "# not confirmed: check")), line


def named(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""
