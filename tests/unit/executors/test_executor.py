import pytest
from parsl.launchers import SimpleLauncher, SingleNodeLauncher, SrunLauncher, WrappedLauncher
from parsl.launchers.base import Launcher
from parsl.providers import SlurmProvider

from rhapsody_parsl import CommandService, LocalRuntime, RhapsodyExecutor, VLLMService
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import InvalidTask


@pytest.mark.parametrize("launcher", [SingleNodeLauncher(), SrunLauncher()])
def test_a_launcher_that_starts_a_pilot_a_node_is_refused_where_there_are_several(launcher: Launcher) -> None:
    with pytest.raises(InvalidTask, match=r"would start 4 pilots .* Use launcher=parsl.launchers.SimpleLauncher\(\)"):
        RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=4, launcher=launcher))
    RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=1, launcher=launcher))


@pytest.mark.parametrize("launcher", [SimpleLauncher(), WrappedLauncher("time")])
def test_one_that_starts_one_will_do(launcher: Launcher) -> None:
    RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=4, launcher=launcher))


def test_services_alone_are_enough_and_bring_the_runtime_that_asks_them() -> None:
    models = [VLLMService("a", "m", replicas=3), VLLMService("b", "m", requests_in_flight=1000)]
    alone = RhapsodyExecutor(runtimes=[], services=models, request_workers=2)
    assert (alone.runtimes, alone.default_runtime) == ((), "vllm")
    assert alone.offers == (ModelRequests(request_workers=2),)
    command = CommandService("cache", "redis-server")
    assert RhapsodyExecutor(runtimes=[LocalRuntime()], services=[command]).offers == (LocalRuntime(),)
    with pytest.raises(InvalidTask, match=r"a list of runtimes is needed\. Kinds are DragonRuntime, LocalRuntime, MPI"):
        RhapsodyExecutor(runtimes=[ModelRequests()])
