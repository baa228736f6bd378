"""Stands for `dragon-config` on the PATH of Dragon's launcher, which asks it for six settings as it starts.

Dragon's own imports Dragon for each of them, one after the other: most of a runtime's start. Ours reads the same
file. Standard library only; `quick_config.py SETTINGS REAL ARGUMENTS`.
"""

import json
import os
import shlex
import sys

_GET = "--get="


def script(python: str, dragon: str, real: str) -> str:
    """Return the text of a `dragon-config` for a folder that comes first on the launcher's PATH.

    Args:
        python: The interpreter that runs it.
        dragon: Folder of the package `dragon`, which holds its settings.
        real: Dragon's own `dragon-config`.
    """
    settings = os.path.join(dragon, ".hsta-config", "dragon-config.json")
    argv = [python, "-I", "-S", os.path.abspath(__file__), settings, real]
    return f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n'


def answer(settings: str, key: str) -> str:
    """Return a setting as `dragon-config --get` prints it, "" when it is not set."""
    try:
        with open(settings) as file:
            return str(json.load(file).get(key, ""))
    except (OSError, ValueError):
        return ""


def main(arguments: "list[str]") -> None:
    """Answer, or become the real one when it is asked for anything else."""
    settings, real, *asked = arguments
    if len(asked) == 1 and asked[0].startswith(_GET):
        print(answer(settings, asked[0].removeprefix(_GET)))  # noqa: T201 - the answer
        return
    os.execv(real, [real, *asked])  # noqa: S606 - no shell


if __name__ == "__main__":
    main(sys.argv[1:])
