"""Several programs in one launch: the line that each launcher gets, and what a rank becomes."""

import json
import subprocess
import sys
from typing import Any

import pytest

from rhapsody_parsl.annotations.groups import RankGroup
from rhapsody_parsl.runtimes.mpi.launch import programs
from rhapsody_parsl.runtimes.mpi.launch.groups import plan_of, prefix
from rhapsody_parsl.runtimes.mpi.launch.launcher import Kind, Launcher
from rhapsody_parsl.runtimes.mpi.launch.places import Place
from rhapsody_parsl.runtimes.mpi.launch.preparation import forwarding

PLACES = [Place("a", ((0,), (1,))), Place("b", ((0,),))]
GROUPS = (RankGroup(1, (("ROLE", "head"),)), RankGroup(2, gpus=False))
WORDS = ["one", "-x", ":", "another", "two words"]


def planned(kind: Kind, gpu_variable: str = "") -> dict[str, Any]:
    launcher = Launcher(kind, "/x/mpiexec")
    line = launcher.line(PLACES, False, forwarding(launcher, False))
    plan = plan_of(launcher, GROUPS, PLACES, line=line, before=["/bin/bind"], gpu_variable=gpu_variable)
    found: dict[str, Any] = json.loads(plan)
    return found


def test_hydra_gets_a_part_per_program_and_the_hosts_of_all() -> None:
    said = " ".join(programs.composed(programs.split(WORDS), **planned("hydra")))
    assert said.endswith(
        "-hosts a:2,b:1 -n 1 /bin/bind /usr/bin/env ROLE=head one -x : -n 2 /bin/bind another two words"
    )
    assert said.count(" -n ") == 2


def test_open_mpi_gets_each_programs_own_hosts_and_variables() -> None:
    said = " ".join(programs.composed(programs.split(WORDS), **planned("openmpi")))
    assert "-n 1 --host a:1 /bin/bind /usr/bin/env ROLE=head one -x : " in said
    assert said.endswith(": -n 2 --host a:1,b:1 -x MASTER_ADDR -x MASTER_PORT /bin/bind another two words")
    assert said.count("-x MASTER_ADDR") == 2


@pytest.mark.parametrize("kind", ["srun", "pals", "flux"])
def test_under_the_others_a_rank_takes_its_program_by_its_number(kind: Kind) -> None:
    plan = planned(kind)
    assert plan["parts"] == []
    words = ["printf", "%s %s\n", "head", ":", "printf", "%s|%s\n", "it's", "two words"]
    command = programs.composed(programs.split(words), **{**plan, "line": [], "before": []})
    said = [subprocess.check_output(command, env={"RANK": rank}, text=True) for rank in "012"]
    assert said == ["head \n", "it's|two words\n", "it's|two words\n"]
    lost = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert (lost.returncode != 0, lost.stdout) == (True, "")
    assert "tells no rank its number" in lost.stderr


def test_a_group_without_gpus_sees_none() -> None:
    assert planned("hydra", "CUDA_VISIBLE_DEVICES")["env"] == [{"ROLE": "head"}, {"CUDA_VISIBLE_DEVICES": ""}]
    assert planned("hydra")["env"] == [{"ROLE": "head"}, {}]


def test_another_number_of_programs_than_groups_is_refused() -> None:
    words = [*prefix(Launcher("hydra", "/x/mpiexec", python=sys.executable)), "one", "and", "only"]
    env = {"PARSL_MPI_GROUPS": json.dumps(planned("hydra"))}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "stand 1 programs, and the app's annotation has 2 groups" in done.stderr
