"""Python imports this as it starts, where the folder is on `PYTHONPATH`: in the processes that `path` stamps."""

from benchmarks.library import stamps

stamps.install_by_command()
