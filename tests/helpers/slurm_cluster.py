"""A real SLURM cluster on this machine: munged, slurmctld, and a slurmd for each of two nodes, in a folder of their own.

The programs are those of the system's packages (Debian: `slurmctld slurmd slurm-client munge`). Where this user may, a node has a
hostname of its own, so that its processes look to others like another machine's. `make test-slurm` runs the tests of the marker
`slurm`, which start it by the fixture `slurm_cluster`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
NODES = ("node1", "node2")
START_S = 300.0

# cred_expire: a job that was put back waits so long. KillWait: from SIGTERM to SIGKILL. LLN: jobs go to the node that has fewer.
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=3
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=10
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP LLN=YES
"""


def missing() -> list[str]:
    """The programs of a cluster that are not installed here."""
    return [p for p in PROGRAMS if _program(p) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The cluster, its nodes idle, while it holds; gives the variables by which SLURM's commands find it. folder: an empty one with
    a short path, since a socket lies there. Whatever happens, its processes are ended."""
    munge = folder / "munge"
    munge.mkdir(mode=0o755)
    (folder / "state").mkdir()
    (munge / "key").touch(mode=0o600)
    (munge / "key").write_bytes(os.urandom(1024))
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    _configure(folder)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> None:
        with (folder / f"{name}.out").open("wb") as out:
            started.append(subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, start_new_session=True
            ))  # fmt: skip

    try:
        files = {"key-file": "key", "socket": "socket", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
        places = [f"--{option}={munge / name}" for option, name in files.items()]
        start("munged", _needed("munged"), "--foreground", "--force", *places)
        _wait(lambda: (munge / "socket").exists(), "munged", folder)
        start("slurmctld", _needed("slurmctld"), "-D")
        for node in NODES:
            start(node, *as_host(node), _needed("slurmd"), "-D", "-N", node)
        _wait(lambda: _idle(environment) == len(NODES), "the nodes", folder)
        yield environment
    finally:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([_needed("scancel"), f"--user={getpass.getuser()}"], env={**os.environ, **environment}, timeout=20)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _configure(folder: Path) -> None:
    ports = free_ports(1 + len(NODES))
    text = CONFIGURATION.format(host=socket.gethostname(), port=ports[0], user=getpass.getuser(), folder=folder)
    for node, port in zip(NODES, ports[1:], strict=True):
        text += f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=2 State=UNKNOWN\n"
    (folder / "slurm.conf").write_text(text)


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def as_host(node: str) -> list[str]:
    """What to put before a command so that it has another hostname; nothing where that is not allowed."""
    return ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', node] if can_name_hosts() else []


@cache
def can_name_hosts() -> bool:
    """Whether each node has a hostname of its own."""
    try:
        return subprocess.run(["unshare", "--uts", "hostname", "node1"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _needed(program: str) -> str:
    found = _program(program)
    assert found is not None, f"{program} is not installed"
    return found


def _idle(environment: dict[str, str]) -> int:
    command = [_needed("sinfo"), "--noheader", "--Node", "--format=%T"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    return done.stdout.split().count("idle")


def _wait(condition: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{p.name}: {p.read_text(errors='replace')[-600:]}" for p in sorted(folder.glob("*.[lo][ou][gt]")))
            raise RuntimeError(f"{what} did not come up within {START_S:.0f} s\n{logs}")
        time.sleep(0.2)
