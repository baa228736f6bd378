import pytest
from parsl.launchers import SimpleLauncher, SingleNodeLauncher, SrunLauncher, WrappedLauncher
from parsl.launchers.base import Launcher
from parsl.providers import SlurmProvider

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import InvalidTask


@pytest.mark.parametrize("launcher", [SingleNodeLauncher(), SrunLauncher()])
def test_a_launcher_that_starts_a_pilot_a_node_is_refused_where_there_are_several(launcher: Launcher) -> None:
    with pytest.raises(InvalidTask, match=r"would start 4 pilots .* Use launcher=parsl.launchers.SimpleLauncher\(\)"):
        RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=4, launcher=launcher))
    RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=1, launcher=launcher))


@pytest.mark.parametrize("launcher", [SimpleLauncher(), WrappedLauncher("time")])
def test_one_that_starts_one_will_do(launcher: Launcher) -> None:
    RhapsodyExecutor(provider=SlurmProvider(nodes_per_block=4, launcher=launcher))
