"""The states of what a block has, and what becomes of its tasks, as words: mypy and the codec know which there are.

A state is a `Literal` everywhere, as the values of a specification are: it travels as it is, and is read as it is.
"""

from typing import Literal, get_args

__all__ = ("REQUEST_ENDS", "SHOWN_FIRST", "Outcome", "RequestEnd", "RuntimeState", "ServiceState", "TaskState")

TaskState = Literal["waiting", "running", "prefetched", "recalled", "stopping", "unknown"]
"""Where a task of a block is.

`waiting` for a lease; `running`, as far as the pilot knows; `prefetched` behind the running task of its worker;
`recalled` from there; `stopping` because it was cancelled or took too long. `unknown`: it never came, has ended or was
given back.
"""

Outcome = Literal["done", "failed", "lost", "cancelled"]
"""What became of a task that has ended.

`done`: it returned or raised. `lost`: with the process, the node or the block under it. `cancelled`: by the user.
`failed`: of anything else that this package says of a task: refused, too long, too large, no service.
"""

RequestEnd = Literal["done", "failed", "refused", "late", "left", "lost"]
"""How a request at the front door ended.

`done`: it was answered whole. `failed`: the engine answered with an error, or died with the request. `refused`: by the
door, for a limit, or because nobody serves what it asks for. `late`: its answer did not begin in the time that its
client gave. `left`: its client hung up. `lost`: with the door's process or the block.
"""

REQUEST_ENDS: tuple[RequestEnd, ...] = get_args(RequestEnd)
"""An end travels as its place in here."""

RuntimeState = Literal["off", "starting", "ready", "failed", "lost"]
"""A runtime is `off` until something needs it. One that was `ready` and is `lost` starts again when it is needed."""

ServiceState = Literal["waiting", "starting", "ready", "asleep", "stopping", "failed", "stopped"]
"""Of a replica, and of a service: `ready` when a replica is.

`waiting` until the block has room for it; `stopping` while it ends what it has begun; `asleep` while others have the
GPUs of an engine that has kept its process.
"""

SHOWN_FIRST: tuple[ServiceState, ...] = ("ready", "starting", "waiting", "asleep", "stopping", "failed", "stopped")
"""The state of a service is the first of these that one of its replicas, or one of its blocks, has."""
