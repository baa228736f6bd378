"""`python -m rhapsody_parsl.runtimes.dragon.worker ENDPOINT [KEYS] NAME`: a resident worker that Dragon started."""

import sys
from pathlib import Path

from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.mark import folder_of, made
from rhapsody_parsl.worker.loop import serve

if __name__ == "__main__":
    endpoint, *keys, name = sys.argv[1:]
    mark = made(folder_of(endpoint, keys), name)
    serve(endpoint, name, Keys.load(Path(keys[0])) if keys else None, mark=mark)
