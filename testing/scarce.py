"""Run a program where something is scarce: a file system of its own that is small or full, few processes, few files."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

import pytest

_WITH_DISKS = """set -e
disks=$1; shift
for disk in $disks; do
    folder=${disk%=*}; size=${disk##*=}
    mkdir -p "$folder"; mount -t tmpfs -o "size=$size" tmpfs "$folder"
done
exec "$@"
"""
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0
    or not (unshare := shutil.which("unshare"))
    or subprocess.run([unshare, "--mount", "true"], check=False, capture_output=True).returncode != 0,
    reason="a small file system of one's own takes root, and a mount namespace (unshare --mount)",
)


def on_small_disks(command: Sequence[str], disks: Mapping[str, str]) -> list[str]:
    """Return the command line that gives a command file systems of its own: sizes as `mount` takes them, by folder."""
    sizes = " ".join(f"{folder}={size}" for folder, size in disks.items())
    return ["unshare", "--mount", "sh", "-c", _WITH_DISKS, "sh", sizes, *command]


def fill(folder: str) -> None:
    """Leave no room in the file system of a folder."""
    with open(os.path.join(folder, "filler"), "wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(b"x" * size):
                    pass
            except OSError:
                continue
