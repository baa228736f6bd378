"""What stands between a launch line and a program, for what its ranks find."""

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import Place

__all__ = ("forwarding", "preparing")

_PREPARED = ("hydra", "openmpi", "srun", "pals", "flux")
_ONE_INPUT = ("hydra", "openmpi")
"""Launchers whose input is to be the first rank's; the others give each rank all that they read themselves."""
_LETS_RANKS_GO_ON = "hydra"
"""The launcher that goes on with the others when a rank leaves with an exit code, and does not name it."""
_BY_CHOICE = "-disable-auto-cleanup"
"""Its option for who wants the others to go on whatever happens to one."""
_MEETING_PLACE = ("MASTER_ADDR", "MASTER_PORT")
"""What ranks read where to meet, and a launch has in its environment."""
_BEFORE_A_RANK = str(Path(__file__).with_name("before_a_rank.sh"))


def preparing(launcher: Launcher, places: Sequence[Place], line: Sequence[str] = ()) -> list[str]:
    """Return arguments that come between a launch line and the program.

    They tell a rank which of them it is, end the input of all but the first, and add the launcher's libraries, if it is
    in the Python's own prefix. Where the launcher does not, they name a rank that fails, and end the others.

    Args:
        launcher: The block's.
        places: Where the ranks are, in order.
        line: The launch line.
    """
    if launcher.kind not in _PREPARED:
        return []
    own_input = "first" if launcher.kind in _ONE_INPUT else "all"
    ends_all = launcher.kind == _LETS_RANKS_GO_ON and _BY_CHOICE not in line
    python = launcher.python if ends_all else "-"
    return ["/bin/sh", _BEFORE_A_RANK, _libraries(launcher) or "-", own_input, _counts(places), python]


def forwarding(launcher: Launcher, local: bool) -> list[str]:
    """Return options that bring the gang's meeting place to ranks on other hosts; most launchers bring all variables.

    Args:
        launcher: The block's.
        local: Whether all ranks are on the host that the launcher runs on.
    """
    is_needed = launcher.kind == "openmpi" and not local
    return [word for name in _MEETING_PLACE for word in ("-x", name)] if is_needed else []


@cache
def _libraries(launcher: Launcher) -> str:
    lib = Path(launcher.python).parent.parent / "lib"
    is_ours = Path(launcher.program).parent == Path(launcher.python).parent and any(lib.glob("libmpi.so*"))
    return str(lib) if is_ours else ""


def _counts(places: Sequence[Place]) -> str:
    """Return `3x2,1x1` for places of 3, 3 and 1 ranks."""
    runs = [(each, len(list(alike))) for each, alike in itertools.groupby(len(place.ranks) for place in places)]
    return ",".join(f"{each}x{count}" for each, count in runs)
