"""`python -m testing.vcluster [NODES [RATE]] [COMMAND...]`: a command (or a shell) on the head of a new cluster.

A rate of the nodes' links, as `400mbit`, has the network be slower than the machine, as networks are.
"""

import os
import subprocess
import sys

from testing.vcluster.cluster import Cluster
from testing.vcluster.files import Settings


def main(arguments: list[str]) -> int:
    """Bring a cluster up for as long as the command runs."""
    nodes = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 2
    rate = arguments.pop(0) if arguments and arguments[0].endswith("bit") else ""
    with Cluster(Settings(nodes=nodes, rate=rate)) as cluster:
        command = arguments or [os.environ.get("SHELL", "/bin/bash")]
        return subprocess.run(cluster.head.words(*command), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
