"""Find processes by their command line, on a machine where others come and go while we look."""

import psutil


def below(word: str = "", pid: int | None = None) -> list[psutil.Process]:
    """List the living processes below one (this one by default) that have a word in their command line."""
    return [process for process in psutil.Process(pid).children(recursive=True) if word in command_of(process)]


def command_of(process: psutil.Process) -> str:
    """Return a process's command line, "" when it has ended or is a zombie."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # of which psutil's ZombieProcess is one
        return ""
