import itertools
import math
from typing import Any

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, RhapsodyExecutor, SharedBlock, VLLMService
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.checks import walltime_of

LABEL = "letters, digits and . _ - + @ : = , % only, and 100 bytes at most. It names the run's folder"


@pytest.mark.parametrize(("setting", "value", "problem"), [
    *(("label", label, LABEL) for label in
      ("", "a b", "a/b", ".", "..", "a\0", "a\n", "a'b", "a$b", "a;b", "a*", "\ud800", "x" * 101, "é" * 51)),
    ("heartbeat_period", math.nan, "a number is needed"),
    ("heartbeat_period", math.inf, "it must be 1e+09 at most"),
    ("heartbeat_period", 10**40, "it must be 1e+09 at most"),
    ("heartbeat_period", -1, "it must be 0.01 or more"),
    ("heartbeat_period", 10**5000, "it must be 1e+09 at most"),
    ("heartbeat_period", 30, "it must be more than heartbeat_period=30. Several heartbeats should fit into it"),
    ("heartbeat_threshold", math.nan, "a number is needed"),
    ("heartbeat_threshold", 0, "it must be 1 or more"),
    ("heartbeat_threshold", 10**40, "it must be 1e+09 at most"),
    ("drain_period", 0, "it must be 1 or more"),
    ("provider", LocalProvider(init_blocks=0, max_blocks=0), "provider.max_blocks=0: it must be 1 or more"),
    ("drain_period", math.inf, "it must be 1e+09 at most"),
    ("ageing", 0, "it must be more than zero"),
    ("ageing", math.nan, "a number is needed"),
    ("cores_per_node", 0, "it must be 1 or more"),
    ("cores_per_node", True, "a whole number or None is needed"),
    ("cores_per_node", 10**9, "it must be 100000 at most"),
    ("gpus_per_node", -1, "it must be 0 or more"),
    ("mem_per_node", 0, "it must be more than zero"),
    ("mem_per_node", math.inf, "it must be 1e+09 at most"),
    ("declared_nodes", 0, "it must be 1 or more"),
    ("max_launches", 0, "it must be 1 or more"),
    ("address", "", "a host's name or IPv4 address is needed, without protocol and port"),
    ("address", "tcp://host:5", "a host's name or IPv4 address is needed, without protocol and port"),
    ("address", "x" * 254, "a host's name or IPv4 address is needed, without protocol and port"),
    ("address", "::1", "a host's name or IPv4 address is needed, without protocol and port"),
    ("working_dir", "", "a folder is needed. Leave it out for where the block is"),
    ("working_dir", "a\0", "the character NUL, and half of a surrogate pair, are not allowed"),
    ("node_launcher", "srn", "or a command of your own with {host} or {hosts} in it. Did you mean 'srun'?"),
    ("node_launcher", "my 'way {host}", "it cannot be split into words: No closing quotation"),
    ("launch_cmd", "{python} {confg} {block_id}",
     "nothing fills {confg}. Blanks are {python}, {config} and {block_id}"),
    ("launch_cmd", "{python} {config", "it cannot be filled in"),
    ("launch_cmd", "{python} {config}", "{block_id} is missing. The pilot needs it to find the driver"),
    ("default_runtime", "dragn", "runtimes has dragon. Did you mean 'dragon'?"),
    ("runtimes", [], "a list of at least one is needed. Write runtimes=[DragonRuntime()]"),
    ("runtimes", DragonRuntime(), "a list of at least one is needed. Write runtimes=[DragonRuntime()]"),
    ("runtimes", ["dragon"], "a list of runtimes is needed. Write DragonRuntime()"),
    ("runtimes", ["x"], "a list of runtimes is needed. Kinds are DragonRuntime, LocalRuntime, MPIRuntime"),
    ("runtimes", [VLLMService("a", "m")], "a list of runtimes is needed. Write services=[VLLMService(...)]"),
    ("runtimes", [LocalRuntime(), LocalRuntime()], "at least one, and each kind once"),
], ids=map(str, itertools.count()))  # fmt: skip
def test_what_no_block_could_work_with_is_refused(setting: str, value: Any, problem: str) -> None:
    runtimes = {} if "runtime" in setting else {"runtimes": [LocalRuntime()]}  # Dragon runs on some Pythons only
    with pytest.raises(InvalidTask) as caught:
        RhapsodyExecutor(**{**runtimes, setting: value})
    assert problem in str(caught.value)
    assert caught.value.key in {setting, "provider.max_blocks", "heartbeat_threshold"}


@pytest.mark.parametrize(("setting", "value"), [
    ("label", "é-b_c.d+e@f:g=h,i%"), ("label", "x" * 100), ("heartbeat_threshold", 1e9), ("gpus_per_node", 0),
    ("address", "login-1.site.org"), ("node_launcher", "ssh -p 22 {host}"), ("ageing", 0.5), ("drain_period", 1),
    ("launch_cmd", "run '{{x}}' {python} -m rhapsody_parsl.pilot {config} {block_id}"), ("provider", LocalProvider()),
])  # fmt: skip
def test_what_works_is_taken(setting: str, value: Any) -> None:
    assert getattr(RhapsodyExecutor(**{"runtimes": [LocalRuntime()], setting: value}), setting) == value


class Timed(LocalProvider):
    def __init__(self, walltime: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Parsl's
        self.walltime = walltime


@pytest.mark.parametrize(("walltime", "seconds"), [
    ("00:10:00", 600), ("1-00:00:00", 86_400), ("", 0), (None, 0), ("two hours", 0), (600, 0),
])  # fmt: skip
def test_the_walltime_of_a_provider(walltime: Any, seconds: float) -> None:
    assert walltime_of(Timed(walltime)) == seconds
    assert walltime_of(SharedBlock(Timed(walltime)).share(cores=1)) == seconds


def test_a_provider_without_a_walltime() -> None:
    assert walltime_of(None) == walltime_of(LocalProvider()) == 0
