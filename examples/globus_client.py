"""Five kinds of tasks through Globus Compute to one endpoint: `python examples/globus_client.py ENDPOINT_ID [MODEL]`.

Only the SDK is needed here (`pip install globus-compute-sdk`). MODEL is a folder of the endpoint's machine, or a
model's name as vLLM takes it; without one no model is asked.
"""

import os
import sys

from globus_compute_sdk import Client, Executor, MPIFunction, ShellFunction


def square(x):
    return x * x


def total(values, comm=None):  # runs on every rank; rank 0's result counts
    return comm.allreduce(sum(values[comm.rank :: comm.size]))


def question(topic):  # the service completes what it returns
    return f"Tell me about {topic}:"


def submit(executor, spec, function, *args, **kwargs):
    executor.resource_specification = spec  # holds for what is submitted from now on
    return executor.submit(function, *args, **kwargs)


def main(endpoint, model=None):
    client = Client(local_compute_services="GLOBUS_SDK_SERVICE_URL_AUTH" in os.environ)  # set for a trial only
    config = {"model": model} if model else {}
    with Executor(endpoint, client=client, user_endpoint_config=config) as executor:
        ranks = {"runtime": "mpi", "num_ranks": 2}
        futures = {
            "function": submit(executor, None, square, 7),
            "shell": submit(executor, None, ShellFunction("echo hello from {where}"), where="the block"),
            "launched": submit(executor, ranks, MPIFunction("hostname")),
            "ranks": submit(executor, ranks, total, list(range(100))),
        }
        if model:
            asked = {"runtime": "vllm", "service": "assistant", "max_tokens": 16}
            futures["model"] = submit(executor, asked, question, "argon")
        for name, future in futures.items():
            print(f"{name}: {future.result()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
