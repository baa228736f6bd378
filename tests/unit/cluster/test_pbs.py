"""What PBS says of a job's hosts, as OpenPBS 23.06.06 said it; attributes that nobody reads are left out."""

import os
import time
from pathlib import Path

import pytest

from rhapsody_parsl.cluster import pbs
from rhapsody_parsl.cluster.batch import list_hosts
from rhapsody_parsl.cluster.listed import Listed

# Beside another job (4) on two of its three hosts.
SHARED = """\
Job Id: 1.vn0
    Job_Name = look2
    Job_Owner = user@vn0
    job_state = R
    exec_host = vn1/0+vn2/0+vn3/0
    exec_vnode = (vn1:ncpus=1:mem=1048576kb:ngpus=1)+(vn2:ncpus=1:mem=1048576kb
\t:ngpus=1)+(vn3:ncpus=1:mem=1048576kb:ngpus=1)
    Resource_List.place = scatter
    Resource_List.select = 3:ncpus=1:mem=1gb:ngpus=1
    Variable_List = PBS_O_HOME=/home/user,PBS_O_LANG=C.UTF-8,
\tPBS_O_SHELL=/bin/bash,PBS_O_INTERACTIVE_AUTH_METHOD=resvport,
\tPBS_O_INTERACTIVE_ENCRYPT_METHOD=,PBS_O_SYSTEM=Linux,PBS_O_HOST=vn0
    project = _pbs_project_default

"""
SHARED_NODES = """\
vn1
     state = job-busy
     pcpus = 2
     jobs = 1.vn0/0, 4.vn0/1
     resources_available.host = vn1
     resources_available.ncpus = 2
     sharing = default_shared

vn2
     state = job-busy
     pcpus = 2
     jobs = 1.vn0/0, 4.vn0/1
     resources_available.host = vn2
     resources_available.ncpus = 2
     sharing = default_shared

vn3
     state = free
     pcpus = 2
     jobs = 1.vn0/0
     resources_available.host = vn3
     resources_available.ncpus = 2
     sharing = default_shared

"""
OTHER = SHARED.replace("1.vn0", "4.vn0").replace("look2", "look5")
OTHER = OTHER.partition("    exec_host")[0] + (
    "    exec_host = vn1/1+vn2/1\n    exec_vnode = (vn1:ncpus=1)+(vn2:ncpus=1)\n    Resource_List.place = free\n"
)
PACKED = """\
Job Id: 2.vn0
    exec_host = vn1/0+vn2/0+vn3/0+vn3/1
    exec_vnode = (vn1:ncpus=1)+(vn2:ncpus=1)+(vn3:ncpus=1)+(vn3:ncpus=1)
    Resource_List.place = free
    Resource_List.select = 4:ncpus=1
"""
PACKED_NODES = """\
vn1
     state = free
     jobs = 2.vn0/0
     resources_available.host = vn1
     resources_available.ncpus = 2

vn3
     state = job-busy
     jobs = 2.vn0/0, 2.vn0/1
     resources_available.host = vn3
     resources_available.ncpus = 2

"""
EXCLUSIVE = """\
Job Id: 5.vn0
    exec_host = vn1/0
    exec_vnode = (vn1:ncpus=1)
    Resource_List.place = scatter:exclhost
"""
EXCLUSIVE_NODES = """\
vn1
     state = job-exclusive
     jobs = 5.vn0/0
     resources_available.host = vn1
     resources_available.ncpus = 2
     sharing = default_shared

"""
WITH_FUNCTION = """\
Job Id: 27.vn0
    exec_host = vn1/0
    exec_vnode = (vn1:ncpus=1)
    Variable_List = PBS_O_HOME=/home/user,PBS_O_LANG=C.UTF-8,ODD=one
two = 2
\tthree,
\tBASH_FUNC_module%%=() {  eval \\"echo a = b\\"; echo two; x = y
},
\t_=/usr/bin/qsub,PBS_O_QUEUE=workq,PBS_O_HOST=vn0
    run_count = 1
"""
# A host with a vnode for each socket, which nobody shares; its own vnode holds the GPUs.
SOCKETS_NODES = """\
vn3
     state = free
     pcpus = 2
     jobs = {host}
     resources_available.host = vn3
     resources_available.ncpus = 0
     resources_available.ngpus = 2
     sharing = default_shared

vn3[0]
     state = job-exclusive
     jobs = 10.vn0/0
     resources_available.host = vn3
     resources_available.ncpus = 1
     sharing = default_excl

vn3[1]
     state = {second}
     resources_available.host = vn3
     resources_available.ncpus = 1
     sharing = default_excl

"""
BOTH_SOCKETS = """\
Job Id: 10.vn0
    exec_host = vn3/0*0+vn1/0
    exec_vnode = (vn3:ngpus=2+vn3[0]:ncpus=1+vn3[1]:ncpus=1)+(vn1:ncpus=1)
"""
ONE_SOCKET = """\
Job Id: 10.vn0
    exec_host = vn3/0
    exec_vnode = (vn3[0]:ncpus=1:ngpus=1:mem=1048576kb)
"""


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of `qstat` and `pbsnodes`, which say what lies in the files beside them."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, asked in (("qstat", "-f"), ("pbsnodes", "-H")):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\n[ "$1" = {asked} ] && exec cat "$0.out"\necho no such option >&2; exit 2\n')
        script.chmod(0o755)
    return tmp_path


def shares(says: Path, job: str, qstat: str, pbsnodes: str, *names: str) -> list[Listed]:
    (says / "qstat.out").write_text(qstat)
    (says / "pbsnodes.out").write_text(pbsnodes)
    return pbs.shares(job, names)


def test_what_is_ours_of_hosts_that_others_share(says: Path) -> None:
    ours = shares(says, "1.vn0", SHARED, SHARED_NODES, "vn1", "vn2", "vn3")
    assert ours == [Listed(f"vn{n}", 1, 1.073742, gpus=1, slots=(0,)) for n in (1, 2, 3)]


def test_two_jobs_on_a_host_have_cores_of_their_own(says: Path) -> None:
    ours = shares(says, "4.vn0", OTHER, SHARED_NODES, "vn1.site", "vn2.site")
    assert [host.slots for host in ours] == [(1,), (1,)]
    assert ours[0].ours([8, 9]) == [9]


def test_chunks_may_meet_on_a_host(says: Path) -> None:
    ours = shares(says, "2.vn0", PACKED, PACKED_NODES, "vn1", "vn3")
    assert ours == [Listed("vn1", 1, slots=(0,)), Listed("vn3", 2, slots=(0, 1))]


def test_a_host_that_is_the_jobs_alone_is_all_ours(says: Path) -> None:
    assert shares(says, "5.vn0", EXCLUSIVE, EXCLUSIVE_NODES, "vn1") == [Listed("vn1")]
    shared = EXCLUSIVE_NODES.replace("job-exclusive", "job-busy")
    assert shares(says, "5.vn0", EXCLUSIVE, shared, "vn1") == [Listed("vn1", 1, slots=(0,))]


def test_a_host_may_have_several_vnodes(says: Path) -> None:
    both = SOCKETS_NODES.format(host="10.vn0/0", second="job-exclusive\n     jobs = 10.vn0/0")
    assert shares(says, "10.vn0", BOTH_SOCKETS, both, "vn3") == [Listed("vn3")]
    one = SOCKETS_NODES.format(host="", second="free")
    assert shares(says, "10.vn0", ONE_SOCKET, one, "vn3") == [Listed("vn3", 1, 1.073742, gpus=1)]
    shared = both.replace("job-exclusive", "job-busy")
    assert shares(says, "10.vn0", BOTH_SOCKETS, shared, "vn3") == [Listed("vn3", 2, gpus=2)]


def test_a_variable_of_the_job_may_have_several_lines(says: Path) -> None:
    """As of a job submitted with `qsub -V` where the shell exports a function."""
    ours = shares(says, "27.vn0", WITH_FUNCTION, PACKED_NODES.replace("2.vn0", "27.vn0"), "vn1")
    assert ours == [Listed("vn1", 1, slots=(0,))]


@pytest.mark.parametrize(("qstat", "reason"), [
    ("exit 1", "returned non-zero"),
    ("echo qstat: Unknown Job Id 1.vn0 >&2; exit 153", "Unknown Job Id"),
    ("exec sleep 60", "timed out"),
    ("exit 0", "not enough values"),
], ids=["error", "words", "silence", "nothing"])  # fmt: skip
def test_when_pbs_cannot_be_asked_the_hosts_are_what_they_show(
    says: Path, qstat: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pbs, "_WITHIN", 0.5)
    (says / "qstat").write_text(f"#!/bin/sh\n{qstat}\n")
    began = time.monotonic()
    assert pbs.shares("1.vn0", ["a", "b"]) == [Listed("a"), Listed("b")]
    assert time.monotonic() - began < 5
    assert reason in caplog.text


def test_the_node_file_names_the_hosts_and_the_job_their_shares(says: Path, tmp_path: Path) -> None:
    (says / "qstat.out").write_text(PACKED)
    (says / "pbsnodes.out").write_text(PACKED_NODES)
    (tmp_path / "nodes").write_text("vn1\nvn3\nvn3\n")
    env = {"PBS_NODEFILE": str(tmp_path / "nodes"), "PBS_JOBID": "2.vn0"}
    assert [(host.name, host.cores) for host in list_hosts(env, "vn3")] == [("vn3", 2), ("vn1", 1)]
