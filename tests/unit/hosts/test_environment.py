import os
import subprocess
import sys
from pathlib import Path

from rhapsody_parsl.hosts.environment import on_host, put, take

BLOCK = {"PATH": "/bin", "HOME": "/h", "ODD": "a\udcffb\n", "HOSTNAME": "n1", "SLURM_JOB_ID": "1"}


def test_a_process_finds_the_blocks_environment_and_what_dragon_needs(tmp_path: Path) -> None:
    put(str(tmp_path), {**BLOCK, "SLURM_PROCID": "0"})
    found = {
        "PATH": "/ours:/bin", "PYTHONUNBUFFERED": "1", "ODD": "x", "PMI_RANK": "1", "DRAGON_MODE": "single",
        "DYLD_LIBRARY_PATH": "/dragon",
    }  # fmt: skip
    take(str(tmp_path), found)
    assert found == {**BLOCK, "DRAGON_MODE": "single"}


def test_without_the_file_a_process_keeps_what_it_was_given(tmp_path: Path) -> None:
    for text in (None, '{"PATH": "/b'):
        if text:
            (tmp_path / "environment").write_text(text)
        found = {"PATH": "/bin", "PMI_RANK": "1"}
        take(str(tmp_path), found)
        assert found == {"PATH": "/bin"}


def test_what_holds_for_a_host_is_its_own() -> None:
    here = {"HOSTNAME": "n2", "CUDA_VISIBLE_DEVICES": "3", "HOME": "/other"}
    assert on_host({**BLOCK, "XDG_RUNTIME_DIR": "/run/n1"}, here) == {
        **BLOCK,
        "HOSTNAME": "n2",
        "CUDA_VISIBLE_DEVICES": "3",
    }


def test_the_file_is_private(tmp_path: Path) -> None:
    put(str(tmp_path), BLOCK)
    assert (tmp_path / "environment").stat().st_mode & 0o777 == 0o600


def test_modules_are_found_where_the_block_says(tmp_path: Path) -> None:
    put(str(tmp_path), {**os.environ, "PYTHONPATH": f"/theirs:{os.environ.get('PYTHONPATH', '')}"})
    code = f"import sys; from rhapsody_parsl.worker.footing import prepare; prepare({str(tmp_path)!r}); print(sys.path)"
    env = {**os.environ, "PYTHONPATH": f"/patches:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert "'/theirs'" in done.stdout
    assert "/patches" not in done.stdout
