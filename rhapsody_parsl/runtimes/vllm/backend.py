"""`python -m rhapsody_parsl.runtimes.vllm.backend SETTINGS`: a replica that holds vLLM's engine in its own process.

This module stays light: vLLM's processes are spawned, and each imports the main module again.
"""

import sys
from pathlib import Path

from rhapsody_parsl.hosts.process_tree import adopt_orphans
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings


def main(arguments: list[str]) -> None:
    """Serve until told to leave or the pilot is gone."""
    adopt_orphans()
    settings = EngineSettings.read(Path(arguments[0]))
    import uvloop  # noqa: PLC0415 - see above

    from rhapsody_parsl.runtimes.vllm.engine_host import host  # noqa: PLC0415 - see above

    uvloop.run(host(settings))


if __name__ == "__main__":
    main(sys.argv[1:])
