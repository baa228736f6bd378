"""`python -m rhapsody_parsl.runtimes.dragon.worker ENDPOINT [KEYS] NAME`: a resident worker that Dragon started."""

import sys

from rhapsody_parsl.worker.loop import serve

if __name__ == "__main__":
    endpoint, *keys, name = sys.argv[1:]
    serve(endpoint, name, keys)
