"""Private folders: held, or swept."""

import concurrent.futures
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rhapsody_parsl.hosts import folder, leftovers

# Writes files in a folder for a second, or until it is gone, as Open MPI's daemon does that is not below our agent.
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
    mine, other = folder.make(), root / "others"
    other.mkdir()
    code = "from rhapsody_parsl.hosts import folder; print(folder.make(), flush=True); input()"
    env = {**os.environ, "TMPDIR": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as holder:
        assert holder.stdout
        theirs = Path(holder.stdout.readline().decode().strip())
        never_held = root / f"rhapsody-{os.getuid()}-never"
        never_held.mkdir()
        folder.sweep(mine)
        assert sorted(root.iterdir()) == sorted([Path(mine), theirs, other])
        holder.kill()
        holder.wait(10)
    folder.sweep(mine)
    assert sorted(root.iterdir()) == sorted([Path(mine), other])
    os.close(folder.hold(mine))


def test_what_holds_a_folder_is_not_inherited(root: Path) -> None:
    folder.make()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)  # noqa: S607 - as a program of a user may start another
    try:
        assert not [link for link in Path(f"/proc/{child.pid}/fd").iterdir() if ".held" in os.readlink(link)]
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("removed", [True, False])
def test_a_maker_that_a_sweeper_was_faster_than_makes_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    """The sweeper has the lock of the new folder before its maker, or has removed it before."""
    lock, lost, held = leftovers.lock, list[str](), list[int | None]()

    def slow_lock(path: str) -> int | None:
        if not lost:
            lost.append(path)
            if removed:
                shutil.rmtree(path)
            else:
                held.append(lock(path))
        return lock(path)

    monkeypatch.setattr(leftovers, "lock", slow_lock)
    made = folder.make()
    assert made not in lost
    assert lock(made) is None, "it is held"


def test_makers_that_sweep_at_once_lose_none(root: Path) -> None:
    """The kind's whole story, with real processes; `RHAPSODY_STORM=200` is the long form."""
    code = """
import os, sys
from rhapsody_parsl.hosts import folder
for _ in range(10):
    made = folder.make()
    folder.sweep(made)
    assert os.path.exists(made + "/.held"), made
    os.close(folder.hold(made))
"""
    count = int(os.environ.get("RHAPSODY_STORM", "12"))
    env = {**os.environ, "TMPDIR": str(root)}
    makers = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(count)]
    assert [maker.wait(25 * max(1, count // 12)) for maker in makers] == [0] * count
    folder.sweep(str(root / "any"))
    assert not list(root.iterdir())


def test_a_folder_that_others_can_enter_is_not_taken(root: Path) -> None:
    folder.take(str(root / "new"))
    (root / "open").mkdir(mode=0o755)
    (root / "link").symlink_to(root / "new")
    for name in ("open", "link"):
        with pytest.raises(PermissionError, match="not a folder of ours alone"):
            folder.take(str(root / name))


def test_a_folder_is_taken_once_its_owner_has_left(root: Path) -> None:
    """A node agent that starts again, while the one before it still removes the folder of the same name."""
    place = str(root / "new" / "private")
    assert folder.take(place)
    with pytest.raises(OSError, match=r"still hold it after 0\.2 s"):
        folder.take(place, 0.2)
    first = folder.hold(place)

    def leave() -> None:
        os.close(first)
        leftovers.sweep([glob.escape(place)])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        taking = pool.submit(folder.take, place, 20)
        pool.submit(leave).result(20)
        taking.result(20)
    assert leftovers.lock(place) is None
    leftovers.sweep([glob.escape(place)])
    assert Path(place).is_dir(), "the new owner's stays"


def test_a_folder_that_was_left_is_empty_when_it_is_taken(root: Path) -> None:
    place = root / "private"
    folder.take(str(place))
    (place / "some" / "more").mkdir(parents=True)
    (place / "link").symlink_to(root)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place / "socket"))
    os.close(folder.hold(str(place)))
    folder.take(str(place))
    assert [path.name for path in place.iterdir()] == [".held"]
    assert root.exists()
    os.close(folder.hold(str(place)))


def test_a_folder_in_which_somebody_still_writes_is_removed_after_that(root: Path) -> None:
    mine = folder.make()
    with subprocess.Popen([sys.executable, "-c", WRITER, mine], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        os.close(folder.hold(mine))
        leftovers.sweep([glob.escape(mine)], patience=30)
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
