"""`python -m rhapsody_parsl.runtimes.dragon.worker ENDPOINT NAME`: a resident worker that Dragon started."""

import sys

from rhapsody_parsl.wire.mark import Mark
from rhapsody_parsl.worker.loop import serve

if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], mark=Mark(sys.argv[1], sys.argv[2]))
