"""Run a command as a user without rights, also where the interpreter lies in a folder that only root may enter."""

import os
import sys
from pathlib import Path

UID = 65534
"""`nobody` and `nogroup` of Debian."""

_ROOT = Path(__file__).parents[1]
_DROP = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]
# In a mount namespace of our own: each closed folder is replaced by one that holds only what is needed of it.
_OPEN = """set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
umask 022
needed=$1; closed=$2; shift 2
for folder in $needed; do mkdir -p "/mnt$folder"; mount --bind "$folder" "/mnt$folder"; done
for folder in $closed; do mount --rbind "/mnt$folder" "$folder"; done
exec "$@"
"""


def as_nobody(command: list[str]) -> list[str]:
    """Return the command line that root runs to run a command as nobody; the process stays the same one."""
    needed = [folder for folder in (sys.base_prefix, sys.prefix, str(_ROOT)) if _closed_part(Path(folder))]
    if not needed:
        return [*_DROP, *command]
    closed = sorted({str(_closed_part(Path(folder))) for folder in needed})
    return ["unshare", "--mount", "sh", "-c", _OPEN, "sh", " ".join(needed), " ".join(closed), *_DROP, *command]


def _closed_part(folder: Path) -> Path | None:
    """Return the first folder on the way that others may not enter."""
    way = [*reversed(folder.parents), folder]
    return next((part for part in way if not os.stat(part).st_mode & 0o001), None)
