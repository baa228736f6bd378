"""`explain`: where a call would go, what it would take, and why; as text and as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.executors.admission import Admission, InvalidSpecification, misfit, read
from rhapsody_parsl.executors.functions import FunctionFacts, facts_of
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.wire.reports import Inventory

__all__ = ("Explanation", "explain")


@dataclass(frozen=True)
class Explanation:
    """Where a call goes.

    Attributes:
        runtime: Its runtime.
        spec: The checked spec, policy and resources included.
        takes: What it takes of the block, a sentence.
        why: Reasons, in order.
        blocks: For each connected block, "" when it can hold the call, else why not.
    """

    runtime: str
    spec: TaskSpec
    takes: str
    why: tuple[str, ...]
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        """Return the readable form."""
        lines = [f"{self.spec.name} runs on {self.runtime} and takes {self.takes}."]
        lines += [f"  - {reason}" for reason in self.why]
        for number, problem in enumerate(self.blocks):
            lines.append(f"  - block {number}: {problem or 'it fits'}")
        if not self.blocks:
            lines.append("  - no block is connected yet, so only what is configured could be checked")
        return "\n".join(lines)


def explain(
    admission: Admission,
    default_runtime: str,
    services: Sequence[ServiceConfig],
    inventories: Sequence[Inventory],
    *,
    spec: dict[str, Any] | Callable[..., Any] | None,
    keys: Mapping[str, Any],
) -> Explanation:
    """Explain a spec or an annotated function against what is configured and connected.

    Raises:
        InvalidSpecification: It can never run.
    """
    facts, given = _call_of(spec, keys)
    checked = admission.admit(facts, given).spec
    problems = [misfit(checked, inventory) for inventory in inventories]
    if problems and all(problems):
        raise InvalidSpecification(*next(problem for problem in problems if problem))
    why = _reasons(checked, facts, given, default_runtime)
    sentences = tuple(f"{p.key}={p.value!r}: {p.problem}" if p else "" for p in problems)
    return Explanation(checked.runtime or default_runtime, checked, _takes(checked, services), tuple(why), sentences)


def _call_of(spec: Any, keys: Mapping[str, Any]) -> tuple[FunctionFacts, dict[str, Any]]:
    if callable(spec):
        return facts_of(getattr(spec, "func", spec)), read(keys)
    return FunctionFacts("a call", {}, False, True), {**read(spec), **read(keys)}


def _reasons(spec: TaskSpec, facts: FunctionFacts, given: Mapping[str, Any], default: str) -> list[str]:
    said = {**facts.annotation, **given}
    why = []
    if "runtime" in said:
        why.append(f"runtime='{spec.runtime}' is asked for")
    elif spec.service:
        why.append(f"service='{spec.service}' makes it a request, for '{spec.runtime}'")
    elif spec.resources.is_mpi:
        why.append(f"rank or node keys make it a task for '{spec.runtime}'")
    else:
        why.append(f"no key names a runtime, so it is the default, '{default}'")
    if spec.comm:
        why.append("its function has a `comm` parameter: it runs on every rank, rank 0's result counts")
    elif spec.resources.is_mpi:
        why.append("its function has no `comm` parameter: it runs once, with $PARSL_MPI_PREFIX set")
    policy = spec.policy
    why.append(
        f"priority {policy.priority:g} (lower runs first), "
        f"placement '{policy.placement}', isolation '{policy.isolation}'"
    )
    if policy.walltime:
        why.append(f"ended with all its processes after {policy.walltime:g} s")
    why.append(f"when its process is lost it {'runs again' if policy.on_loss == 'rerun' else 'fails'}")
    return why


def _takes(spec: TaskSpec, services: Sequence[ServiceConfig]) -> str:
    resources = spec.resources
    memory = f", {resources.memory:g} GB" if resources.memory else ""
    if spec.service:
        wide = (s for s in services if s.name == spec.service and s.nodes > 1)
        spans = "".join(f", of which each replica spans {s.nodes} nodes" for s in wide)
        return f"a place in service '{spec.service}'{spans}"
    if not resources.is_mpi:
        return f"{resources.cores} core(s), {resources.gpus:g} GPU(s){memory} of one node"
    if not resources.num_ranks:
        return f"{resources.num_nodes} whole node(s), a rank on every {resources.cores_per_rank} core(s)"
    nodes = f" on {resources.num_nodes} node(s)" if resources.num_nodes else ""
    gpus = f" and {resources.gpus_per_rank:g} GPU(s)" if resources.gpus_per_rank else ""
    some = f" (GPUs for {resources.gpu_ranks} of them)" if resources.is_mixed else ""
    return f"{resources.num_ranks} rank(s){nodes} with {resources.cores_per_rank} core(s){gpus} each{some}{memory}"
