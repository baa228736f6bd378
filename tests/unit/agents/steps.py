"""A step of a batch system, `python steps.py HOSTS COMMAND...`: the command on each host, all of which are this one.

Slurm's name of a host is in the environment, as there, and the private folder, the sixth word, is a host's own. With
`--copy` before the hosts each process has a copy of the standard input, as under `srun`; else it has none.
"""

import os
import subprocess
import sys
import threading

_AT_FOLDER = 4


def _start(host: str, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
    command = [*command[:_AT_FOLDER], f"{command[_AT_FOLDER]}-{host}", *command[_AT_FOLDER + 1 :]]
    return subprocess.Popen(command, stdin=stdin, env={**os.environ, "SLURMD_NODENAME": host})


def _copy(processes: "list[subprocess.Popen[bytes]]") -> None:
    while data := os.read(0, 1 << 16):
        for process in processes:
            if process.stdin:
                process.stdin.write(data)
                process.stdin.flush()
    for process in processes:
        if process.stdin:
            process.stdin.close()


def main(words: list[str]) -> None:
    copies = words[0] == "--copy"
    hosts, *command = words[1:] if copies else words
    stdin = subprocess.PIPE if copies else subprocess.DEVNULL
    processes = [_start(host, command, stdin) for host in hosts.split(",")]
    if copies:
        threading.Thread(target=_copy, args=(processes,), daemon=True).start()
    for process in processes:
        process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
