"""What the hosts of a virtual cluster read: names, ssh keys, Slurm's configuration."""

import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

__all__ = ("Settings", "write_files")

_NETWORK = "10.99.0"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster to be.

    Attributes:
        nodes: Compute nodes.
        cpus: CPUs each claims; more than the machine has cannot be bound.
        gpus: Fake GPUs of each.
        shm: Size of each `/dev/shm`, as mount takes it (used up only as it fills).
        slurmd_timeout: Seconds of silence after which Slurm takes a node for dead.
        cloud: Whether Slurm calls its nodes otherwise than they call themselves, and knows them by their addresses.
        rate: Of each node's link, as `tc` takes it; "" for what the machine gives.
    """

    nodes: int = 2
    cpus: int = os.cpu_count() or 1
    gpus: int = 2
    shm: str = "8g"
    slurmd_timeout: int = 15
    cloud: bool = False
    rate: str = ""

    @property
    def names(self) -> list[str]:
        """All hosts, the head first."""
        return [f"vn{number}" for number in range(self.nodes + 1)]

    @property
    def slurm_nodes(self) -> str:
        """Slurm's name for all nodes."""
        return f"{'q-dy-c5-' if self.cloud else 'vn'}[1-{self.nodes}]"

    @property
    def found_at(self) -> str:
        """What Slurm has to be told to find nodes that are not called like their hosts."""
        first, last = address("vn1").rpartition(".")[2], address(f"vn{self.nodes}").rpartition(".")[2]
        return f"NodeHostname=vn[1-{self.nodes}] NodeAddr={_NETWORK}.[{first}-{last}]" if self.cloud else ""


def address(host: str) -> str:
    """Return a host's address."""
    return f"{_NETWORK}.{10 + int(host.removeprefix('vn'))}"


def write_files(state: Path, settings: Settings) -> None:
    """Write `etc/` under the cluster's state folder."""
    etc = state / "etc"
    for folder, mode in (("ssh", 0o755), ("slurm", 0o755), ("munge", 0o700)):
        (etc / folder).mkdir(parents=True, mode=mode)
    lines = ["127.0.0.1 localhost", *(f"{address(name)} {name}" for name in settings.names)]
    (etc / "hosts").write_text("\n".join(lines) + "\n")
    (etc / "munge" / "munge.key").write_bytes(secrets.token_bytes(128))
    (etc / "munge" / "munge.key").chmod(0o600)
    _write_ssh(etc / "ssh", settings.names)
    _write_slurm(etc / "slurm", state, settings)


def _write_ssh(folder: Path, names: Sequence[str]) -> None:
    """One key pair is both host key and root's login key, known to every host."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vcluster", "-f", str(folder / "key")]
    subprocess.run(command, check=True)
    public = (folder / "key.pub").read_text()
    (folder / "authorized_keys").write_text(public)
    key = " ".join(public.split()[:2])
    (folder / "known_hosts").write_text("".join(f"{name},{address(name)} {key}\n" for name in names))
    (folder / "sshd_config").write_text(_SSHD)
    (folder / "ssh_config").write_text(_SSH)


def _write_slurm(folder: Path, state: Path, settings: Settings) -> None:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gres = f"Gres=gpu:{settings.gpus}" if settings.gpus else ""
    text = _SLURM.format(
        state=state,
        nodes=settings.slurm_nodes,
        found_at=settings.found_at,
        cpus=settings.cpus,
        memory=pages * 9 // 10 // settings.nodes >> 20,
        gres=gres,
        gres_types="GresTypes=gpu" if gres else "",
        task="task/affinity" if settings.cpus <= (os.cpu_count() or 1) else "task/none",
        timeout=settings.slurmd_timeout,
    )
    (folder / "slurm.conf").write_text(text)
    if gres:
        devices = f"/run/vgpu[0-{settings.gpus - 1}]"
        (folder / "gres.conf").write_text(f"NodeName={settings.slurm_nodes} Name=gpu File={devices}\n")
    (folder / "epilog").write_text(_EPILOG)
    (folder / "epilog").chmod(0o755)
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={_cgroup_plugin()}\n")


def _cgroup_plugin() -> str:
    """Slurm loads a cgroup plugin even when nothing uses it, and cannot detect one: a host's /sys shows none."""
    version = subprocess.run(["slurmd", "-V"], check=True, capture_output=True, text=True).stdout.split()[-1]
    major, minor = version.split(".")[:2]
    return "disabled" if (int(major), int(minor)) >= (23, 11) else "cgroup/v1"


_SSHD = """\
Port 22
HostKey /etc/ssh/key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 100
MaxSessions 100
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""
_SSH = """\
Host *
    IdentityFile /etc/ssh/key
    IdentitiesOnly yes
    GlobalKnownHostsFile /etc/ssh/known_hosts
    UserKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    LogLevel ERROR
"""
_SLURM = """\
ClusterName=vcluster
SlurmctldHost=vn0
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/spool/%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile={state}/hosts/vn0/slurmctld.log
SlurmdLogFile={state}/hosts/%h/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task}
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout={timeout}
KillWait=5
UnkillableStepTimeout=10
MessageTimeout=10
InactiveLimit=0
Epilog=/etc/slurm/epilog
SchedulerParameters=sched_min_interval=100000,bf_interval=2
{gres_types}
NodeName={nodes} CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} \
{gres} {found_at} State=UNKNOWN
PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
"""
# Without cgroups Slurm loses track of what left its session (Dragon's agents do): do what a cgroup would.
_EPILOG = """\
#!/bin/bash
for p in /proc/[0-9]*; do
    pid=${p#/proc/}
    [ "$pid" = $$ ] || [ "$pid" = "$PPID" ] && continue
    while IFS= read -r -d '' e; do
        [ "$e" = "SLURM_JOB_ID=$SLURM_JOB_ID" ] && { kill -9 "$pid"; break; }
    done 2>/dev/null < "$p/environ"
done 2>/dev/null
exit 0
"""
