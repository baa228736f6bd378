"""The tasks of an executor for people: by app, what waits for what, and some one by one. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rhapsody_parsl.control.messages import AppTasks, TaskTable, TaskView, Wait
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.specs import Specs
from rhapsody_parsl.wire.examination import Examined, LaneReport, TaskPlace
from rhapsody_parsl.wire.messages import Task
from rhapsody_parsl.wire.totals import Totals

__all__ = ("SEVERAL_APPS", "Held", "table")

SEVERAL_APPS = "(several apps)"


class Held(msgspec.Struct, frozen=True):
    """The tasks that have not ended.

    Attributes:
        undelivered: Those that wait for a block.
        blocks: Those that each block has.
        cold: Why those wait that wait for a block, for people.
    """

    undelivered: Sequence[Task]
    blocks: Mapping[str, Sequence[Task]]
    cold: str = ""

    def all(self) -> Iterable[tuple[Task, str]]:
        """Yield each with its block, "" for none."""
        yield from ((task, "") for task in self.undelivered)
        for block, tasks in self.blocks.items():
            yield from ((task, block) for task in tasks)

    def of_app(self, app: str) -> list[int]:
        """Return the numbers of an app's tasks, or with "" of all."""
        specs = Specs()
        return sorted(task.id for task, _ in self.all() if not app or specs.of(task).name == app)


def why_undelivered(blocks: Sequence[Block], jobs: Mapping[str, str]) -> str:
    """Return why tasks wait for a block, for people.

    Args:
        blocks: Those that are there.
        jobs: States of the provider's jobs, by block.
    """
    there = [block for block in blocks if block.inventory]
    if any(not block.closing and not block.cut for block in there):
        return "the blocks that are there have as much as they are given ahead, or cannot hold it"
    if any(block.cut for block in there):
        return "the connection to the block is cut; it may come back"
    if there:
        return f"block {', '.join(block.id for block in there)} is leaving, and no other is there yet"
    said = Counter(state for id_, state in jobs.items() if id_ not in {block.id for block in there})
    alive = {state: count for state, count in said.items() if state in ("pending", "running", "held", "unknown")}
    if not alive:
        return "no block is there, and none is asked for"
    words = ", ".join(f"{count} job{'s' if count > 1 else ''} {state}" for state, count in alive.items())
    return f"no block is there yet ({words})"


def table(
    held: Held, examined: Mapping[str, Examined], ended: Mapping[str, Totals], listed: Sequence[int], *, app: str = ""
) -> TaskTable:
    """Return the tasks for people.

    Args:
        held: Those that have not ended.
        examined: What each block says that answered.
        ended: Counts of those that have, by app.
        listed: Numbers of those to be told one by one.
        app: The one that is asked for; "" for all.
    """
    specs = Specs()
    undelivered = Counter(specs.of(task).name for task in held.undelivered)
    silent = sorted(held.blocks.keys() - examined.keys())
    counts: dict[str, Counter[str]] = {name: Counter(undelivered=count) for name, count in undelivered.items()}
    for lane in (lane for each in examined.values() for lane in each.lanes):
        counts.setdefault(lane.app or SEVERAL_APPS, Counter()).update(
            waiting=lane.waiting, running=lane.running, prefetched=lane.prefetched
        )
    for task in (task for block in silent for task in held.blocks[block]):
        counts.setdefault(specs.of(task).name, Counter()).update(waiting=1)
    rows = [_row(name, counts.get(name, {}), ended.get(name, Totals())) for name in dict.fromkeys([*counts, *ended])]
    waits = [Wait(app=name, block="", tasks=n, asks="", oldest=0.0, why=held.cold) for name, n in undelivered.items()]
    waits += [_wait(lane, block) for block, each in examined.items() for lane in each.lanes if lane.waiting]
    return TaskTable(
        apps=tuple(sorted((row for row in rows if app in ("", row.app)), key=_weight)),
        waits=tuple(sorted((wait for wait in waits if app in ("", wait.app)), key=lambda wait: -wait.tasks)),
        tasks=_listed(held, examined, listed, specs),
        silent=tuple(silent),
    )


def _row(app: str, counts: Mapping[str, int], ended: Totals) -> AppTasks:
    return AppTasks(app=app, **counts, **msgspec.structs.asdict(ended))


def _weight(row: AppTasks) -> tuple[int, int, str]:
    there = row.undelivered + row.waiting + row.running + row.prefetched
    return -there, -(row.done + row.failed + row.lost + row.cancelled), row.app


def _wait(lane: LaneReport, block: str) -> Wait:
    return Wait(
        app=lane.app or SEVERAL_APPS,
        block=block,
        tasks=lane.waiting,
        asks=lane.asks,
        oldest=lane.oldest,
        why=lane.why,
        service=lane.service,
    )


def _listed(held: Held, examined: Mapping[str, Examined], listed: Sequence[int], specs: Specs) -> tuple[TaskView, ...]:
    wanted = set(listed)
    places = {place.task: place for each in examined.values() for place in each.places}
    views = [_view(task, block, specs, places.get(task.id)) for task, block in held.all() if task.id in wanted]
    return tuple(sorted(views, key=lambda view: view.task))


def _view(task: Task, block: str, specs: Specs, place: TaskPlace | None) -> TaskView:
    if place is None:
        return TaskView(
            task=task.id, app=specs.of(task).name, state="delivered" if block else "undelivered", block=block
        )
    return TaskView(
        task=task.id,
        app=specs.of(task).name,
        state=place.state,
        runtime=place.runtime,
        block=block,
        nodes=place.nodes,
        worker=place.worker,
    )
