"""Plain functions, coroutines and programs in one list: `python examples/rhapsody/many_forms.py`."""

import parsl
from parsl import Config, bash_app, python_app

from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate


@python_app
def square(number):
    return number * number


@python_app
async def square_later(number):
    import asyncio  # noqa: PLC0415 - the function travels without its script

    await asyncio.sleep(0.01)
    return number * number


@bash_app
@annotate(Policy(output="text"))
def echo(number):
    return f"echo task {number}"


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])])):
        tasks = [form(number) for form in (square, square_later, echo) for number in range(10)]
        failed = sum(task.exception() is not None for task in tasks)
        print(f"done: {len(tasks) - failed}, failed: {failed}")
        print([task.result() for task in tasks[:20]])
        print(tasks[-1].result().stdout.strip())
