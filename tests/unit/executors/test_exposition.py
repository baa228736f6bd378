import pytest

from rhapsody_parsl.executors.exposition import exposition
from rhapsody_parsl.wire.reports import NodeFacts, ServiceReport, TaskCounts
from rhapsody_parsl.wire.totals import DoorTotals, ExecutorTotals, Totals
from rhapsody_parsl.wire.use import GpuUse, NodeUse
from rhapsody_parsl.wire.views import BlockView, DoorLoad, ExecutorView, LeaseView, ShareView
from testing import dashboard

LLM = ServiceReport(
    name="llm", state="ready", replicas=2, ready=1, cores=2, gpus=1, node="n", url="", model="", since=0, detail=""
)  # fmt: skip
DOOR = {"llm": DoorTotals(done=7, refused=2, tokens=900, first_seconds=1.5, streams=4)}


@pytest.fixture
def text() -> str:
    lease = LeaseView(name="app", runtime="mpi", began=1.0, shares=(ShareView("n0", (0, 1), (3,)),))
    block = BlockView(
        id="0", state="connected", nodes=(NodeFacts(name="n0", cores=4, gpus=1.0),), cores=4,
        tasks=TaskCounts(queued=3, running=1), runtimes={}, services=(LLM,), lost_nodes=(), leases=(lease, lease),
        waits={"cores": 3}, ends_at=None,
        door={"llm": DoorLoad(waiting=3, answering=2)},
        use={"n0": NodeUse(cpu=0.25, memory=16.0, gpus=(GpuUse(busy=0.5, memory=70.5),))},
    )  # fmt: skip
    totals = ExecutorTotals(Totals(done=2), {"mpi": Totals(done=12_345_678, lost=1)}, {"llm": Totals(done=1)}, DOOR)
    return exposition(ExecutorView(label='a "lab"', outstanding=4, totals=totals, blocks=(block,)))


def test_the_state_of_an_executor_as_prometheus_reads_it(text: str) -> None:
    lines = text.splitlines()
    assert r'rhapsody_tasks_outstanding{executor="a \"lab\""} 4' in lines
    for line in (
        'rhapsody_tasks_ended_total{runtime="mpi",outcome="done"} 12345678',
        'rhapsody_block_waits{block="0",waits_for="cores"} 3',
        'rhapsody_node_units_leased{block="0",node="n0",unit="core",runtime="mpi"} 4',
        'rhapsody_node_units_leased{block="0",node="n0",unit="gpu",runtime="mpi"} 2',
        'rhapsody_front_door_ended_total{service="llm",outcome="refused"} 2',
        'rhapsody_front_door_tokens_total{service="llm",part="answer"} 900',
        'rhapsody_front_door_seconds_total{service="llm",step="first"} 1.5',
        'rhapsody_front_door_requests{block="0",service="llm",state="waiting"} 3',
        'rhapsody_node_cpu_ratio{block="0",node="n0"} 0.25',
        'rhapsody_node_memory_used_bytes{block="0",node="n0"} 16000000000',
        'rhapsody_gpu_busy_ratio{block="0",node="n0",gpu="0"} 0.5',
        'rhapsody_gpu_memory_used_bytes{block="0",node="n0",gpu="0"} 70500000000',
    ):
        assert line.replace("{", r'{executor="a \"lab\"",') in lines
    assert lines.count("# TYPE rhapsody_block_tasks gauge") == 1
    assert text.endswith("\n")


def test_the_dashboard_names_no_label_that_its_metric_has_not(text: str) -> None:
    queries = dashboard.queries()
    assert len(queries) > 15
    for metric, labels in queries:
        assert labels <= dashboard.labels_of(text, metric), metric
