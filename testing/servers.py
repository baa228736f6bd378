"""Servers of others that tests run as services."""

import shutil
import sys

__all__ = ("MLFLOW", "REDIS", "has")

REDIS = "redis-server --bind {host} --port {port} --save '' --dir /tmp"
MLFLOW = f"{sys.prefix}-mlflow/bin/mlflow server --host {{host}} --port {{port}} --workers 1"
"""In an environment of its own, which `make integration` makes."""


def has(command: str) -> bool:
    """Whether a server is installed."""
    return shutil.which(command.split(maxsplit=1)[0]) is not None
