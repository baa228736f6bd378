"""A model of the block for every program on this host: `python examples/front_door.py MODEL [COMMAND ...]`.

MODEL is a folder or a name as vLLM takes it. COMMAND is another OpenAI-compatible server than vLLM. The script asks the
model as any OpenAI client does, and so does a task.
"""

import sys

import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, VLLMService


@python_app
def advise(question: str) -> str:
    """Return an answer to a question."""
    from openai import OpenAI  # noqa: PLC0415 - the function travels without its script

    answer = OpenAI().completions.create(model="assistant", prompt=question, max_tokens=16)
    return answer.choices[0].text


def tell(executor: RhapsodyExecutor) -> None:
    """Stream an answer to this host, ask from a task, and show where any other program may ask."""
    executor.services["assistant"].wait_ready()
    print("serving at", executor.openai_url())
    with executor.openai_client() as client:
        for piece in client.completions.create(model="assistant", prompt="Water is", max_tokens=16, stream=True):
            print(piece.choices[0].text, end="", flush=True)
    print("\nfrom a task:", advise("Ice is").result())


if __name__ == "__main__":
    model, *command = sys.argv[1:]
    assistant = VLLMService(
        "assistant",
        model,
        replicas=2,
        cores=0,
        server="command" if command else "hosted",
        executable=tuple(command),
    )
    executor = RhapsodyExecutor(
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[LocalRuntime()],
        services=[assistant],
    )
    with parsl.load(Config(executors=[executor])):
        tell(executor)
