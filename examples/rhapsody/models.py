"""The model that the examples serve: a folder from the command line, or the small one of `make model`."""

import argparse
import shlex
import sys
from pathlib import Path

from rhapsody_parsl import VLLMService

ROOT = Path(__file__).parents[2]


def serve(*names):
    """Return a service per name; `--server COMMAND` takes another OpenAI-compatible server than vLLM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", help="folder or name of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--server", help="a command with {model}, {host}, {port} and {api_key} in it")
    given = parser.parse_args()
    if given.server:
        command = tuple(shlex.split(given.server))
        return [VLLMService(name, model="m", cores=0, server="command", executable=command) for name in names]
    return [VLLMService(name, model=given.model or small_model(), engine_args={"max_model_len": 512}) for name in names]


def small_model():
    """Return the folder of the small model of `make model`."""
    sys.path.append(str(ROOT / "examples"))
    from smollm2 import fetch_model  # noqa: PLC0415 - it is beside this folder

    return str(fetch_model())
