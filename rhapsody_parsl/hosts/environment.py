"""The environment of the block, which a task finds however many launchers stand between the pilot and its process.

The pilot writes it into the private folder of each host, and each process that will run tasks takes it from there: what
launchers, engines and we ourselves set on the way goes, and what a way to another host drops comes back. Standard
library only.
"""

import contextlib
import json
import os
from collections.abc import Mapping, MutableMapping

from rhapsody_parsl.cluster.launched import leave_world
from rhapsody_parsl.hosts.folder import write_private

__all__ = ("on_host", "put", "take")

_FILE = "environment"
_OF_A_HOST = (
    "HOSTNAME", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK", "SLURMD_NODENAME", "SLURM_NODEID", "SLURM_TOPOLOGY_ADDR", "XDG_RUNTIME_DIR", "FLUX_URI",
    "FLUX_JOB_TMPDIR",
)  # fmt: skip
_OF_DRAGON = ("DRAGON_", "_DRAGON_")
"""What its primitives need in a process that it started."""


def on_host(block: "Mapping[str, str]", here: "Mapping[str, str]") -> "dict[str, str]":
    """Return the block's environment, with what holds for one host as it is on this one.

    Args:
        block: The pilot's.
        here: That of a process on this host.
    """
    own = {name: here[name] for name in _OF_A_HOST if name in here}
    return {**{name: value for name, value in block.items() if name not in _OF_A_HOST}, **own}


def put(folder: str, environment: "Mapping[str, str]") -> None:
    """Leave what tasks on this host are to find; where there is no room, they find what their process was given.

    Args:
        folder: The private one.
        environment: The block's, on this host.
    """
    found = dict(environment)
    leave_world(found)
    with contextlib.suppress(OSError):
        write_private(os.path.join(folder, _FILE), json.dumps(found))


def take(folder: str, environment: "MutableMapping[str, str]") -> None:
    """Make an environment the block's.

    Args:
        folder: The private one.
        environment: Of a process that will run tasks; changed in place.
    """
    leave_world(environment)
    with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, _FILE), "rb") as file:
        block: dict[str, str] = json.load(file)
        wanted = block | {name: value for name, value in environment.items() if name.startswith(_OF_DRAGON)}
        for name in set(environment) - wanted.keys():
            del environment[name]
        environment.update({name: value for name, value in wanted.items() if environment.get(name) != value})
