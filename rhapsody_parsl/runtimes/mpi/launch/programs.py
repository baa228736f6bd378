"""Starts several programs as one gang: `programs.py ONE WORDS... : ANOTHER WORDS...`; standard library only.

`PARSL_MPI_GROUPS` has the launch line and each group's ranks, as `groups.plan_of` writes it. A launcher that takes
several programs gets a line with one part per program. Under the others each rank takes its program by its number.
"""

import json
import os
import shlex
import sys

_COLON = ":"


def split(words: "list[str]") -> "list[list[str]]":
    """Return the programs that stand between colons."""
    programs: list[list[str]] = [[]]
    for word in words:
        if word == _COLON:
            programs.append([])
        else:
            programs[-1].append(word)
    return programs


def composed(
    programs: "list[list[str]]", *,
    line: "list[str]", before: "list[str]", parts: "list[list[str]]", sizes: "list[int]", env: "list[dict[str, str]]",
) -> "list[str]":  # fmt: skip
    """Return the command that starts all.

    Args:
        programs: One of each group.
        line: The launch line.
        before: Words before each rank's program.
        parts: Words before each program of a line with one part per program; [] for a launcher that has no such.
        sizes: Ranks of each group.
        env: Variables of each group.
    """
    own = [[*_setting(each), *program] for each, program in zip(env, programs, strict=True)]
    if not parts:
        return [*line, *before, "/bin/sh", "-c", _by_rank(sizes, own)]
    command = list(line)
    for number, (part, program) in enumerate(zip(parts, own, strict=True)):
        command += [*([_COLON] if number else []), *part, *before, *program]
    return command


def _setting(env: "dict[str, str]") -> "list[str]":
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in env.items())] if env else []


def _by_rank(sizes: "list[int]", programs: "list[list[str]]") -> str:
    """Return a script that becomes the program of its rank."""
    lines, end = [': "${RANK:?the launcher tells no rank its number}"'], 0
    for size, program in zip(sizes, programs, strict=True):
        end += size
        lines.append(f'[ "$RANK" -ge {end} ] || exec {shlex.join(program)}')
    return "\n".join(lines)


def main(words: "list[str]") -> None:
    """Become the launcher."""
    plan, programs = json.loads(os.environ["PARSL_MPI_GROUPS"]), split(words)
    sizes = plan["sizes"]
    if len(programs) != len(sizes) or not all(programs):
        sys.exit(
            f"After $PARSL_MPI_PREFIX stand {len(programs)} programs, and the app's annotation has {len(sizes)} "
            "groups. Write one program per group, with ' : ' between them."
        )
    command = composed(programs, **plan)
    os.execv(command[0], command)  # noqa: S606 - the launcher, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
