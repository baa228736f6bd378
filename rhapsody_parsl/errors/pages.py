"""Where the documentation says more of an error."""

__all__ = ("PAGES", "SITE", "note_of")

SITE = ""
"""Address of the site, with a slash at its end: the project's URL `Documentation`. Without one the page is named."""

PAGES = {
    "BackendFailed": "errors.md#when-a-resource-is-used-up",
    "BlockExpired": "block_end.md",
    "BlockLost": "faults.md#blocks-and-hosts",
    "FolderUnusable": "what_a_task_finds.md#a-folder-per-task",
    "IncompatiblePeer": "get_started.md#install",
    "InvalidSpecification": "annotations.md#when-a-request-is-refused",
    "LostTask": "faults.md#tasks",
    "MemoryExceeded": "annotations.md#memory",
    "MissingPackage": "get_started.md#install",
    "NeedsItsParent": "inside.md#parents-that-wait",
    "NoExecutor": "command_line.md#which-run",
    "NoParent": "inside.md",
    "NoRecord": "see.md#the-record",
    "NoStream": "streams.md#the-app",
    "NodeLost": "clusters.md#a-lost-node",
    "PromptsFailed": "runtimes/vllm.md#lists-of-prompts",
    "RankFailed": "runtimes/mpi.md#function-python-on-every-rank",
    "RemoteError": "errors.md#exceptions-of-your-task",
    "RequestKilledEngine": "runtimes/vllm.md#when-an-engine-dies",
    "RhapsodyError": "errors.md",
    "ServiceFailed": "faults.md#model-services",
    "ServiceNotFound": "services.md#find-a-service",
    "ServiceNotReady": "services.md#the-life-of-a-service",
    "ServiceRequestFailed": "services.md#the-life-of-a-service",
    "StreamRestarted": "streams.md#a-task-that-runs-again",
    "TooDeep": "inside.md#limits",
    "TooFewOpenFiles": "errors.md#when-a-resource-is-used-up",
    "TooFewThreads": "errors.md#when-a-resource-is-used-up",
    "TooManyChildren": "inside.md#limits",
    "UnroutableTask": "annotations.md#routing",
    "Unwritable": "errors.md#when-a-resource-is-used-up",
    "WalltimeExceeded": "annotations.md#policy",
}
"""Page and section by the error's name; one that has none has that of its base."""


def note_of(kind: type) -> str:
    """Return the sentence that names the page of a class of errors."""
    page = next(PAGES[base.__name__] for base in kind.__mro__ if base.__name__ in PAGES)
    if not SITE:
        return f"The page of the documentation: docs/{page}"
    path, _, section = page.partition("#")
    return f"See {SITE}{path.removesuffix('.md')}/{'#' * bool(section)}{section}"
