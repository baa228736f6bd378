"""Private folders: held, or swept."""

import glob
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rhapsody_parsl.cluster import folder, guard

# Writes files in a folder for a second, or until it is gone, as Open MPI's daemon does that is not below our outpost.
WRITER = """
import pathlib, sys, time
print(flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        (pathlib.Path(sys.argv[1]) / str(time.monotonic_ns())).touch()
    except FileNotFoundError:
        break
"""


@pytest.fixture(params=["tmp", "pbs.7[2].server"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files; that of a job in an array of PBS's reads like a pattern."""
    root: Path = tmp_path / request.param
    root.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(root))
    return root


def test_only_what_nobody_holds_is_swept(root: Path) -> None:
    mine, dead, other = folder.make(), folder.make(), root / "others"
    other.mkdir()
    code = f"from rhapsody_parsl.cluster import folder; folder.hold({dead!r}); print(flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    young = folder.make()
    old = Path(folder.make())
    os.utime(old, (0, 0))
    folder.sweep(mine)
    assert sorted(root.iterdir()) == sorted([Path(mine), Path(dead), Path(young), other])
    holder.kill()
    holder.wait(10)
    holder.stdin.close()
    holder.stdout.close()
    folder.sweep(mine)
    assert sorted(root.iterdir()) == sorted([Path(mine), Path(young), other])


def test_a_folder_that_others_can_enter_is_not_taken(root: Path) -> None:
    folder.take(str(root / "new"))
    folder.take(str(root / "new"))
    (root / "open").mkdir(mode=0o755)
    (root / "link").symlink_to(root / "new")
    for name in ("open", "link"):
        with pytest.raises(PermissionError, match="not a folder of ours alone"):
            folder.take(str(root / name))


def test_shared_memory_goes_with_a_folder_that_nobody_holds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhapsody_parsl.cluster.guard.DRAGON_SEGMENTS", f"{glob.escape(str(root))}/DD{{uid3}}*")
    monkeypatch.setattr("rhapsody_parsl.cluster.guard.MPI_SEGMENTS", (f"{glob.escape(str(root))}/mpich_shm_*",))
    mine, uid = folder.make(), str(os.getuid())[-3:]
    unused, used, old = (root / f"DD{uid}{number}" for number in (1, 2, 3))
    mpis, old_mpis = root / "mpich_shm_1", root / "mpich_shm_2"
    for segment in (unused, used, old, mpis, old_mpis):
        segment.write_bytes(b"1")
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        folder.sweep(mine)
        assert unused.exists(), "nobody of ours has died here, and it is new"
        for segment in (old, used, old_mpis):
            os.utime(segment, (0, 0))
        folder.sweep(mine)
        assert sorted(root.iterdir()) == sorted([unused, used, mpis, Path(mine)])
        (Path(folder.make()) / ".held").touch()
        folder.sweep(mine)
    assert sorted(root.iterdir()) == sorted([used, Path(mine)])


def test_a_folder_in_which_somebody_still_writes_is_removed_after_that(root: Path) -> None:
    mine = folder.make()
    with subprocess.Popen([sys.executable, "-c", WRITER, mine], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        guard.sweep([glob.escape(mine)], settle=30)
    assert not Path(mine).exists()


def test_a_folder_for_sockets_has_a_short_path_and_lies_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
    monkeypatch.setattr(folder, "_SHORT_PLACES", (str(tmp_path / "none"), str(short)))
    for place in (short, tmp_path / ("long" * 20), tmp_path / ("long" * 50)):
        place.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        made = Path(folder.make_for_sockets())
        assert made.parent == short
        assert made.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(folder, "_SHORT_PLACES", (str(tmp_path / "none"),))
    monkeypatch.setenv("TMPDIR", str(place))
    with pytest.raises(OSError, match=r"TMPDIR \(.*longlong.*path of at most 36 characters"):
        folder.make_for_sockets()
    shutil.rmtree(short)
