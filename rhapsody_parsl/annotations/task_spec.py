"""The checked description of one app, as it travels to the pilot."""

import msgspec

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.errors import PayloadError

__all__ = ("MAILBOX", "TURN", "TaskSpec", "decode_spec", "encode_spec")

MAILBOX = "mailbox"
"""The runtime of messages to agents: it is in each block, and users do not name it."""
TURN = "turn"
"""That of tasks that have lent their cores, and take their turn to have some again."""


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Everything but the payload; equal specs share one queue in the pilot.

    Attributes:
        name: The app's name, for people.
        runtime: `dragon`, `mpi`, `vllm`, `local`, or "" for the executor's default.
        service: The service a `vllm` task asks, else "".
        comm: Whether the function takes `comm` and runs on every rank.
        full: Whether a request's whole response is wanted instead of its text.
        resources: What it takes.
        policy: How it is mapped.
        mailbox: For an agent: its name, by which messages find it.
    """

    name: str = "task"
    runtime: str = ""
    service: str = ""
    comm: bool = False
    full: bool = False
    resources: Resources = msgspec.field(default_factory=Resources)
    policy: PolicyValue = msgspec.field(default_factory=PolicyValue)
    mailbox: str = ""

    @property
    def launches(self) -> bool:
        """Whether each of its tasks launches ranks of its own, where others use a standing world."""
        return self.resources.is_mpi and not (self.comm and self.policy.isolation != "process")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TaskSpec)


def encode_spec(spec: TaskSpec) -> bytes:
    """Return the spec as bytes; equal specs give equal bytes."""
    return _encoder.encode(spec)


def decode_spec(data: bytes) -> TaskSpec:
    """Return the spec of `encode_spec`'s bytes.

    Raises:
        PayloadError: They are none.
    """
    try:
        return _decoder.decode(data)
    except Exception as problem:  # what odd bytes can raise, msgspec does not list
        raise PayloadError("specification", f"{type(problem).__name__}: {problem}") from problem
