"""A real Ray cluster on this machine: a head without room for workers, and two nodes with one CPU each, by `ray start`.

Where this user may, a node has a hostname of its own, so that its processes look to others like another machine's. `make test-ray`
runs the tests of the marker `ray`, which start it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers.slurm_cluster import as_host, free_ports

START_S = 300.0


class RayCluster:
    """nodes: the processes of each, a group, by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *more: str) -> None:
        """One node more, and wait until it is there."""
        command = [*as_host(name), sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *more]
        command += ["--object-store-memory=100000000", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            self.nodes[name] = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, cwd=self.folder
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while b"Ray runtime started" not in log.read_bytes():
            if time.monotonic() > deadline or self.nodes[name].poll() is not None:
                raise RuntimeError(f"node {name} did not come up\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def add(self, name: str) -> None:
        """A node with one CPU."""
        self.start(name, f"--address={self.address}", "--num-cpus=1", "--num-gpus=0")

    def kill(self, name: str) -> None:
        """End a node as a power cut would."""
        process = self.nodes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def cluster() -> Iterator[RayCluster]:
    """The cluster while it holds. Whatever happens, its processes are ended."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = RayCluster(Path(folder))
        try:
            port = made.address.partition(":")[2]
            made.start("head", "--head", f"--port={port}", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false",
                       f"--temp-dir={folder}/t")  # fmt: skip
            for name in ("node1", "node2"):
                made.add(name)
            yield made
        finally:
            for name in list(made.nodes)[::-1]:
                made.kill(name)
