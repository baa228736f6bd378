"""Dragon's launcher finds our `dragon-config` first, which answers as Dragon's own does, and leaves it the rest."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rhapsody_parsl.runtimes.dragon.quick_config import script

SETTINGS = '{"cuda_runtime_lib": ["/usr/lib/cuda", "/usr/lib64"], "hip_runtime_libname": "libamdhip64.so.6"}'


def ask(folder: Path, word: str) -> str:
    """Ask as Dragon's library does, through a shell."""
    env = {**os.environ, "PATH": f"{folder / 'ours'}:{folder / 'theirs'}:{os.environ['PATH']}"}
    words = ["sh", "-c", f"dragon-config {word}"]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a package `dragon`, our command and theirs."""
    for name, text in (
        ("ours", script(sys.executable, str(tmp_path / "dragon"), str(tmp_path / "theirs/dragon-config"))),
        ("theirs", '#!/bin/sh\necho theirs: "$@"\n'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dragon-config").write_text(text)
        (tmp_path / name / "dragon-config").chmod(0o700)
    (tmp_path / "dragon/.hsta-config").mkdir(parents=True)
    (tmp_path / "dragon/.hsta-config/dragon-config.json").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("cuda_runtime_lib", "['/usr/lib/cuda', '/usr/lib64']\n"),
        ("hip_runtime_libname", "libamdhip64.so.6\n"),
        ("ze_runtime_lib", "\n"),
    ],
)
def test_a_setting_is_what_the_file_says(folder: Path, key: str, answer: str) -> None:
    assert ask(folder, f"--get='{key}'") == answer


@pytest.mark.parametrize("text", ["", "{", None])
def test_without_settings_nothing_is_set(folder: Path, text: str | None) -> None:
    settings = folder / "dragon/.hsta-config/dragon-config.json"
    settings.unlink()
    if text is not None:
        settings.write_text(text)
    assert ask(folder, "--get='cuda_runtime_lib'") == "\n"


def test_anything_else_is_for_the_real_one(folder: Path) -> None:
    assert ask(folder, "add --cuda-runtime-lib='/usr/my cuda'") == "theirs: add --cuda-runtime-lib=/usr/my cuda\n"


@pytest.mark.dragon
@pytest.mark.parametrize("key", ["cuda_runtime_libname", "tcp_runtime"])
def test_the_real_one_says_the_same(tmp_path: Path, key: str) -> None:
    """For the Dragon that is installed, with whatever settings."""
    package = importlib.util.find_spec("dragon")
    assert package is not None
    assert package.submodule_search_locations is not None
    command = str(Path(sys.executable).with_name("dragon-config"))
    real = subprocess.run([command, f"--get={key}"], capture_output=True, text=True, check=True, timeout=60)
    ours = tmp_path / "dragon-config"
    ours.write_text(script(sys.executable, package.submodule_search_locations[0], command))
    ours.chmod(0o700)
    said = subprocess.run([ours, f"--get={key}"], capture_output=True, text=True, check=True, timeout=20)
    assert said.stdout == real.stdout
