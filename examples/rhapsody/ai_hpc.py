"""Prompts and programs beside each other, routed by their annotations: `python examples/rhapsody/ai_hpc.py [MODEL]`."""

import parsl
from models import serve
from parsl import Config, bash_app, python_app

from rhapsody_parsl import VLLM, LocalRuntime, Policy, RhapsodyExecutor, annotate


@python_app
@annotate(VLLM("assistant", max_tokens=16, temperature=0.0))
def ask(prompts):  # what it returns is asked: a prompt, or a list of prompts
    return prompts


@bash_app
@annotate(Policy(output="text"))
def program():
    return "echo Hello from a program"


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()], services=serve("assistant"))
    with parsl.load(Config(executors=[executor])):
        one = ask("What is the capital of France?")
        two = ask(["Tell me a joke", "What is 2+2?"])
        echo = program()
        print("one prompt:", one.result())
        print("two prompts:", two.result())
        print("a program:", echo.result().stdout.strip())
