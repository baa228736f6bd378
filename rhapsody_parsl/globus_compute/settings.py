"""The engine's part of an endpoint's YAML as checked values; what is wrong is named by its YAML path."""

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from rhapsody_parsl import service_table
from rhapsody_parsl.annotations.arguments import taken
from rhapsody_parsl.config import DragonRuntime
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import find, load, names
from rhapsody_parsl.service_config import ServiceConfig, check_services
from rhapsody_parsl.wording import nearest

__all__ = ("InvalidSetting", "check_keys", "read_polling", "read_runtimes", "read_services", "read_setting")

_ROOT = "engine"
_INSTEAD = {
    "max_workers_per_node": "A node runs as many tasks as it has cores: give cores_per_node",
    "cores_per_worker": "A task says what it needs: resource_specification={'cores': 4}",
    "mem_per_worker": "A task says what it needs: resource_specification={'memory': 8}",
    "available_accelerators": "A task says what it needs: resource_specification={'gpus': 1}",
    "prefetch_capacity": "Short tasks are put behind each other by themselves",
    "mpi_launcher": "Write runtimes: {mpi: {launcher: srun}}",
    "enable_mpi_mode": "Write runtimes: {mpi: {}}",
    "max_workers_per_block": "A block runs as many tasks as it has cores: give cores_per_node",
    "executor": "This engine makes its own RhapsodyExecutor",
    "container_type": "Start the block in the container: give launch_cmd with {python}, {config} and {block_id}",
    "container_uri": "See container_type",
    "container_cmd_options": "See container_type",
}
"""What to write instead of keys that other engines have."""

_SERVICE = "{name: assistant, model: ..., gpus: 1}"
_POLLING = {"strategy": "simple", "max_idletime": 120.0, "strategy_period": 5.0}
_STRATEGIES = ("none", "simple", "htex_auto_scale")

T = TypeVar("T", bound=msgspec.Struct)


class InvalidSetting(InvalidTask):
    """A value of the endpoint's YAML that cannot be; `key` is its path."""

    def sentence(self) -> str:
        """Name path, value and what is wrong with it."""
        text = f"{self.key}: {self.problem}" + ("" if self.value is None else f", not {self.value!r}")
        return f"{text}. {self.remedy}" if self.remedy else f"{text}."


def check_keys(given: Collection[str], known: Collection[str]) -> None:
    """Refuse keys of the engine that it does not know.

    Args:
        given: In the YAML.
        known: The engine's own.

    Raises:
        InvalidSetting: One is unknown.
    """
    for key in given:
        if key not in known:
            raise InvalidSetting(f"{_ROOT}.{key}", None, "unknown key", _INSTEAD.get(key) or _nearest(key, known))


def read_setting(name: str, value: Any, wanted: Any) -> Any:
    """Return a value as the type that is wanted.

    Args:
        name: Its key, after `engine.`.
        value: From the YAML.
        wanted: The type, as in an annotation.

    Raises:
        InvalidSetting: It is of another.
    """
    try:
        return taken(name, value, wanted)
    except InvalidTask as error:
        raise InvalidSetting(f"{_ROOT}.{name}", error.value, error.problem, error.remedy) from None


def read_polling(strategy: Any, given: Any) -> dict[str, Any]:
    """Return what Parsl's `JobStatusPoller` takes.

    Args:
        strategy: `engine.strategy`.
        given: `engine.job_status_kwargs`, which overrides it.

    Raises:
        InvalidSetting: A key, a value or a strategy that Parsl does not know.
    """
    wish = {} if read_setting("job_status_kwargs", given, dict | None) is None else given
    wish = {**({} if strategy is None else {"strategy": strategy}), **wish}
    for key, value in wish.items():
        where = f"job_status_kwargs.{key}" if key in (given or {}) else str(key)
        if key not in _POLLING:
            raise InvalidSetting(f"{_ROOT}.{where}", None, "unknown key", _nearest(key, _POLLING))
        wish[key] = read_setting(where, value, str if key == "strategy" else int | float)
        if key == "strategy" and value not in _STRATEGIES:
            known = f"allowed are {', '.join(_STRATEGIES)}"
            raise InvalidSetting(f"{_ROOT}.{where}", value, known, nearest(value, _STRATEGIES))
        if key != "strategy" and not value > 0:
            raise InvalidSetting(f"{_ROOT}.{where}", value, "it must be more than zero")
    return {**_POLLING, **wish}


def read_runtimes(given: Any, services: Collection[ServiceConfig] = ()) -> tuple[RuntimeConfig, ...]:
    """Return the runtimes of `engine.runtimes`; Dragon alone when there is none.

    Args:
        given: From the YAML: a mapping from a runtime's name, or the `module:Class` of its configuration, to its
            settings, which may be left out.
        services: Those of the engine; with them there may be no runtime.

    Raises:
        InvalidSetting: A name, key or value that cannot be.
    """
    path = f"{_ROOT}.runtimes"
    if given is None:
        return (DragonRuntime(),)
    runtimes = []
    for name, settings in _mapping(given, path, "runtimes: {dragon: {}, mpi: {launcher: srun}}").items():
        runtimes.append(_read_runtime(name, settings, f"{path}.{name}"))
    if not runtimes and not services:
        raise InvalidSetting(path, given, "at least one runtime is needed")
    return tuple(runtimes)


def _read_runtime(name: str, settings: Any, path: str) -> RuntimeConfig:
    kind = _kind_of(name, path)
    fields = dict(_mapping({} if settings is None else settings, path, f"{name}: {{key: value}}"))
    return _build(kind, fields, path)


def _kind_of(name: str, path: str) -> type[RuntimeConfig]:
    try:
        kind = find(name)
    except InvalidTask as error:
        raise InvalidSetting(path, None, error.problem, error.remedy) from None
    if kind is None or not issubclass(kind, RuntimeConfig):
        raise InvalidSetting(path, None, "unknown runtime", _nearest(name, names()))
    if kind.takes.requests:
        raise InvalidSetting(path, None, "models are services", f"Write services: [{_SERVICE}]")
    return kind


def read_services(given: Any) -> tuple[ServiceConfig, ...]:
    """Return the services of `engine.services`.

    Args:
        given: From the YAML: a list of mappings; the kind of each goes by its keys, see `service_table`.

    Raises:
        InvalidSetting: A key or value that cannot be, or a name that two have.
    """
    path = f"{_ROOT}.services"
    if given is None:
        return ()
    if not isinstance(given, list):
        raise InvalidSetting(path, given, "a list of services is needed", f"Write - {_SERVICE}")
    services = [_read_service(each, f"{path}[{number}]") for number, each in enumerate(given)]
    try:
        return check_services(services, path)
    except InvalidTask as error:
        raise InvalidSetting(*error.args) from None


def _read_service(given: Any, path: str) -> ServiceConfig:
    fields = dict(_mapping(given, path, _SERVICE))
    kind: type[ServiceConfig] = load(service_table.of_keys(fields).config)
    return _build(kind, fields, path)


def _mapping(given: Any, path: str, example: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidSetting(path, given, "keys and values are needed", f"Write {example}")
    return given


def _build(kind: type[T], fields: dict[str, Any], path: str) -> T:
    """Make a configuration, with its errors told by path."""
    known = {field.name: field.required for field in msgspec.structs.fields(kind)}
    for key in fields:
        if key not in known:
            raise InvalidSetting(f"{path}.{key}", None, "unknown key", _nearest(key, known))
    for key, required in known.items():
        if required and key not in fields:
            raise InvalidSetting(f"{path}.{key}", None, "this key is needed")
    try:
        return kind(**fields)
    except InvalidTask as error:
        inner = re.fullmatch(r"\w+\((\w+)\)", error.key)
        where = f"{path}.{inner[1]}" if inner and inner[1] in known else path
        raise InvalidSetting(where, error.value, error.problem, error.remedy) from None


def _nearest(word: str, known: Collection[str]) -> str:
    return nearest(word, known) or f"Known are {', '.join(sorted(known))}"
