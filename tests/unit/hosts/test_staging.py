"""A virtual environment that is packed, unpacked elsewhere, and runs from there alone."""

import json
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from rhapsody_parsl.hosts import staging

PACK = (
    "import sys; sys.path.insert(0, sys.argv[2]); from rhapsody_parsl.hosts import staging; staging.pack(sys.argv[1])"
)
ASK = "import sys, json, ours; print(json.dumps([sys.prefix, sys.base_prefix, ours.__file__, json.__file__]))"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a module and a script of its own."""
    folder = tmp_path_factory.mktemp("shared") / "env"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ours.py").write_text("")
    (script := folder / "bin" / "ask").write_text(f"#!{folder}/bin/python\n{ASK}\n")
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def archive(environment: Path) -> Path:
    path = environment.parent / "environment.tar"
    subprocess.run([environment / "bin/python", "-I", "-c", PACK, path, ROOT], check=True, timeout=60)
    return path


def run(*command: object) -> list[str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=60)
    found: list[str] = json.loads(done.stdout)
    return found


def test_it_runs_from_where_it_is_unpacked_with_all_that_it_uses(
    environment: Path, archive: Path, tmp_path: Path
) -> None:
    moved = staging.unpack(str(archive), str(tmp_path))
    assert moved[str(environment)] == f"{tmp_path}/staged/env"
    staged = tmp_path / "staged" / "env" / "bin"
    for found in (run(staged / "python", "-I", "-c", ASK), run(staged / "ask")):
        assert found[0] == f"{tmp_path}/staged/env"
        base = f"{tmp_path}/staged/base" if len(moved) == 2 else sys.base_prefix
        assert all(path.startswith(start) for path, start in zip(found, (found[0], base, found[0], base), strict=True))
    shared = (environment / "bin" / "ask").read_text()
    assert shared.startswith(f"#!{environment}/"), "the shared one is as it was"


def test_what_cannot_be_read_or_goes_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = tmp_path / "env"
    (environment / "lib").mkdir(parents=True)
    (environment / "lib" / "first.py").touch()
    (environment / "lib" / "gone.pyc.1234").touch()
    (environment / "lib" / "last.py").touch()
    os.mkfifo(environment / "lib" / "pipe")
    (environment / "lib" / "nowhere").symlink_to("/no/such/file")

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if member.name.endswith("gone.pyc.1234"):  # it gets its right name
            (environment / "lib" / "gone.pyc.1234").unlink()
        return member

    monkeypatch.setattr(staging, "_wanted", wanted)
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(sys, "base_prefix", str(environment))
    staging.pack(str(tmp_path / "tar"))
    with tarfile.open(tmp_path / "tar") as tar:
        there = {name.rpartition("/")[2] for name in tar.getnames()}
    assert there == {"origin.json", "env", "lib", "first.py", "last.py", "pipe", "nowhere"}


def test_where_no_program_can_be_run_it_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that is mounted noexec; the mode tells the same, and every user may set it."""
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    (python := environment / "bin" / "python").touch(mode=0o644)
    for name, value in (("prefix", environment), ("base_prefix", environment), ("executable", python)):
        monkeypatch.setattr(sys, name, str(value))
    staging.pack(str(tmp_path / "tar"))
    with pytest.raises(OSError, match="no program can be run there"):
        staging.unpack(str(tmp_path / "tar"), str(tmp_path / "private"))


def test_it_is_packed_once(environment: Path, archive: Path) -> None:
    before = archive.stat().st_mtime_ns
    subprocess.run([environment / "bin/python", "-I", "-c", PACK, archive, ROOT], check=True, timeout=60)
    assert archive.stat().st_mtime_ns == before
    assert [path.name for path in archive.parent.iterdir() if "tar" in path.name] == ["environment.tar"]


def test_processes_find_it_by_their_environment() -> None:
    env = str(Path(sys.executable).parents[1])
    found = {"PATH": f"{env}/bin:/usr/bin", "VIRTUAL_ENV": env, "HOME": env, "PYTHONPATH": "/elsewhere"}
    python = staging.enter("/shared/environment.tar", {env: "/local/env"}, found)
    assert python == f"/local/env/bin/{os.path.basename(sys.executable)}"
    assert found["PATH"] == "/local/env/bin:/usr/bin"
    assert (found["VIRTUAL_ENV"], found["PYTHONPATH"], found["HOME"]) == ("/local/env", "/elsewhere", env)
    assert staging.archive_of(found) == "/shared/environment.tar"
    assert staging.original(python, found) == sys.executable
    assert staging.original("/elsewhere/x.py", found) == "/elsewhere/x.py"


def test_without_it_nothing_is_elsewhere() -> None:
    assert staging.archive_of({}) == ""
    assert staging.original("/a", {}) == "/a"


def test_of_folders_within_each_other_the_inner_one_counts() -> None:
    moved = {"/conda/base": "/l/base", "/conda/base/envs/x": "/l/env"}
    assert staging.there("/conda/base/envs/x/bin/python", moved) == "/l/env/bin/python"
    assert staging.there("/conda/base/bin/python", moved) == "/l/base/bin/python"
    assert staging.there("/conda/base2", moved) == "/conda/base2"


def test_an_archive_that_is_none_is_told(tmp_path: Path) -> None:
    (bad := tmp_path / "environment.tar").write_text("x" * 2000)
    with pytest.raises(OSError, match=r"environment.tar cannot be unpacked"):
        staging.unpack(str(bad), str(tmp_path))
