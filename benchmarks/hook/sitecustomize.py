"""Python imports this as it starts, where the folder is on `PYTHONPATH`: in the processes of `benchmarks.path`."""

from benchmarks import stamps

stamps.install_by_command()
