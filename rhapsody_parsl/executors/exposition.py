"""The state of an executor in the text format that Prometheus reads."""

from collections.abc import Iterator, Mapping

from rhapsody_parsl.wire.states import REQUEST_ENDS
from rhapsody_parsl.wire.totals import DoorTotals
from rhapsody_parsl.wire.views import BlockView, ExecutorView

__all__ = ("exposition",)

_GB = 1e9

Sample = tuple[str, Mapping[str, str], float]

_METRICS = {
    "rhapsody_tasks_outstanding": ("gauge", "Tasks that were submitted and have not ended."),
    "rhapsody_tasks_ended_total": ("counter", "Tasks that have ended, by runtime and outcome."),
    "rhapsody_requests_ended_total": ("counter", "Requests of apps that have ended, by service and outcome."),
    "rhapsody_front_door_ended_total": ("counter", "Requests at front doors that have ended, by service and outcome."),
    "rhapsody_front_door_tokens_total": ("counter", "Tokens of requests at front doors, by service and part."),
    "rhapsody_front_door_seconds_total": ("counter", "Seconds that requests at front doors took, by service and step."),
    "rhapsody_front_door_streams_total": ("counter", "Requests at front doors whose answer was a stream."),
    "rhapsody_front_door_requests": ("gauge", "Requests at the front door of a block, by service: waiting, answering."),
    "rhapsody_blocks": ("gauge", "Blocks, by state."),
    "rhapsody_block_tasks": ("gauge", "Tasks of a block: queued, or running with a runtime."),
    "rhapsody_block_waits": ("gauge", "Tasks of a block by what they wait for."),
    "rhapsody_node_units": ("gauge", "Cores and GPUs that a node has for tasks."),
    "rhapsody_node_units_leased": ("gauge", "Cores and GPUs of a node that are leased, by runtime."),
    "rhapsody_node_cpu_ratio": ("gauge", "Part of the time that the cores of a node worked, 0 to 1."),
    "rhapsody_node_memory_used_bytes": ("gauge", "Memory of a node that is used."),
    "rhapsody_gpu_busy_ratio": ("gauge", "Part of the time that a GPU worked, 0 to 1."),
    "rhapsody_gpu_memory_used_bytes": ("gauge", "Memory of a GPU that is used."),
    "rhapsody_service_replicas": ("gauge", "Replicas of a service: wanted, or ready."),
}


def exposition(view: ExecutorView) -> str:
    """Return all metrics of an executor.

    Args:
        view: Its state.
    """
    lines: dict[str, list[str]] = {name: [] for name in _METRICS}
    for name, labels, value in _samples(view):
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"executor": view.label, **labels}.items())
        lines[name].append(f"{name}{{{told}}} {value:g}" if value < 1e6 else f"{name}{{{told}}} {value:.0f}")  # noqa: PLR2004 - where `g` would round
    text = []
    for name, (kind, what) in _METRICS.items():
        text += [f"# HELP {name} {what}", f"# TYPE {name} {kind}", *lines[name]]
    return "\n".join(text) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _samples(view: ExecutorView) -> Iterator[Sample]:
    yield "rhapsody_tasks_outstanding", {}, view.outstanding
    for metric, key, totals in (
        ("rhapsody_tasks_ended_total", "runtime", view.totals.runtimes),
        ("rhapsody_requests_ended_total", "service", view.totals.services),
    ):
        for name, each in totals.items():
            for outcome in ("done", "failed", "lost", "cancelled"):
                yield metric, {key: name, "outcome": outcome}, getattr(each, outcome)
    for service, asked in view.totals.door.items():
        yield from _asked(service, asked)
    for state in sorted({block.state for block in view.blocks}):
        yield "rhapsody_blocks", {"state": state}, sum(block.state == state for block in view.blocks)
    for block in view.blocks:
        yield from _of_block(block)


def _asked(service: str, totals: DoorTotals) -> Iterator[Sample]:
    of = {"service": service}
    for outcome in REQUEST_ENDS:
        yield "rhapsody_front_door_ended_total", {**of, "outcome": outcome}, getattr(totals, outcome)
    for part, tokens in (("prompt", totals.prompt), ("answer", totals.tokens)):
        yield "rhapsody_front_door_tokens_total", {**of, "part": part}, tokens
    steps = {"waiting": totals.waiting_seconds, "first": totals.first_seconds, "answer": totals.answer_seconds}
    for step, seconds in steps.items():
        yield "rhapsody_front_door_seconds_total", {**of, "step": step}, seconds
    yield "rhapsody_front_door_streams_total", of, totals.streams


def _of_block(block: BlockView) -> Iterator[Sample]:
    of = {"block": block.id}
    yield "rhapsody_block_tasks", {**of, "state": "queued"}, block.tasks.queued
    yield "rhapsody_block_tasks", {**of, "state": "running"}, block.tasks.running
    for cause, count in block.waits.items():
        yield "rhapsody_block_waits", {**of, "waits_for": cause}, count
    for node in block.nodes:
        for unit, has in (("core", float(node.cores)), ("gpu", node.gpus)):
            yield "rhapsody_node_units", {**of, "node": node.name, "unit": unit}, has
    yield from _leased(block, of)
    yield from _used(block, of)
    for name, load in block.door.items():
        yield "rhapsody_front_door_requests", {**of, "service": name, "state": "waiting"}, load.waiting
        yield "rhapsody_front_door_requests", {**of, "service": name, "state": "answering"}, load.answering
    for service in block.services:
        facts = {**of, "service": service.name}
        yield "rhapsody_service_replicas", {**facts, "count": "wanted"}, service.replicas
        yield "rhapsody_service_replicas", {**facts, "count": "ready"}, service.ready


def _leased(block: BlockView, of: Mapping[str, str]) -> Iterator[Sample]:
    sums: dict[tuple[str, str, str], int] = {}
    for lease in block.leases:
        for share in lease.shares:
            for unit, ids in (("core", share.cores), ("gpu", share.gpus)):
                key = share.node, unit, lease.runtime
                sums[key] = sums.get(key, 0) + len(ids)
    for (node, unit, runtime), count in sums.items():
        yield "rhapsody_node_units_leased", {**of, "node": node, "unit": unit, "runtime": runtime}, count


def _used(block: BlockView, of: Mapping[str, str]) -> Iterator[Sample]:
    for name, use in block.use.items():
        node = {**of, "node": name}
        yield "rhapsody_node_cpu_ratio", node, use.cpu
        yield "rhapsody_node_memory_used_bytes", node, use.memory * _GB
        for number, gpu in enumerate(use.gpus):
            yield "rhapsody_gpu_busy_ratio", {**node, "gpu": str(number)}, gpu.busy
            yield "rhapsody_gpu_memory_used_bytes", {**node, "gpu": str(number)}, gpu.memory * _GB
