"""Runs the examples of the user's pages, page after page, as one script would: in `__main__`, with one executor loaded.

A page that loads a config of its own comes first.

    python -c "from tests.integration.page_runner import main; main()" FOLDER PAGE...

Prints a line per page: its name, what it printed, and the traceback of what went wrong.
"""

import contextlib
import io
import json
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import parsl
from parsl import Config

from rhapsody_parsl import CommandService, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from testing.fake_openai import COMMAND
from testing.pages import ROOT, examples

CHECKS = {
    "docs/get_started.md": "'9' and 'dragon' in str(why) and now and history",
    "docs/runtimes/mpi.md": "open('hello.txt').read().count('Hello, World!') == 2",
    "docs/services.md": "url == f'tcp://{host}:{port}' and not secret",
    # The stand-in for the model answers with the prompt reversed.
    "docs/runtimes/vllm.md": (
        "answer[::-1] == 'Propose the next temperature after: 0.7 is liquid' and model == 'm'"
        " and vectors == [[8], [10]] and scores == [8, 10]"
    ),
}
"""What holds after a page, beside what it prints."""
_NAMES = sys.modules["__main__"].__dict__


def loaded(folder: str) -> Any:
    """Load an executor with all runtimes, and servers that take the place of the pages' models and cache."""
    names = ("assistant", "encoder")
    models = [VLLMService(name, model="m", cores=0, server="command", executable=COMMAND) for name in names]
    cache = CommandService("cache", (sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"), cores=0)
    executor = RhapsodyExecutor(
        label="pages",
        runtimes=[DragonRuntime(), MPIRuntime(), LocalRuntime()],
        services=[*models, cache],
        cores_per_node=2,
    )
    return parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False))


def run(name: str) -> str:
    """Run a page's examples in `__main__`, which has no other names.

    Returns:
        The traceback of what went wrong, or "".
    """
    before = dict(_NAMES)
    try:
        for number, example in enumerate(examples(ROOT / name)):
            exec(compile(example, f"{name}, example {number + 1}", "exec"), _NAMES)  # noqa: S102 - ours
        assert eval(CHECKS.get(name, "True"), _NAMES), CHECKS[name]  # noqa: S307 - ours
    except Exception:  # noqa: BLE001 - a page's fault is its result
        return traceback.format_exc()
    finally:
        _NAMES.clear()
        _NAMES.update(before)
    return ""


def tell(name: str) -> None:
    """Run a page and print its line."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        problem = run(name)
    print(json.dumps([name, printed.getvalue().splitlines(), problem]), flush=True)  # noqa: T201 - to the test


def main() -> None:
    """Run the pages of the command line."""
    folder, *names = sys.argv[1:]
    hosts = Path(folder, "hosts")
    hosts.write_text(socket.gethostname())
    alone = [name for name in names if any("parsl.load(" in example for example in examples(ROOT / name))]
    for name in alone:
        tell(name)
    with loaded(folder):
        os.environ["RHAPSODY_HOSTFILE"] = str(hosts)  # for AllocationProvider; after the block has started
        for name in names:
            if name not in alone:
                tell(name)
