"""A service is added, scaled, stopped and started while tasks run; what it held is the tasks' meanwhile."""

import sys

import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor


@python_app
def length(name):  # waits while the service starts
    import urllib.request  # noqa: PLC0415 - the function travels without its script

    from rhapsody_parsl import service  # noqa: PLC0415 - as above

    with urllib.request.urlopen(service(name).url) as answer:  # noqa: S310 - our own server
        return len(answer.read())


@python_app
def whole(parsl_resource_specification=None):
    return "a task with all cores"


if __name__ == "__main__":
    executor = RhapsodyExecutor(
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[LocalRuntime()],
        cores_per_node=4,
    )
    command = (sys.executable, "-m", "http.server", "--bind", "{host}", "{port}")
    with parsl.load(Config(executors=[executor])):
        files = executor.services.add(CommandService("files", command, ready="http:/"))
        print("read:", length("files").result() > 0)

        files.scale(2)
        files.wait_ready(timeout=60)
        print("scaled:", files.status().ready)

        files.stop()
        files.wait_stopped(timeout=60)
        print("stopped:", whole(parsl_resource_specification={"cores": 4}).result())

        files.start()
        files.wait_ready(timeout=60)
        print("started:", files.status().state, files.url.startswith("http://127.0.0.1:"))
        files.restart()
        print("read again:", length("files").result() > 0)
