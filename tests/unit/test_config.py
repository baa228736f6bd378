import stat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from rhapsody_parsl import CommandService, DragonRuntime, LocalRuntime, MPIRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.config import BlockConfig, decode_service, encode_service, read_config, write_config
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.service_config import check_services

SERVICE = VLLMService(
    "llm", "/models/x", gpus=2, replicas=3, engine_args={"dtype": "auto", "n": 1}, env={"A": "b"},
    executable=("serve", "{port}"), server="command",
)  # fmt: skip


def test_round_trip_in_a_private_file(tmp_path: Path) -> None:
    config = BlockConfig(
        label="x", addresses=("tcp://h:1",), logs="/l", default_runtime="mpi", nodes=2, memory_per_node=1.5,
        runtimes=(LocalRuntime(), DragonRuntime(nodes_per_partition=0), MPIRuntime(launcher="srun", options=("-v",))),
        services=(SERVICE, CommandService("cache", "redis-server --port {port}")),
    )  # fmt: skip
    path = tmp_path / "block.json"
    write_config(config, path)
    assert read_config(path) == config
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_paths_and_lists_will_do(tmp_path: Path) -> None:
    service = VLLMService("a", model=tmp_path)  # type: ignore[arg-type]  # as users do
    assert service.model == str(tmp_path)
    assert MPIRuntime(options=["-v"]).options == ("-v",)  # type: ignore[arg-type]  # as users do
    assert type(MPIRuntime(world_ranks=np.int64(4)).world_ranks) is int  # type: ignore[arg-type]  # as users do


def test_a_service_is_near_a_label_or_values_that_are_kept_by_reference() -> None:
    class Kept:
        __slots__ = ("key", "size")

        def __init__(self, key: str, size: int) -> None:
            self.key, self.size = key, size

    def near(given: Any) -> Any:
        return CommandService("a", "c", near=given).near

    one, two = Kept("7", 10), Kept("8", 20)
    assert (near("fast"), near(one), near([one, two])) == ("fast", {"7": 10}, {"7": 10, "8": 20})
    assert VLLMService("a", "m", near=two).near == {"8": 20}
    encoded = encode_service(CommandService("a", "c", near=one))
    assert decode_service(encoded).near == {"7": 10}
    for wrong in (3, [3], [one, "fast"], [[one]]):
        with pytest.raises(InvalidTask, match="near"):
            near(wrong)


def test_a_list_of_services_will_do() -> None:
    assert check_services([SERVICE], "services") == (SERVICE,)


def test_an_engine_uses_all_its_gpus_tensor_parallel_within_a_node_unless_the_user_says_how() -> None:
    def sizes(**fields: Any) -> dict[str, Any]:
        return VLLMService("a", "m", **fields).engine_args

    assert sizes(gpus=4) == {"tensor_parallel_size": 4}
    assert sizes(gpus=4, nodes=2, engine_args={"dtype": "half"}) == {
        "dtype": "half", "tensor_parallel_size": 4, "pipeline_parallel_size": 2
    }  # fmt: skip
    assert sizes(nodes=2) == {"tensor_parallel_size": 2}
    assert sizes(gpus=0.5) == sizes(gpus=1) == sizes(gpus=4, server="command", executable="x") == {}
    assert sizes(gpus=4, engine_args={"data_parallel_size": 4}) == {"data_parallel_size": 4}


@pytest.mark.parametrize(
    "sizes",
    [
        {"tensor_parallel_size": 4},
        {"tensor_parallel_size": "2", "pipeline_parallel_size": 2},
        {"tensor_parallel_size": 3, "data_parallel_size": 2},
    ],
)
def test_an_engine_divides_over_two_nodes_by_any_of_its_sizes(sizes: dict[str, Any]) -> None:
    assert VLLMService("a", "m", nodes=2, engine_args=sizes).nodes == 2


@pytest.mark.parametrize(("gpus", "cores"), [(0, 1), (0.5, 2), (1, 2), (2, 4), (8, 10)])
def test_a_replica_takes_cores_by_its_gpus_unless_told(gpus: float, cores: int) -> None:
    service = VLLMService("a", "m", gpus=gpus)
    assert service.cores == cores
    assert msgspec.json.decode(msgspec.json.encode(service), type=VLLMService) == service
    assert VLLMService("a", "m", gpus=gpus, cores=0).cores == 0


@pytest.mark.parametrize(("kind", "keys", "sentence"), [
    (DragonRuntime, {"nodes_per_partition": -1}, "DragonRuntime(nodes_per_partition)=-1: it must be 0 or more."),
    (DragonRuntime, {"startup_timeout": 0}, "DragonRuntime(startup_timeout)=0: it must be 0.1 or more."),
    (MPIRuntime, {"world_ranks": -2}, "MPIRuntime(world_ranks)=-2: it must be 0 or more."),
    (MPIRuntime, {"launcher": "lsf"},
     "MPIRuntime(launcher)='lsf': allowed are auto, hydra, openmpi, srun, pals, flux, mpiexec, aprun."),
    (VLLMService, {"name": "a", "model": "m", "requests_in_flight": 0},
     "VLLMService(requests_in_flight)=0: it must be 1 or more."),
    (CommandService, {"name": "a", "command": " "},
     "CommandService(command)=' ': a program is needed. Write \"redis-server --port {port}\""),
    (CommandService, {"name": "a", "command": "serve 'it"},
     "CommandService(command)=\"serve 'it\": a shell could not divide it: No closing quotation."),
    (CommandService, {"name": "a", "command": "serve {secret}"},
     "CommandService(command)='serve {secret}': everyone on a node can read command lines, so {secret} is not filled "
     'in here. Write env={"PASSWORD": "{secret}"}, or {secret_file} in the command'),
    (CommandService, {"name": "a", "command": "s", "ready": "http:x"},
     "CommandService(ready)='http:x': allowed are tcp, http:/path, log:regex and a function of host and port."),
    (CommandService, {"name": "a", "command": "s", "ready": "htp:/x"},
     "CommandService(ready)='htp:/x': allowed are tcp, http:/path, log:regex and a function of host and port. "
     "Did you mean 'http'?"),
    (CommandService, {"name": "a", "command": "s", "ready": 5},
     "CommandService(ready)=5: allowed are tcp, http:/path, log:regex and a function of host and port."),
    (CommandService, {"name": "a", "command": "s", "ready": "log:x", "health": 5},
     "CommandService(health)=5: what a command wrote when it started does not tell how it is later. "
     'Use ready="http:/path", "tcp" or a function'),
    (CommandService, {"name": "a", "command": "s", "health": 1, "health_failures": 0},
     "CommandService(health_failures)=0: it must be 1 or more."),
    (CommandService, {"name": "a", "command": "s", "ready": "log:("},
     "CommandService(ready)='log:(': no regular expression: missing ), unterminated subpattern at position 0."),
    (CommandService, {"name": "a", "command": "s", "port": 80_000},
     "CommandService(port)=80000: it must be 65535 at most."),
    (CommandService, {"name": "a", "command": "s", "port": 6379, "replicas": 2},
     "CommandService(port)=6379: 2 replicas may stand on one node, where one can have it. Leave port out: each gets a "
     "free one"),
    (CommandService, {"name": "a", "command": "s", "stop_signal": "SIGTRM"},
     "CommandService(stop_signal)='SIGTRM': a signal's name is needed. Did you mean 'SIGTERM'?"),
    (CommandService, {"name": "a", "command": "s", "cores": -1}, "CommandService(cores)=-1: it must be 0 or more."),
    (VLLMService, {"name": "a b", "model": "m"},
     "VLLMService(name)='a b': letters, digits, - and _ only, and 100 at most."),
    (VLLMService, {"name": "a", "model": ""}, "VLLMService(model)='': a folder or a model's name is needed."),
    (VLLMService, {"name": "a", "model": "m", "replicas": -1}, "VLLMService(replicas)=-1: it must be 0 or more."),
    (VLLMService, {"name": "a", "model": "m", "gpus": 1.5},
     "VLLMService(gpus)=1.5: above 1 only whole GPUs can be leased. Use 2, or a share below 1"),
    (VLLMService, {"name": "a", "model": "m", "server": "x"}, "VLLMService(server)='x': allowed are hosted, command."),
    (VLLMService, {"name": "a", "model": "m", "gpus": "2"}, "VLLMService(gpus)='2': Expected float, got str."),
    (VLLMService, {"name": "a", "model": "m", "nodes": 0}, "VLLMService(nodes)=0: it must be 1 or more."),
    (VLLMService, {"name": "a", "model": "m", "nodes": 2, "engine_args": {"tensor_parallel_size": 1}},
     "VLLMService(nodes)=2: tensor_parallel_size * pipeline_parallel_size of its engine_args is 1, which does not "
     "divide over as many nodes. Make it 2, or a multiple"),
    (VLLMService, {"name": "a", "model": "m", "nodes": 2, "engine_args": {"data_parallel_size": 3}},
     "VLLMService(nodes)=2: data_parallel_size of its engine_args is 3, which does not divide over as many nodes. "
     "Make it 2, or a multiple"),
    (VLLMService, {"name": "a", "model": "m", "nodes": 2, "engine_args": {"tensor_parallel_size": 2, "node_rank": 1}},
     "VLLMService(engine_args)='node_rank': nodes=2 sets it."),
    (VLLMService, {"name": "a", "model": "m", "nodes": 2, "server": "command", "executable": "serve {port}"},
     "VLLMService(nodes)=2: a command of your own stands on one node. Leave out executable"),
    (VLLMService, {"name": "a", "model": "m", "sleep": 60},
     "VLLMService(sleep)=60: an engine without GPUs has none to lend. Leave it out"),
    (VLLMService, {"name": "a", "model": "m", "sleep": 60, "gpus": 1, "server": "command"},
     "VLLMService(sleep)=60: vllm serve sleeps for everyone who reaches its port: it asks for no key there. "
     'Use server="hosted"'),
    (DragonRuntime, {"startup_timeout": float("inf")},
     "DragonRuntime(startup_timeout)=inf: a finite number is needed."),
    (DragonRuntime, {"startup_timeout": 10**10},
     "DragonRuntime(startup_timeout)=10000000000: it must be 1e+09 at most."),
    (DragonRuntime, {"nodes_per_partition": 10**6},
     "DragonRuntime(nodes_per_partition)=1000000: it must be 100000 at most."),
    (DragonRuntime, {"executable": "a\0"},
     "DragonRuntime(executable)='a\\x00': the character NUL, and half of a surrogate pair, are not allowed."),
    (MPIRuntime, {"launcher": "srn"},
     "MPIRuntime(launcher)='srn': allowed are auto, hydra, openmpi, srun, pals, flux, mpiexec, aprun. "
     "Did you mean 'srun'?"),
    (VLLMService, {"name": "a", "model": "m", "gpus": float("nan")},
     "VLLMService(gpus)=nan: a finite number is needed."),
    (VLLMService, {"name": "a", "model": "m", "memory": -1}, "VLLMService(memory)=-1: it must be 0 or more."),
    (VLLMService, {"name": "a", "model": "m", "engine_args": {"x": object()}},
     "VLLMService(engine_args)=<object object>: it is not plain data: numbers, text, True, False, None, and lists and "
     "dicts of them."),
    (VLLMService, {"name": "a", "model": "m", "env": {"A=B": ""}},
     "VLLMService(env)='A=B': this is no variable's name."),
    (RhapsodyExecutor, {"services": SERVICE},
     "services=<VLLMService object>: a list of VLLMService(...) and CommandService(...) is needed."),
    (RhapsodyExecutor, {"services": ["x"]},
     "services=['x']: a list of VLLMService(...) and CommandService(...) is needed."),
    (RhapsodyExecutor, {"services": [SERVICE, SERVICE]}, "services=['llm', 'llm']: two services have one name."),
    (RhapsodyExecutor, {"services": [CommandService("a-b", "x"), CommandService("A_B", "x")]},
     "services=['a-b', 'A_B']: two services would have one variable for their address. Change a name"),
    (RhapsodyExecutor, {"runtimes": [LocalRuntime()], "request_workers": 0},
     "request_workers=0: it must be 1 or more."),
    (RhapsodyExecutor, {"runtimes": [], "services": [CommandService("a", "x")]},
     "runtimes=[]: a list of at least one is needed. Write runtimes=[DragonRuntime()]"),
    (DragonRuntime, {"options": [1]}, "DragonRuntime(options)=[1]: Expected str, got int - at $[0]."),
])  # fmt: skip
def test_errors_say_what_to_change(kind: Any, keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        kind(**keys)
    assert str(caught.value) == sentence
