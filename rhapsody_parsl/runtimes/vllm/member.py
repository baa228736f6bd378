"""`python -m rhapsody_parsl.runtimes.vllm.member SETTINGS`: an engine's part on one of a replica's further nodes.

It is `vllm serve --headless`, whatever holds the head: an engine's workers, or engines of their own when it is data
parallel. They find the head where it has said that it is to be met. We leave with them, and with the pilot.
"""

import os
import subprocess
import sys
from pathlib import Path

from rhapsody_parsl.hosts.own_address import address_towards
from rhapsody_parsl.hosts.process_tree import adopt_orphans
from rhapsody_parsl.runtimes.vllm.command_line import member_command
from rhapsody_parsl.runtimes.vllm.multi_node import network_environment
from rhapsody_parsl.runtimes.vllm.ports import claimed
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.services.leaving import leave, leave_with

__all__ = ("main",)


def main(arguments: list[str]) -> None:
    """Be there until the engine's part here ends, or the pilot is gone."""
    adopt_orphans()
    settings = EngineSettings.read(Path(arguments[0]))
    leave_with(settings.spoke())
    if settings.rendezvous:
        os.environ.update(network_environment(address_towards(settings.rendezvous.address)))
    with claimed(one_engine=not settings.service.data_parallel):
        part = subprocess.Popen(member_command(settings, sys.executable), stdin=subprocess.DEVNULL)
        leave(abs(part.wait()))


if __name__ == "__main__":
    main(sys.argv[1:])
