"""Every exception of the package: built from facts, printed as a sentence with the remedy.

Two kinds matter. An *invalid* request can never succeed as it is: `submit` raises it, and a retry is useless. A *lost*
task was running when its process, runtime or block died: a retry may help.

All of them pickle, and all of them travel between processes as `(class name, facts)`: see `wire.failures`.
"""

from rhapsody_parsl.errors.agents import AgentLost, AgentNameTaken, NoAgent, TooManyAgents
from rhapsody_parsl.errors.base import InvalidTask, RhapsodyError, UnroutableTask
from rhapsody_parsl.errors.blocks import (
    BackendFailed,
    IncompatiblePeer,
    MissingPackage,
    RuntimeUnavailable,
    TooFewOpenFiles,
    TooFewThreads,
    Unwritable,
)
from rhapsody_parsl.errors.children import NeedsItsParent, NoParent, TooDeep, TooManyChildren
from rhapsody_parsl.errors.control import NoExecutor
from rhapsody_parsl.errors.lost import BlockExpired, BlockLost, DataLost, LostTask, NodeLost, RuntimeLost, WorkerLost
from rhapsody_parsl.errors.record import NoRecord
from rhapsody_parsl.errors.services import (
    PromptsFailed,
    RequestKilledEngine,
    ServiceFailed,
    ServiceNotFound,
    ServiceNotReady,
    ServiceRequestFailed,
)
from rhapsody_parsl.errors.tasks import (
    FolderUnusable,
    MemoryExceeded,
    NoStream,
    PayloadError,
    RankFailed,
    RemoteError,
    StreamRestarted,
    TaskCancelled,
    WalltimeExceeded,
)

__all__ = (
    "AgentLost",
    "AgentNameTaken",
    "BackendFailed",
    "BlockExpired",
    "BlockLost",
    "DataLost",
    "FolderUnusable",
    "IncompatiblePeer",
    "InvalidTask",
    "LostTask",
    "MemoryExceeded",
    "MissingPackage",
    "NeedsItsParent",
    "NoAgent",
    "NoExecutor",
    "NoParent",
    "NoRecord",
    "NoStream",
    "NodeLost",
    "PayloadError",
    "PromptsFailed",
    "RankFailed",
    "RemoteError",
    "RequestKilledEngine",
    "RhapsodyError",
    "RuntimeLost",
    "RuntimeUnavailable",
    "ServiceFailed",
    "ServiceNotFound",
    "ServiceNotReady",
    "ServiceRequestFailed",
    "StreamRestarted",
    "TaskCancelled",
    "TooDeep",
    "TooFewOpenFiles",
    "TooFewThreads",
    "TooManyAgents",
    "TooManyChildren",
    "UnroutableTask",
    "Unwritable",
    "WalltimeExceeded",
    "WorkerLost",
)
