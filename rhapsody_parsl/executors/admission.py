"""Refuse at `submit` what can never run, as soon as that can be known: from the spec, or from what a block said."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from parsl.executors.errors import InvalidResourceSpecification

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER, check_gpus_taken, merge, parse
from rhapsody_parsl.annotations.effects import check_effect
from rhapsody_parsl.annotations.plain import plain_dict
from rhapsody_parsl.annotations.policy import FIRST_HOST, PolicyValue
from rhapsody_parsl.annotations.task_spec import TaskSpec, encode_spec
from rhapsody_parsl.errors import InvalidTask, ServiceNotFound
from rhapsody_parsl.executors.forms import check_form
from rhapsody_parsl.executors.functions import FunctionFacts
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import Takes, position
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.wire.reports import Inventory, NodeFacts
from rhapsody_parsl.wording import nearest

__all__ = ("Admission", "Admitted", "InvalidSpecification", "default_of", "in_order", "misfit", "read", "time_misfit")


_LONGER = "Raise the provider's walltime, or lower this one"
_MOST_KNOWN = 4_000
_LONGEST_KNOWN = 4096
"""Bytes of a specification that is remembered: requests that carry their prompts are hardly ever equal."""
_PLAIN = PolicyValue()


def default_of(runtimes: Sequence[RuntimeConfig]) -> str:
    """Return the runtime of tasks that name none, when the user has not said: one for plain tasks if there is any."""
    for_plain = [runtime.name for runtime in runtimes if runtime.takes.single]
    return min(for_plain, key=position) if for_plain else runtimes[0].name


def in_order(runtimes: Sequence[RuntimeConfig], default: str) -> list[type[RuntimeConfig]]:
    """Return which runtime a task is for that names none, the first first: the default, then as the user has them."""
    return [type(runtime) for runtime in sorted(runtimes, key=lambda runtime: runtime.name != default)]


class InvalidSpecification(InvalidTask, InvalidResourceSpecification):
    """Parsl's `InvalidResourceSpecification` with our sentence: key, value, limit, remedy."""

    def __init__(self, key: str, value: Any, problem: str, remedy: str = "") -> None:
        InvalidTask.__init__(self, key, value, problem, remedy)
        self.invalid_keys = {self.key}
        self.message = self.sentence()


def read(specification: Any) -> dict[str, Any]:
    """Return a call's dict as plain data.

    Args:
        specification: Whatever the caller gave; `None` is {}.

    Raises:
        InvalidSpecification: It is no dict, or holds what is no plain data, or too much.
    """
    try:
        return plain_dict(specification, SPEC_PARAMETER)
    except InvalidTask as error:
        raise InvalidSpecification(*error.args) from None


class Admitted(msgspec.Struct, gc=False):
    """A checked spec, as the pilot wants it: encoded, with the encoded request parameters (or b"").

    Attributes:
        spec: The spec.
        encoded: The same as bytes.
        request: Request parameters as bytes.
        streams: Whether a service is to answer in pieces.
        fits: What a block said that can hold it; None before one was found.
    """

    spec: TaskSpec
    encoded: bytes
    request: bytes = b""
    streams: bool = False
    fits: Inventory | None = None


class Admission:
    """Checks specs against the executor's runtimes and the blocks seen so far; remembers what it has checked.

    Args:
        runtimes: All that the executor has.
        services: The executor's.
        default_runtime: For specs that name none.
        nodes_per_block: Nodes of each block, as far as the driver knows.
        walltime: Seconds that each block lasts at most; 0 where the driver does not know.

    Raises:
        InvalidTask: A service's replicas span more nodes than a block has.
    """

    def __init__(
        self,
        runtimes: Sequence[RuntimeConfig],
        services: Sequence[ServiceConfig],
        default_runtime: str,
        nodes_per_block: int,
        *,
        walltime: float = 0.0,
    ) -> None:
        self._runtimes = {runtime.name: runtime for runtime in runtimes}
        self._kinds = in_order(runtimes, default_runtime)
        self._default = default_runtime
        self._nodes, self._walltime = nodes_per_block, walltime
        self._services: dict[str, ServiceConfig] = {}
        for service in services:
            self.add(service)
        self._known: dict[bytes, Admitted] = {}

    @property
    def nodes(self) -> int:
        """Nodes of each block, as far as the driver knows."""
        return self._nodes

    def add(self, service: ServiceConfig) -> None:
        """Know a further service.

        Args:
            service: Its name is new.

        Raises:
            InvalidTask: Its replicas span more nodes than a block has.
        """
        _check_span(service, self._nodes)
        self._services[service.name] = service

    def admit(self, facts: FunctionFacts, given: Mapping[str, Any]) -> Admitted:
        """Return the checked spec of a call.

        Args:
            facts: The function's.
            given: What `read` made of the call's dict; overrides the annotation's key by key.

        Raises:
            InvalidSpecification: It can never run.
        """
        key = msgspec.msgpack.encode((facts, given))
        known = self._known.get(key)
        if known is None:
            known = self._check(facts, given)
            if len(key) <= _LONGEST_KNOWN:
                self._remember(key, known)
        return known

    def _remember(self, key: bytes, admitted: Admitted) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = admitted

    def _check(self, facts: FunctionFacts, given: Mapping[str, Any]) -> Admitted:
        try:
            spec, request = parse(merge(facts.annotation, given), facts.name, facts.comm, self._kinds)
            self._check_runtime(spec)
            self._check_walltime(spec.policy.walltime)
            check_form(spec, request, facts)
            check_effect(spec, facts.agent)
            spec = self._confined(spec)
        except InvalidTask as error:
            raise InvalidSpecification(*error.args) from None
        encoded = msgspec.msgpack.encode(request) if request else b""
        return Admitted(spec, encode_spec(_for_the_block(spec)), encoded, streams=bool(request.get("stream")))

    def _check_runtime(self, spec: TaskSpec) -> None:
        self._check_service(spec.service)
        name = spec.runtime or self._default
        if name not in self._runtimes:
            known = ", ".join(sorted(self._runtimes))
            raise InvalidTask(
                "runtime",
                name,
                f"this executor has {known}",
                f"Add it to RhapsodyExecutor(runtimes=[...]) or use one of: {known}",
            )
        self._check_default(name, spec, self._runtimes[name].takes)
        nodes = spec.resources.num_nodes
        if nodes > self._nodes:
            raise InvalidTask(
                "num_nodes",
                nodes,
                f"a block has {self._nodes}",
                "Raise the provider's nodes_per_block, or ask for fewer",
            )

    def _check_walltime(self, walltime: float) -> None:
        if self._walltime and walltime > self._walltime:
            problem = f"no block lasts so long: the provider's walltime is {self._walltime:g} s"
            raise InvalidTask("walltime", walltime, problem, _LONGER)

    def _check_service(self, name: str) -> None:
        if name and not self._services:
            remedy = "Add it to RhapsodyExecutor(services=[VLLMService(...)])"
            raise ServiceNotFound("service", name, "this executor has no services", remedy)
        if name and name not in self._services:
            hint = nearest(name, self._services) or f"Known are {', '.join(self._services)}"
            raise ServiceNotFound("service", name, "no such service", hint)
        if name and not self._services[name].takes_requests:
            raise InvalidTask(
                "service",
                name,
                f"it is a {type(self._services[name]).__name__}, which answers no prompts",
                f"Leave service out, and ask it from within the task: rhapsody_parsl.service('{name}').url",
            )

    def _check_default(self, name: str, spec: TaskSpec, takes: Takes) -> None:
        """Check what is known once the runtime is that the task did not name."""
        if takes.ranks and not takes.single and not spec.resources.is_mpi:
            raise InvalidTask(
                "parsl_resource_specification",
                {},
                f"an app of the default runtime, {name}, needs ranks",
                "Give num_ranks, or num_nodes and ranks_per_node",
            )
        check_gpus_taken(spec, name, takes)

    def _confined(self, spec: TaskSpec) -> TaskSpec:
        """Return the spec with the label of the only host that its runtime works on."""
        if self._runtimes[spec.runtime or self._default].takes.hosts or FIRST_HOST in spec.policy.labels:
            return spec
        policy = msgspec.structs.replace(spec.policy, labels=(*spec.policy.labels, FIRST_HOST))
        return msgspec.structs.replace(spec, policy=policy)

    def check_fit(self, admitted: Admitted, inventories: Sequence[Inventory]) -> None:
        """Refuse what no block seen so far can ever hold.

        Args:
            admitted: The task's.
            inventories: What the connected blocks said; empty when none has.

        Raises:
            InvalidSpecification: It fits in none of them.
        """
        problem = None
        for inventory in inventories:
            if admitted.fits is inventory:
                return
            problem = misfit(admitted.spec, inventory)
            if problem is None:
                admitted.fits = inventory
                return
        if problem is not None:
            raise InvalidSpecification(*problem)


def _check_span(service: ServiceConfig, nodes: int) -> None:
    if service.nodes > nodes:
        raise InvalidTask(
            service.key_of("nodes"),
            service.nodes,
            f"a replica of service '{service.name}' would not fit into a block of {nodes}",
            "Raise the provider's nodes_per_block, or spread the engine over fewer",
        )


def _for_the_block(spec: TaskSpec) -> TaskSpec:
    """Return the spec without what the driver sees to: tasks that differ in it are alike for the block."""
    policy = spec.policy
    if policy.output == "code" and policy.result == "value":  # the others say nothing without these
        return spec
    policy = msgspec.structs.replace(
        policy, output=_PLAIN.output, output_limit=_PLAIN.output_limit, check=_PLAIN.check,
        result=_PLAIN.result, reference_above=_PLAIN.reference_above,
    )  # fmt: skip
    return msgspec.structs.replace(spec, policy=policy)


class Misfit(NamedTuple):
    """Why a block can never hold a task, as the arguments of `InvalidSpecification`.

    Attributes:
        key: Of the specification.
        value: Its.
        problem: What the block has instead.
        remedy: What to do.
    """

    key: str
    value: list[str] | float
    problem: str
    remedy: str


def misfit(spec: TaskSpec, inventory: Inventory) -> Misfit | None:
    """Return why a block can never hold a task, or None."""
    labels = spec.policy.labels
    nodes = [node for node in inventory.nodes if node.labels.issuperset(labels)]
    if not nodes:
        return Misfit("labels", list(labels), "no node of the block carries them", "Drop them")
    resources = spec.resources
    if resources.is_mpi:
        return _gang_misfit(spec, nodes) or time_misfit(spec, inventory)
    for key in ("cores", "gpus", "memory"):
        wanted = getattr(resources, key)
        if wanted and wanted > (most := max(getattr(node, key) for node in nodes)):
            return Misfit(key, wanted, f"the largest node has {most:g} for tasks", f"Ask for {most:g} at most")
    return time_misfit(spec, inventory)


def time_misfit(spec: TaskSpec, inventory: Inventory) -> Misfit | None:
    """Return why a block can never hold a task until the task's walltime is over, or None."""
    lasts, walltime = inventory.lasts, spec.policy.walltime
    if not walltime or lasts is None or walltime <= lasts:
        return None
    return Misfit("walltime", walltime, f"the block had {lasts:.0f} s until the end of its job when it came", _LONGER)


def _gang_misfit(spec: TaskSpec, nodes: Sequence[NodeFacts]) -> Misfit | None:
    resources = spec.resources
    room = [node.cores // resources.cores_per_rank for node in nodes]
    if resources.num_nodes > len(nodes):
        return Misfit("num_nodes", resources.num_nodes, f"the block has {len(nodes)}", "Ask for fewer")
    if resources.ranks_per_node and sum(r >= resources.ranks_per_node for r in room) < resources.num_nodes:
        return Misfit(
            "ranks_per_node",
            resources.ranks_per_node,
            f"the nodes have room for {max(room)} ranks each",
            "Ask for fewer",
        )
    if resources.num_ranks > sum(room):
        room_for = f"the block has room for {sum(room)} ranks in all"
        return Misfit("num_ranks", resources.num_ranks, room_for, "Ask for fewer")
    if resources.gpus_per_rank > max(node.gpus for node in nodes):
        return Misfit(
            "gpus_per_rank",
            resources.gpus_per_rank,
            f"the largest node has {max(n.gpus for n in nodes):g} GPUs for tasks",
            "Ask for fewer",
        )
    return None
