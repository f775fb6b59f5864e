"""Several processes download one file, and some are killed."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sambench.errors import DownloadError
from tests.helpers.fetching import get, left
from tests.helpers.server import BODY, SHA, Server

pytestmark = pytest.mark.usefixtures("pauses")
PROCESS = """
import sys
from pathlib import Path
from sambench.getting import weights as fetch
url, dest, sha = sys.argv[1:]
fetch.download(url, Path(dest), sha256=sha, n_bytes=None, progress=lambda done, total: print(done, flush=True))
"""


def start(server: Server, dest: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, server.url, str(dest), SHA]
    # A test run in the background of a shell inherits "ignore" for SIGINT, and so would the process.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heard)


def wait_for_bytes(process: subprocess.Popen[str], n: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= n:
            return
    pytest.fail("the download ended early")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_a_part_to_resume_and_no_lock(server: Server, tmp_path: Path, sig: signal.Signals) -> None:
    server.pause_s = 0.05
    dest = tmp_path / "w.pth"
    process = start(server, dest)
    wait_for_bytes(process, 500_000)
    process.send_signal(sig)
    process.communicate(timeout=10)
    kept = (tmp_path / "w.pth.part").stat().st_size
    assert kept >= 500_000
    server.pause_s = 0.0
    get(server, dest)
    assert server.asked[1]["Range"] == f"bytes={kept}-"
    assert dest.read_bytes() == BODY
    assert left(dest) == ["w.pth"]


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    server.pause_s = 0.03
    dest = tmp_path / "w.pth"
    both = [start(server, dest) for _ in range(2)]
    outs = [p.communicate(timeout=20)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert dest.read_bytes() == BODY
    assert len(server.asked) == 1
    assert sorted(bool(o) for o in outs) == [False, True]
    assert left(dest) == ["w.pth"]


def test_the_one_that_waits_takes_over_when_the_first_is_killed(server: Server, tmp_path: Path) -> None:
    server.pause_s = 0.05
    dest = tmp_path / "w.pth"
    first = start(server, dest)
    wait_for_bytes(first, 300_000)
    second = start(server, dest)
    wait_for_bytes(first, 700_000)
    server.pause_s = 0.0
    first.kill()
    first.communicate(timeout=10)
    second.communicate(timeout=20)
    assert second.returncode == 0
    assert dest.read_bytes() == BODY
    assert server.answered == [200, 206]


def test_where_locks_do_not_work_every_process_has_its_own_part(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    dest = tmp_path / "w.pth"
    server.cuts = [1_000_000]
    get(server, dest)
    assert dest.read_bytes() == BODY
    dest.unlink()
    server.status = 404
    with pytest.raises(DownloadError):
        get(server, dest)
    assert [n for n in left(dest) if n != "w.pth.part"] == []
