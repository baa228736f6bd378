"""`python -m rhapsody_parsl.runtimes.dragon.worker ENDPOINT [KEYS] NAME`: a resident worker that Dragon started."""

import os
import sys

from rhapsody_parsl.worker.loop import serve

if __name__ == "__main__":
    os.setsid()  # what a task sends to its process group is for no part of Dragon's, nor for other workers
    endpoint, *keys, name = sys.argv[1:]
    serve(endpoint, name, keys)
