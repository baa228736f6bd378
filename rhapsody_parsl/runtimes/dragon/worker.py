"""`python -m rhapsody_parsl.runtimes.dragon.worker ENDPOINT NAME`: a resident worker that Dragon started."""

import os
import sys

from rhapsody_parsl.hosts.process_tree import die_with_parent
from rhapsody_parsl.worker.loop import serve

if __name__ == "__main__":
    die_with_parent()
    os.setsid()
    endpoint, name = sys.argv[1:]
    serve(endpoint, name)
