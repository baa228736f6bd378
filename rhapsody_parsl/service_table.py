"""The kinds of service that are known: the one table that all other parts ask.

A row says where the class of a kind's configuration is, and where its half in the pilot is, each as `module:Class`.
They are imported when somebody needs them.
"""

from collections.abc import Collection
from typing import NamedTuple

__all__ = ("ServiceRow", "class_names", "knows", "of_class", "of_keys", "of_tag")


class ServiceRow(NamedTuple):
    """A kind of service.

    Attributes:
        tag: The configuration's tag, by which it travels.
        config: Where the class of the configuration is, a subclass of `ServiceConfig`.
        implementation: Where the pilot's half is, a `Kind`; it is made of configuration and `Context`.
        key: The setting by which an endpoint's YAML tells this kind; "" for the kind of a service with none of these.
    """

    tag: str
    config: str
    implementation: str
    key: str


_ROWS = [
    ServiceRow(
        tag="vllm",
        config="rhapsody_parsl.service_config:VLLMService",
        implementation="rhapsody_parsl.runtimes.vllm.kind:VLLMKind",
        key="",
    ),
    ServiceRow(
        tag="command",
        config="rhapsody_parsl.service_config:CommandService",
        implementation="rhapsody_parsl.services.command.kind:CommandKind",
        key="command",
    ),
]


def knows(kind: type) -> bool:
    """Whether a class is a service's configuration, or derives from one."""
    return any(row.config in _paths(kind) for row in _ROWS)


def of_class(kind: type) -> ServiceRow:
    """Return the row of a configuration's class, which the table knows."""
    return next(row for row in _ROWS if row.config in _paths(kind))


def of_tag(tag: str) -> ServiceRow:
    """Return the row of a configuration that travels.

    Raises:
        ValueError: There is none of this tag.
    """
    for row in _ROWS:
        if row.tag == tag:
            return row
    raise ValueError(f"no kind of service has the tag {tag!r}")


def of_keys(keys: Collection[str]) -> ServiceRow:
    """Return the row that an endpoint's YAML means by these settings of a service."""
    return next((row for row in _ROWS if row.key and row.key in keys), next(row for row in _ROWS if not row.key))


def class_names() -> list[str]:
    """Return the names of the configurations' classes."""
    return [row.config.partition(":")[2] for row in _ROWS]


def _paths(kind: type) -> list[str]:
    return [f"{each.__module__}:{each.__qualname__}" for each in kind.__mro__]
