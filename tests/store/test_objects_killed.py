"""A run in an object store whose commands are killed a hundred times, on two machines: no row is lost, doubled or changed.

With SAMBENCH_MOTO, the path of moto's `moto_server`, the store is that one too: `make test-objects`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("obstore")

from sambench.files import mirror
from sambench.files.objects import Objects
from sambench.store import shard_file
from sambench.store.views import read_cell
from tests.helpers import object_server, store_world

KILLS = 100
MOTO = os.environ.get("SAMBENCH_MOTO")
pytestmark = pytest.mark.slow


@contextmanager
def _moto() -> Iterator[dict[str, str]]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with subprocess.Popen([str(MOTO), "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            at = f"http://127.0.0.1:{port}"
            for _ in range(100):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{at}/lab", method="PUT")).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield {
                "AWS_ENDPOINT_URL": at, "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_REGION": "us-east-1"
            }  # fmt: skip
        finally:
            process.terminate()


@contextmanager
def _own() -> Iterator[dict[str, str]]:
    # A process of its own: threads of this one, and locks that they hold, would be forked.
    with subprocess.Popen([sys.executable, object_server.__file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def _command(machine: str, out: str = "s3://lab/runs") -> int:
    """A whole command in a process of its own; its id. This process computes nothing before: threads are not forked."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        os.environ["SAMBENCH_CACHE"] = machine
        with open(f"{machine}.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        store_world.go(out)  # type: ignore[arg-type]
        code = 0
    except BaseException:  # noqa: BLE001 - in the log, and the exit code says it too
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _shards_now(machine: str, scratch: Path) -> dict[str, dict[str, str]]:
    """By shard, the digest of each image's rows as the store has them now, looked at by a process of its own."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.environ["SAMBENCH_CACHE"] = machine
            objects, found = Objects("s3://lab"), {}
            for o in list(objects.listed("runs/")):
                if o.key.endswith(".parquet") and "/shards/" in o.key:
                    objects.get(o.key, scratch)
                    states = json.loads(shard_file.check(scratch.read_bytes()))["images"]
                    found[o.key] = {i: json.dumps(s, sort_keys=True) for i, s in states.items()}
            with os.fdopen(write, "w") as f:
                json.dump(found, f)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        text = f.read()
    os.waitpid(pid, 0)
    return json.loads(text)  # type: ignore[no-any-return]


@pytest.mark.parametrize("store", [_own, *([_moto] if MOTO else [])])
def test_a_hundred_kills(store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SAMBENCH_DATA", str(store_world.write_world(tmp_path / "data", n_images=48)))
    monkeypatch.setattr("sambench.store.leases.HEARTBEAT_S", 0.05)
    assert os.waitpid(_command(str(tmp_path / "local"), str(tmp_path / "runs")), 0)[1] == 0
    chance, killed, seen = random.Random(7), 0, {}
    with store() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        machines = [str(tmp_path / name) for name in ("a", "b")]
        while killed < KILLS:
            pids = [_command(machine) for machine in machines]
            time.sleep(chance.uniform(0.1, 3.0))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                _, status = os.waitpid(pid, 0)
                killed += os.WIFSIGNALED(status)
            now = _shards_now(machines[0], tmp_path / "scratch")
            for key, images in seen.items():  # what was stored once stays, as it was
                assert {i: now[key][i] for i in images} == images
            seen = now
            if sum(map(len, now.values())) == 48 and killed < KILLS:  # done: the rest of the kills are those of a run of its own
                _clear(machines[0])
                seen = {}
        pids = [_command(machine) for machine in machines]  # two at once, to the end
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        assert codes == [0, 0], Path(f"{machines[0]}.log").read_text()[-4000:]
        now = _shards_now(machines[0], tmp_path / "scratch")
        for key, images in seen.items():
            assert {i: now[key][i] for i in images} == images
        _apart(lambda: _compare(tmp_path, machines[0]))


def _compare(tmp_path: Path, machine: str) -> None:
    os.environ["SAMBENCH_CACHE"] = machine
    local = store_world.view(tmp_path / "runs")
    again = store_world.go("s3://lab/runs")  # type: ignore[arg-type]
    assert again.path == mirror.here(f"s3://lab/runs/{local.path.parent.name}/{local.path.name}")
    for name in ("metrics.csv", "metrics.parquet", "images.txt"):
        assert (again.path / name).read_bytes() == (local.path / name).read_bytes()
    columns = [n for n in read_cell(local.path).store.columns if not n.endswith("_ms")]
    assert again.rows(columns).equals(local.rows(columns))


def _apart(do: Callable[[], None]) -> None:
    """In a process of its own, whose threads nobody inherits."""
    pid = os.fork()
    if not pid:
        try:
            do()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - said, and the exit code says it too
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def _clear(machine: str) -> None:
    """Begin anew."""

    def remove() -> None:
        os.environ["SAMBENCH_CACHE"] = machine
        objects = Objects("s3://lab")
        for o in list(objects.listed("runs/")):
            objects.delete(o.key)

    _apart(remove)
