"""The pilot's half of the Dragon runtime, without Dragon."""

import importlib.util
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from rhapsody_parsl.errors import MissingPackage
from rhapsody_parsl.runtimes.dragon.partition import find_dragon, mode
from rhapsody_parsl.spec.config import DragonRuntime


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Let these packages look as if they were not installed."""
    found = ModuleSpec("any", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found)


def test_a_missing_package_is_a_refusal_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch, "dragon", "flask")
    with pytest.raises(MissingPackage) as caught:
        find_dragon(DragonRuntime(), str(tmp_path / "python"))
    assert str(caught.value) == (
        f"dragonhpc and flask is not installed in the block's Python environment ({tmp_path / 'python'}). "
        "Install it there with: pip install 'rhapsody-parsl[dragon]'"
    )


def test_the_command_beside_the_python_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: "/elsewhere/dragon")
    assert find_dragon(DragonRuntime(), str(tmp_path / "python")) == "/elsewhere/dragon"
    (tmp_path / "dragon").touch()
    assert find_dragon(DragonRuntime(), str(tmp_path / "python")) == str(tmp_path / "dragon")
    assert find_dragon(DragonRuntime(executable="/mine"), str(tmp_path / "python")) == "/mine"


def test_no_command_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingPackage, match="dragon is not installed"):
        find_dragon(DragonRuntime(), str(tmp_path / "python"))


@pytest.mark.parametrize(("hosts", "reach", "everywhere", "words"), [
    ("a", "srun", True, "-s"),
    ("ab", "srun", True, "-t tcp --wlm slurm"),
    ("ab", "srun", False, "-t tcp --wlm ssh --hostlist a,b"),
    ("ab", "ssh", True, "-t tcp --wlm ssh --hostlist a,b"),
    ("ab", "pals", True, "-t tcp --wlm pbs+pals"),
])  # fmt: skip
def test_where_a_runtime_runs(hosts: str, reach: str, everywhere: bool, words: str) -> None:
    assert mode(list(hosts), (), reach, everywhere) == words.split()
    assert "tcp" not in mode(list(hosts), ("-t", "hsta"), reach, everywhere)
