"""vLLM's engine driven directly, in a process of its own: what requests through apps are measured against."""

import asyncio
import contextlib
import multiprocessing
import os
import time
import uuid
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from testing.processes import below

START_TIMEOUT = 600.0
END_TIMEOUT = 20.0


class DirectEngine:
    """An `AsyncLLM` that generates on demand, asked over a pipe.

    Args:
        model: Folder of the model.
        arguments: Of the engine.
        cores: On how many cores, the first; 0: all.
        folder: For what vLLM writes and for its sockets.
    """

    def __init__(self, model: str, arguments: dict[str, Any], cores: int, folder: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._log = Path(folder) / f"direct engine of {Path(model).name}.log"
        self._process = context.Process(
            target=_hold, args=(theirs, model, arguments), kwargs={"count": cores, "log": self._log}
        )
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Wait until it is up.

        Raises:
            SystemExit: It does not come up.
        """
        try:
            if self._pipe.poll(START_TIMEOUT):
                self._pipe.recv()
                return
        except EOFError:
            pass
        raise SystemExit(f"vLLM's engine did not come up:\n{self._log.read_text()[-3000:]}")

    def generate(self, prompts: Sequence[str], tokens: int) -> tuple[float, int, str]:
        """Have all prompts answered side by side; return seconds, tokens, and the first text."""
        self._pipe.send((prompts, tokens))
        answer: tuple[float, int, str] = self._pipe.recv()
        return answer

    def close(self) -> None:
        """End it; idempotent."""
        self._pipe.close()
        self._process.join(END_TIMEOUT)
        if self._process.is_alive():  # it does not look at the pipe before it is up
            for process in below(pid=self._process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.kill()


def _hold(pipe: Connection, model: str, arguments: dict[str, Any], *, count: int, log: Path) -> None:
    """Hold the engine until the pipe ends."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    cores = sorted(os.sched_getaffinity(0))[: count or None]
    os.sched_setaffinity(0, cores)
    os.environ |= {
        "VLLM_RPC_BASE_PATH": str(log.parent),  # it leaves its sockets where they are
        "VLLM_PLUGINS": "",  # Dragon registers some that break it
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # as a service has it: the worker in the engine's own process
        "OMP_NUM_THREADS": str(len(cores)),
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    import uvloop  # noqa: PLC0415 - with vLLM, only here

    uvloop.run(_serve(pipe, model, arguments))
    os._exit(0)  # vLLM's own finalizer stumbles at an interpreter's end


async def _serve(pipe: Connection, model: str, arguments: dict[str, Any]) -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - takes seconds, and only here
    from vllm.usage.usage_lib import UsageContext  # noqa: PLC0415 - as above
    from vllm.utils.gc_utils import freeze_gc_heap  # noqa: PLC0415 - as above
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415 - as above

    as_server = UsageContext.OPENAI_API_SERVER  # with the limits to a batch that a service has
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **arguments), usage_context=as_server)
    await _answer(engine, ["Hello"], 1)
    freeze_gc_heap()  # as vLLM's server does, and so a service: else one turn in ten has a pause of 0.3 s
    pipe.send("ready")
    try:
        while True:
            prompts, tokens = await asyncio.to_thread(pipe.recv)
            pipe.send(await _answer(engine, prompts, tokens))
    except EOFError:
        engine.shutdown()


async def _answer(engine: Any, prompts: Sequence[str], tokens: int) -> tuple[float, int, str]:
    from vllm import SamplingParams  # noqa: PLC0415 - as above
    from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415 - as above

    parameters = SamplingParams(
        max_tokens=tokens, ignore_eos=True, temperature=0, output_kind=RequestOutputKind.FINAL_ONLY
    )

    async def one(prompt: str) -> Any:
        (output,) = [one async for one in engine.generate(prompt, parameters, uuid.uuid4().hex)]
        return output.outputs[0]

    began = time.perf_counter()
    outputs = await asyncio.gather(*map(one, prompts))
    seconds = time.perf_counter() - began
    return seconds, sum(len(output.token_ids) for output in outputs), outputs[0].text
