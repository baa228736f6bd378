"""Two models, asked by apps and over HTTP from tasks: `python examples/rhapsody/several_services.py [MODEL]`."""

import parsl
from models import serve
from parsl import Config, python_app

from rhapsody_parsl import VLLM, LocalRuntime, RhapsodyExecutor, annotate


@python_app
@annotate(VLLM("first", max_tokens=8, temperature=0.0))
def ask(prompt):  # by the short way: no HTTP
    return prompt


@python_app
def post(name, prompts):  # over HTTP, as any program of the block can
    import json  # noqa: PLC0415 - the function travels without its script
    import urllib.request  # noqa: PLC0415 - as above

    from rhapsody_parsl import service  # noqa: PLC0415 - as above

    model = service(name)
    answers = []
    for prompt in prompts:
        body = json.dumps({"model": model.model, "prompt": prompt, "max_tokens": 8, "temperature": 0}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {model.api_key}"}
        request = urllib.request.Request(f"{model.base_url}/completions", body, headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own server
            answers.append(json.load(answer)["choices"][0]["text"])
    return answers


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[LocalRuntime()], services=serve("first", "second"))
    with parsl.load(Config(executors=[executor])):
        app = ask("What is the capital of France?")
        tasks = {name: post(name, ["Tell me a joke", "What is 2+2?"]) for name in ("first", "second")}
        print("through an app:", repr(app.result()))
        for name, task in tasks.items():
            print(f"over HTTP from {name}:", len(task.result()), "answers")
