"""Users' scripts: `python -m tests.cluster.scenarios NAME FOLDER OPTIONS`, run on the head of the cluster."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

import parsl
from parsl import Config, HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import (
    CommandService,
    LocalRuntime,
    RhapsodyExecutor,
    SharedBlock,
    VLLMService,
)
from rhapsody_parsl.errors import NodeLost
from testing.fake_openai import COMMAND
from testing.small_server import COMMAND as WEB
from testing.tiny_llama import Size, write_tiny_llama
from testing.waiting import until
from tests.cluster import apps, behind, far_agents, far_payloads, kept_values, moved_values
from tests.cluster.block import PATIENCE, block, tell
from tests.integration import training as trained

ENGINE = {"max_model_len": 512}
_DECLARED = 6
"""Cores of each node where models are: each engine has some, and those it has lie on all real ones."""


def _spanning(nodes: int) -> dict[str, Any]:
    """Options for Dragon runtimes over several nodes each (0: all)."""
    return {"dragon": {"nodes_per_partition": nodes, "options": ("--network-prefix", "eth0")}} if nodes != 1 else {}


def functions(folder: Path, runtimes: list[str], span: int = 1, way: str = "slurm", deadly: bool = False) -> None:
    """A function on each core of the block, all at once, with `span` nodes under each Dragon runtime (0: all).

    Then tasks on the second host, one in a fresh process, have large results made by tasks of their own on each host.
    With `deadly`, then an agent on the last host is asked and lost, and a task on the second one lends its core. Three
    agents go anywhere, and one on the last host is told that the block ends. Then a
    hundred short ones on another host than the pilot's, the fiftieth of which kills its worker; then one that breaks
    its worker's connection.
    """
    with block(folder, runtimes, way=way, options=_spanning(span)) as executor:
        meeting = folder / "meeting"
        meeting.mkdir()
        cores, began = 6, time.monotonic()
        futures = [executor.submit(apps.meet, {}, str(meeting), cores) for _ in range(cores)]
        tell("met", [future.result(PATIENCE) for future in futures])
        tell("seconds", round(time.monotonic() - began, 1))
        for isolation in ("shared", "process"):
            spec = {"labels": ["vn2"], "cores": 0, "isolation": isolation}
            tell("inside", executor.submit(apps.submit_to, spec, ["vn1", "vn2", "vn3"], 300_000).result(PATIENCE))
        if deadly:
            tell("agent", far_agents.asked_and_lost(executor))
            tell("spread", far_agents.anywhere(executor))
            tell("notice", far_agents.at_the_end(executor, folder / "notice"))
            for number in range(20):  # by then they are known to be short
                executor.submit(apps.die_at, {"labels": ["vn2"]}, number, 50).result(PATIENCE)
            futures = [executor.submit(apps.die_at, {"labels": ["vn2"]}, number, 50) for number in range(100)]
            tell("lost", [number for number, future in enumerate(futures) if future.exception(PATIENCE)])
            cut = executor.submit(apps.hang_up, {"labels": ["vn2"]}, PATIENCE)
            tell("cut", type(cut.exception(PATIENCE / 2)).__name__)
            tell("next", executor.submit(apps.where, {"labels": ["vn2"]}).result(PATIENCE)[0])


def staged(folder: Path, environment: str) -> None:
    """Where a task on each host finds its Python, when the block stages an environment that has little."""

    def places() -> list[str]:  # it travels whole
        import json
        import os
        import shutil
        import sys

        import msgspec

        passed_on = os.path.exists(sys.prefix.partition("/staged/")[0] + "/environment.tar")
        places = [sys.executable, sys.prefix, json.__file__, msgspec.__file__, shutil.which("python") or ""]
        return [*places, *(["passed on"] if passed_on else [])]

    options = {"executor": {"stage_environment": True}, "variables": f"PATH={environment}/bin:$PATH"}
    with block(folder, ["local"], options=options) as executor:
        found = [executor.submit(places, {"labels": [name]}) for name in ("vn1", "vn2", "vn3")]
        tell("places", [future.result(PATIENCE) for future in found])


def references(folder: Path, way: str = "slurm", loses: bool = False) -> None:
    """Values by reference over three hosts."""
    with block(folder, ["local"], way=way) as executor:
        for event, value in kept_values.told(executor, folder, loses, PATIENCE):
            tell(event, value)


def crowd(folder: Path, cores: int, nodes: int = 3, variables: str = "") -> None:
    """A worker on each of many declared cores of each node, all at once."""
    options = {"executor": {"cores_per_node": cores, "heartbeat_threshold": 30}, "variables": variables}
    with block(folder, ["local"], nodes, options=options) as executor:
        began = time.monotonic()
        futures = [executor.submit(apps.started, {}) for _ in range(nodes * cores)]
        tell("started", [future.result(2 * PATIENCE) for future in futures])
        tell("seconds", round(time.monotonic() - began, 1))
        until(lambda: len(_working(executor)) == nodes, 60)
        tell("working", _working(executor))


def _working(executor: RhapsodyExecutor) -> list[str]:
    """Return the nodes that have told how much they work."""
    (there,) = executor.view().blocks
    return sorted(name for name, use in there.use.items() if use.memory)


def cut(folder: Path, threshold: float, way: str = "slurm") -> None:
    """Tasks of a node before, in and after a cut: the same worker, and nothing lost."""
    with block(folder, ["local"], way=way, options={"executor": {"heartbeat_threshold": threshold}}) as executor:
        far = {"labels": ["vn2"]}
        before = executor.submit(os.getpid, far).result(PATIENCE)
        within = executor.submit(apps.where_after, far, threshold / 4)
        tell("running", before)
        until((folder / "go").exists, PATIENCE)
        tell("within", within.result(PATIENCE))
        tell("after", executor.submit(os.getpid, far).result(PATIENCE))


def shared(folder: Path) -> None:
    """Two nodes of a job of three for our executor, the third for Parsl's."""
    worker_init = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={os.environ['PYTHONPATH']}"
    job = SlurmProvider(
        partition="main", nodes_per_block=3, walltime="00:10:00", worker_init=worker_init, launcher=SimpleLauncher()
    )
    shares = SharedBlock(job)
    ours = RhapsodyExecutor(label="ours", provider=shares.share(nodes=2), runtimes=[LocalRuntime()])
    parsls = HighThroughputExecutor(label="parsls", provider=shares.share(nodes=1), max_workers_per_node=2)
    config = Config(executors=[ours, parsls], run_dir=str(folder / "runinfo"), initialize_logging=True)
    with parsl.load(config):
        for label, cores in (("ours", 4), ("parsls", 2)):
            (meeting := folder / label).mkdir()
            app = parsl.python_app(apps.meet, executors=[label])
            futures = [app(str(meeting), cores) for _ in range(cores)]
            tell(label, sorted({future.result(PATIENCE)[0] for future in futures}))
        tell("jobs", len(job.resources))


def mixed(folder: Path, runtime: str = "dragon", way: str = "slurm") -> None:
    """Functions pinned on each node beside a gang over all three; services on the second, called from the third."""
    service = VLLMService("echo", "m", cores=0, labels=("vn2",), server="command", executable=COMMAND)
    web = CommandService("web", WEB, cores=0, labels=("vn2",), ready="http:/", env={"PASSWORD": "{secret}"})
    options = {"executor": {"services": [service, web]}}
    with block(folder, [runtime, "mpi"], way=way, options=options) as executor:
        for kind, gang in (("function", apps.gang), ("executable", apps.launch)):
            meeting = folder / kind
            meeting.mkdir()
            pinned = [executor.submit(apps.meet, {"labels": [name]}, str(meeting), 6) for name in ("vn1", "vn2", "vn3")]
            spec = {"runtime": "mpi", "num_nodes": 3, "ranks_per_node": 1}
            wide = executor.submit(gang, spec, str(meeting), 6)
            tell(kind, {"pinned": [f.result(PATIENCE) for f in pinned], "gang": wide.result(PATIENCE)})
        called = executor.submit(apps.ask, {"labels": ["vn3"]}, "echo", "hello")
        tell("service", called.result(PATIENCE))
        tell("web", executor.submit(apps.fetch, {"labels": ["vn3"]}, "web").result(PATIENCE))
        ask = executor.submit(apps.prompt, {"runtime": "vllm", "service": "echo"}, "olleh")
        tell("request", ask.result(PATIENCE))


def models(folder: Path) -> None:
    """Three models at once: one on the second node, two over the second and third, for a service has the first.

    Each is asked when it is there, the first also by a function on the third node; `tensor` again after a failure.
    """
    model = str(write_tiny_llama(folder / "model", Size(hidden=128, heads=4)))
    one_front = {"api_server_count": 1}  # one process less that imports vLLM
    services = [
        VLLMService("echo", "m", cores=_DECLARED, server="command", executable=COMMAND),
        _over_two("tensor", model, "hosted"),
        _over_two("data", model, "command", **one_front),
        VLLMService("tiny", model, labels=("vn2",), engine_args=ENGINE),
    ]
    options = {"executor": {"services": services, "cores_per_node": _DECLARED}}
    with block(folder, ["local"], options=options) as executor:

        def ask(service: str) -> list[str]:
            spec = {"runtime": "vllm", "service": service, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
            futures = [executor.submit(apps.prompt, spec, "hello") for _ in range(4)]
            return [future.result(2 * PATIENCE) for future in futures]

        tell("tiny", ask("tiny"))
        tell("called", executor.submit(apps.ask, {"labels": ["vn3"]}, "tiny", "hello").result(PATIENCE))
        tell("without key", executor.submit(apps.ask_without_key, {"labels": ["vn3"]}, "tiny").result(PATIENCE))
        for name in ("data", "tensor"):
            tell(name, {"answers": ask(name), "nodes": _service(executor, name)["node"]})
        until(lambda: (folder / "killed").exists() or (folder / "go").exists(), PATIENCE)
        if (folder / "killed").exists():
            tell("detail", until(lambda: _service(executor, "tensor")["detail"], PATIENCE))
            tell("again", ask("tensor"))
        until((folder / "go").exists, PATIENCE)


def _over_two(kind: str, model: str, server: Literal["hosted", "command"], **more: Any) -> VLLMService:
    engine = {**ENGINE, f"{kind}_parallel_size": 2, **more}
    return VLLMService(kind, model, nodes=2, cores=2, server=server, engine_args=engine)


def _service(executor: RhapsodyExecutor, name: str) -> dict[str, Any]:
    (block,) = executor.snapshot()["blocks"]
    return next(service for service in block["services"] if service["name"] == name)


def leased_gpus(folder: Path) -> None:
    """Four replicas on a GPU each, of the six that three nodes have; functions on the two that are left."""
    service = VLLMService("echo", "m", cores=0, gpus=1, replicas=4, server="command", executable=COMMAND)
    options = {
        "executor": {"services": [service]},
        "slurm": {"exclusive": False, "cores_per_node": 2, "gpus_per_node": 2},
    }
    with block(folder, ["local"], options=options) as executor:
        until(lambda: _ready_replicas(executor) == 4, PATIENCE)
        (meeting := folder / "meeting").mkdir()
        futures = [executor.submit(apps.gpus, {"gpus": 1}, str(meeting), 2) for _ in range(2)]
        tell("functions", [future.result(PATIENCE) for future in futures])
        until((folder / "go").exists, PATIENCE)


def _ready_replicas(executor: RhapsodyExecutor) -> int:
    blocks = executor.snapshot()["blocks"]
    return sum(service["ready"] for block in blocks for service in block["services"])


def gangs(folder: Path, mpi: dict[str, Any], way: str = "slurm", variables: str = "") -> None:
    """A gang over three nodes and an uneven one, as functions and as executables; one that loses its last rank."""
    with block(folder, ["mpi"], way=way, options={"mpi": mpi, "variables": variables}) as executor:
        for name, call in (("function", apps.gang), ("executable", apps.launch)):
            for shape, spec in (("even", {"num_nodes": 3, "ranks_per_node": 2}), ("uneven", {"num_ranks": 5})):
                meeting = folder / f"{name}-{shape}"
                meeting.mkdir()
                future = executor.submit(call, spec, str(meeting), spec.get("num_ranks", 6))
                error = future.exception(PATIENCE)
                tell(f"{name} {shape}", str(error) if error else future.result())
        parts: dict[str, Any] = {"groups": [{"ranks": 2, "env": {"PART": "one"}}, {"ranks": 3}]}
        programs = ["sleep 0.5; echo $RANK $PART $(hostname)", "sleep 0.5; echo $RANK another $(hostname)"]
        told = executor.submit(apps.launch_lines, parts, *programs)
        tell("groups", str(told.exception(PATIENCE) or "") or told.result())
        failed = executor.submit(apps.launch_failing, {"num_nodes": 3, "ranks_per_node": 1}, 2)
        tell("failed", str(failed.exception(PATIENCE) or "") or failed.result())


def training(folder: Path, mpi: dict[str, Any], way: str = "slurm") -> None:
    """What torch reads on each rank of an uneven gang; a training over three nodes; one that loses its second rank."""
    program = f"sleep 0.5; echo {' '.join(f'${name}' for name in trained.VARIABLES)} $(hostname)"
    with block(folder, ["mpi"], way=way, options={"mpi": mpi}) as executor:
        uneven, even = {"num_ranks": 5}, {"num_nodes": 3, "ranks_per_node": 1}
        tell("function", executor.submit(trained.rendezvous, {**uneven, "returns": "all"}).result(PATIENCE))
        tell("launch", executor.submit(apps.launch_lines, uneven, program).result(PATIENCE))
        tell("trained", executor.submit(trained.step, even).result(PATIENCE))
        error = executor.submit(trained.endless, even, str(folder), 1).exception(PATIENCE)
        since = time.time() - float((folder / "died").read_text())
        tell("killed", [type(error).__name__, str(error), since])


def beside(folder: Path, way: str, blocks: int, variables: str = "") -> None:
    """One of some blocks on the same two hosts at once; a function and a rank of each on every host meet."""
    with block(folder, ["dragon", "mpi"], 2, way, {**_spanning(0), "variables": variables}) as executor:
        function, gang = (folder.parent / kind for kind in ("function", "gang"))
        function.mkdir(exist_ok=True)
        gang.mkdir(exist_ok=True)
        met = [executor.submit(apps.meet, {}, str(function), 2 * blocks, 2 * PATIENCE) for _ in range(2)]
        tell("function", [future.result(2 * PATIENCE) for future in met])
        tell("gang", executor.submit(apps.gang, {"num_ranks": 2}, str(gang), 2 * blocks).result(PATIENCE))


def refused(folder: Path, way: str) -> None:
    """What a task hears when its block cannot be."""
    with block(folder, ["local"], 1, way) as executor:
        tell("refused", str(executor.submit(apps.where, {}).exception(PATIENCE)))


def requeued(folder: Path) -> None:
    """Long functions on both nodes of a job that Slurm puts back into its queue, and starts again."""
    with block(folder, ["local"], 2, options={"slurm": {"scheduler_options": "#SBATCH --requeue"}}) as executor:
        (meeting := folder / "meeting").mkdir()
        wait = str(meeting), 2, str(folder / "go")
        once = executor.submit(apps.meet_and_wait, {"cores": 2}, *wait)
        again = executor.submit(apps.meet_and_wait, {"cores": 2, "on_loss": "rerun"}, *wait)
        until(lambda: len(list(meeting.iterdir())) == 2, PATIENCE)
        tell("running")
        tell("lost", str(once.exception(PATIENCE)))
        tell("again", again.result(PATIENCE)[0])
        tell("blocks", executor.connected_blocks())


def alone(folder: Path, mpi: str) -> None:
    """A block of one node, which Parsl's launcher for Slurm starts as a step."""
    with block(folder, ["mpi"], 1, options={"mpi": {"launcher": mpi}}) as executor:
        for name, call in (("function", apps.gang), ("executable", apps.launch)):
            (meeting := folder / name).mkdir()
            tell(name, executor.submit(call, {"num_ranks": 2}, str(meeting), 2).result(PATIENCE))
        tell("left", (executor.view().blocks[0].ends_at or 0.0) - time.time())


def greedy(folder: Path, mpi: dict[str, Any], way: str = "slurm") -> None:
    """Gangs over three nodes that take too much on the last of them, beside modest ones; a service there that does."""
    services = [VLLMService("s", "m", cores=0, server="command", executable=COMMAND, memory=0.3, labels=("vn3",))]
    options = {"mpi": mpi, "executor": {"services": services}}
    with block(folder, ["local", "mpi"], way=way, options=options) as executor:
        spec = {"num_nodes": 3, "ranks_per_node": 1, "memory": 0.3}
        for name, call in (("function", apps.grow_on_last), ("executable", apps.launch_grow)):
            modest = executor.submit(call, spec, 0.05)
            future = executor.submit(call, spec, 1.0)
            error: Any = future.exception(PATIENCE)
            tell(name, [type(error).__name__, *error.args])
            tell(f"modest {name}", modest.result(PATIENCE))
        asked = executor.submit(apps.prompt, {"service": "s"}, "grow")
        tell("service", str(asked.exception(PATIENCE)))
        tell("next", executor.submit(apps.prompt, {"service": "s"}, "abc").result(PATIENCE))


def losing(folder: Path, runtimes: list[str], way: str = "slurm") -> None:
    """Long functions on every node while the test makes one node fail; then short ones, until the node is back."""
    nodes = ["vn1", "vn2", "vn3"]
    with block(folder, runtimes, way=way) as executor:
        meeting = folder / "meeting"
        meeting.mkdir()
        once = [
            executor.submit(apps.meet_and_wait, {"labels": [n]}, str(meeting), 4, str(folder / "go")) for n in nodes
        ]
        spec = {"on_loss": "rerun", "cores": 1}
        again = executor.submit(apps.meet_and_wait, {**spec, "labels": ["vn2"]}, str(meeting), 4, str(folder / "go"))
        until(lambda: len(list(meeting.iterdir())) == 4, PATIENCE)
        tell("running")
        tell("lost", type(once[1].exception(PATIENCE)).__name__)
        tell("only there", type(again.exception(PATIENCE)).__name__)
        (folder / "go").touch()
        tell("others", [future.result(PATIENCE)[0] for future in (once[0], once[2])])
        tell("refused", type(executor.submit(apps.where, {"labels": ["vn2"]}).exception(PATIENCE)).__name__)
        if (folder / "return").exists():
            tell("back", until(lambda: _try(executor), PATIENCE))


def _try(executor: RhapsodyExecutor) -> str:
    try:
        return str(executor.submit(apps.where, {"labels": ["vn2"]}).result(PATIENCE)[0])
    except NodeLost:
        time.sleep(0.5)
        return ""


def gangs_lost(folder: Path, kinds: list[str], mpi: str = "auto", way: str = "slurm") -> None:
    """Gangs over three nodes of which one fails, of each kind at once; what is left goes on."""
    calls = {"function": apps.gang_wait, "executable": apps.launch_wait}
    with block(folder, ["mpi"], way=way, options={"mpi": {"launcher": mpi}}) as executor:
        spec = {"num_nodes": 3, "ranks_per_node": 1}
        wide = {}
        for kind in kinds:
            (meeting := folder / kind).mkdir()
            wide[kind] = executor.submit(calls[kind], spec, str(meeting), 3, str(folder / "go"))
        until(lambda: all(len(list((folder / kind).iterdir())) == 3 for kind in kinds), PATIENCE)
        tell("running")
        tell("lost", {kind: type(future.exception(PATIENCE)).__name__ for kind, future in wide.items()})
        meeting = folder / "next"
        meeting.mkdir()
        narrow = executor.submit(apps.gang, {"num_nodes": 2, "ranks_per_node": 1}, str(meeting), 2)
        tell("next", [host for host, _ in narrow.result(PATIENCE)])


def hold(folder: Path, runtimes: list[str], way: str = "slurm", span: int = 1, mpi: str = "auto") -> None:
    """Work on every node, held until the test has killed what it wants to."""
    with block(folder, runtimes, way=way, options={**_spanning(span), "mpi": {"launcher": mpi}}) as executor:
        meeting = folder / "meeting"
        meeting.mkdir()
        specs = [{"runtime": runtimes[0], "labels": [node]} for node in ("vn1", "vn2", "vn3")]
        futures = [executor.submit(apps.meet_and_wait, spec, str(meeting), 3, str(folder / "go")) for spec in specs]
        if "mpi" in runtimes:
            gang = {"runtime": "mpi", "num_nodes": 3, "ranks_per_node": 1}
            futures.append(executor.submit(apps.gang_wait, gang, str(meeting), 6, str(folder / "go")))
        until(lambda: len(list(meeting.iterdir())) == 3 * len(runtimes), PATIENCE)
        tell("running")
        tell("ended", [type(future.exception(PATIENCE)).__name__ for future in futures])


def main(arguments: list[str]) -> None:
    name, folder, options = arguments
    (globals() | vars(behind) | vars(far_payloads) | vars(moved_values))[name](Path(folder), **json.loads(options))


if __name__ == "__main__":
    main(sys.argv[1:])
