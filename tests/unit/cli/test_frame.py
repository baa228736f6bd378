"""A frame of `top`, from one node to a thousand, on any screen."""

import io

import pytest

from rhapsody_parsl.cli.bars import sparkline
from rhapsody_parsl.cli.figures import duration
from rhapsody_parsl.cli.frame import Size, frame, shared
from rhapsody_parsl.cli.history import History
from rhapsody_parsl.cli.tables import console_of
from rhapsody_parsl.control.messages import AppTasks, RunFacts, RunView, TaskTable, Wait
from rhapsody_parsl.wire.reports import NodeFacts, RuntimeReport, ServiceReport, TaskCounts
from rhapsody_parsl.wire.totals import DoorTotals, ExecutorTotals, Totals
from rhapsody_parsl.wire.use import GpuUse, NodeUse
from rhapsody_parsl.wire.views import BlockView, DoorLoad, ExecutorView, LeaseView, ShareView

FACTS = RunFacts(label="x", host="login", pid=1, folder=f"/{'long/' * 20}runinfo/000/x", version="1", began=0.0)
LLM = ServiceReport(
    name="llm", state="ready", replicas=2, ready=1, cores=2, gpus=1, node="n", url="", model="", since=0, detail=""
)  # fmt: skip


def run_of(nodes: int, cores: int = 8) -> RunView:
    """A block of which the first half of the nodes is full, and one node is lost."""
    names = [f"n{number}" for number in range(nodes)]
    held = [LeaseView(name="a", runtime="mpi", began=0.0, shares=(ShareView(name, tuple(range(cores)), (0,)),))
            for name in names[: nodes // 2]]  # fmt: skip
    served = LeaseView(name="service llm[0]", runtime="vllm", began=0.0, shares=(ShareView(names[-1], (0,), (0,)),))
    block = BlockView(
        id="0", state="connected", nodes=tuple(NodeFacts(name=name, cores=cores, gpus=1) for name in names),
        cores=nodes * cores, tasks=TaskCounts(queued=7, running=5), runtimes={"mpi": RuntimeReport(state="ready")},
        services=(LLM,), lost_nodes=tuple(names[1:2]), leases=(*held, served), waits={}, ends_at=90.0,
        use={name: NodeUse(cpu=number % 2 / 2, memory=2.0, gpus=(GpuUse(busy=0.75, memory=10.0),))
             for number, name in enumerate(names)},
        door={"llm": DoorLoad(waiting=4, answering=3)},
    )  # fmt: skip
    door = {"llm": DoorTotals(done=50, failed=1, late=1, refused=5, left=6, lost=7, tokens=12_345)}
    totals = ExecutorTotals(Totals(done=1234567), door=door)
    view = ExecutorView(label="x", outstanding=15, totals=totals, blocks=(block,))
    return RunView(run=FACTS, view=view, undelivered=3, jobs={"1": "pending"}, now=60.0)


def tasks_of(apps: int) -> TaskTable:
    rows = tuple(AppTasks(app=f"app{number}", waiting=9, running=number) for number in range(apps))
    waits = tuple(
        Wait(app=row.app, block="0", tasks=9, asks="1 core", oldest=5.0, why="why " * 40, service="llm") for row in rows
    )
    return TaskTable(apps=rows, waits=waits, silent=("3",))


def drawn(nodes: int, apps: int, size: Size) -> list[str]:
    console = console_of(width=size.width, height=size.height, file=io.StringIO(), record=True)
    history = History()
    for second in range(60):
        history.add(float(second), second * 10, {"llm": second * 20})
    console.print(frame(run_of(nodes), tasks_of(apps), history, size))
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize("size", [Size(80, 16), Size(80, 24), Size(80, 50), Size(120, 40), Size(200, 60)])
@pytest.mark.parametrize(("nodes", "apps"), [(2, 1), (64, 5), (1000, 200)])
def test_it_fits_any_screen(nodes: int, apps: int, size: Size) -> None:
    lines = drawn(nodes, apps, size)
    assert len(lines) <= size.height
    assert max(map(len, lines)) <= size.width


def test_what_is_on_it() -> None:
    lines = "\n".join(drawn(4, 1, Size(100, 50)))
    for part in (
        "x on login, up 1:00", "15 outstanding: 10 wait, 5 with a runtime  10.0/s", "1,234,567 done",
        "1 connected, 1 pending; 4 nodes, 1 lost", "17/32  mpi 16  services 1", "nodes  █x·▁", "CPU    ·x·▄", "3/4",
        "30 s", "work   CPU 25%, memory 8.0 GB, GPU 75% of 4, GPU memory 40.0 GB",
        "block 3 did not answer in time",
    ):  # fmt: skip
        assert part in lines, part
    service, door = (line for line in lines.splitlines() if line.startswith("llm"))
    assert service.split() == ["llm", "ready", "1/2", "2", "1", "9", "0", "0"], "with the nine that wait"
    assert door.split() == ["llm", "4", "3", "50", "2", "5", "6", "7", "12,345", "20.0"]


def test_a_thousand_nodes_are_told_in_numbers() -> None:
    assert "nodes  499 idle, 1 up to half, 0 over half, 499 full, 1 lost" in drawn(1000, 1, Size(80, 40))


def test_names_are_no_markup() -> None:
    console = console_of(width=80, file=io.StringIO(), record=True)
    apps = (AppTasks(app="[bold]:smile:[/nothing]", running=1),)
    console.print(frame(run_of(1), TaskTable(apps=apps, waits=()), History(), Size(80, 40)))
    assert "[bold]:smile:[/nothing]" in console.export_text()


def test_rows_are_shared() -> None:
    assert shared([1, 9, 9], 10) == [1, 5, 4]
    assert shared([1, 9, 9], 100) == [1, 9, 9]
    assert shared([1, 9, 9], -5) == [1, 2, 2]


def test_throughput() -> None:
    history = History()
    assert (history.rate, history.token_rates, history.rates(5)) == (None, None, [])
    history.add(-20.0, 0)
    assert history.rate is None, "one look tells no throughput"
    for second, ended in ((0, 0), (30, 300), (31, 320), (40, 500), (40, 900)):
        history.add(second, ended)
    assert history.rate == pytest.approx(20.0), "over the last ten seconds"
    assert history.rates(2) == [20.0, 20.0]
    assert sparkline([0, 1, 2]) == " ▄█"
    assert sparkline([]) == ""


@pytest.mark.parametrize(("seconds", "said"), [
    (0, "0 s"), (59.4, "59 s"), (187, "3:07"), (3729, "1:02:09"), (273_600, "3 d 4 h"), (-5, "0 s"),
])  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
