"""`sambench watch`: a training that improves and then breaks is caught at the right step, also by one that was killed between."""

from __future__ import annotations

import dataclasses
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sambench.engine import run as engine
from sambench.errors import UsageError
from sambench.store.leases import try_lease
from sambench.watch import loop
from sambench.watch.checkpoints import checkpoints_in, chosen, step_of
from sambench.watch.ledger import Entry, Ledger
from tests.helpers import ROOT
from tests.helpers.inprocess import Cli
from tests.helpers.watched import in_this_process, save, watch_of

TRAINING = ((100, 0.6), (200, 0.4), (300, 0.1), (400, 0.8), (500, 0.1))


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "backend", in_this_process)


def go(watch: loop.Watch) -> tuple[list[Entry], list[str]]:
    said: list[str] = []
    return loop.run(watch, say=said.append, on_event=lambda e: None), said


def evaluated(said: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in said if line.endswith(": evaluating")]


def test_caught_at_the_right_step_by_a_watch_that_was_killed(tmp_path: Path) -> None:
    for step, shrink in TRAINING:
        save(tmp_path / "train", step, shrink)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.helpers.watched", str(tmp_path), "200"], cwd=ROOT, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert [e["step"] for e in json.loads((tmp_path / "watch" / "ledger.json").read_text())["entries"]] == [100]
    entries, said = go(watch_of(tmp_path))
    assert evaluated(said) == ["step_200.pth", "step_300.pth", "step_400.pth"]  # 100 was done, and 500 comes after the end
    assert [(e.step, e.worse) for e in entries] == [(100, False), (200, False), (300, False), (400, True)]
    assert entries[3].against == "step 300 (step_300.pth)"
    (difference,) = entries[3].datasets
    scores = [e.score or 0 for e in entries]
    assert difference.difference == pytest.approx(scores[3] - scores[2])
    assert scores[0] < scores[1] < scores[2]
    assert difference.p is not None
    assert difference.p < 0.05
    assert sum(line.startswith("WORSE: step 400") for line in said) == 1
    again, said = go(watch_of(tmp_path))  # goes on after it, and does not tell twice
    assert evaluated(said) == ["step_500.pth"]
    assert not any(line.startswith("WORSE") for line in said)
    assert [e.worse for e in again] == [False, False, False, True, False]
    assert (tmp_path / "watch" / "curve.png").stat().st_size > 5000
    assert len((tmp_path / "watch" / "curve.csv").read_text().splitlines()) == 6


def test_only_whole_files(tmp_path: Path) -> None:
    path = save(tmp_path / "train", 100, 0.2)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    entries, said = go(watch_of(tmp_path))
    assert entries == []
    assert any("step_100.pth cannot be read, and is looked at again" in line for line in said)
    path.write_bytes(whole)
    assert [e.step for e in go(watch_of(tmp_path))[0]] == [100]


def test_a_file_that_changes_is_not_settled(tmp_path: Path) -> None:
    path = save(tmp_path / "train", 100, 0.2)
    watch = watch_of(tmp_path, settle_s=60.0, once=False, idle_s=0.3)
    assert go(watch)[0] == []
    entries, _ = go(watch_of(tmp_path, settle_s=0.2))
    assert [e.step for e in entries] == [100]
    assert path.exists()


def test_a_model_that_fails_on_every_image_is_worse(tmp_path: Path) -> None:
    save(tmp_path / "train", 1, 0.2)
    save(tmp_path / "train", 2, -1.0)
    entries, said = go(watch_of(tmp_path))
    assert [e.worse for e in entries] == [False, True]
    assert "every image failed" in entries[1].error
    assert any(line.startswith("WORSE: step 2") for line in said)


def test_a_reference_is_a_run(tmp_path: Path) -> None:
    save(tmp_path / "train", 1, 0.3)
    entries, _ = go(watch_of(tmp_path, against=""))
    assert entries[0].verdict == ""
    reference = Path(entries[0].paths[0]).parent.name
    save(tmp_path / "train", 2, 0.7)
    save(tmp_path / "train", 3, 0.31)
    other = dataclasses.replace(watch_of(tmp_path, against=reference, stop=False), to=tmp_path / "other")
    found, _ = go(other)
    assert [(e.step, e.worse) for e in found] == [(1, False), (2, True), (3, False)]  # 3 is behind, but by less than 2 points
    assert found[2].datasets[0].difference < 0
    with pytest.raises(UsageError, match="of another watch"):
        go(dataclasses.replace(other, against="best"))
    with pytest.raises(UsageError, match="no run 'nothing'"):
        go(dataclasses.replace(other, against="nothing", to=tmp_path / "third"))


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def test_the_webhook_is_told_once_also_after_a_kill(tmp_path: Path, webhook: tuple[str, list[Any]]) -> None:
    address, got = webhook
    save(tmp_path / "train", 1, 0.1)
    save(tmp_path / "train", 2, 0.7)
    watch = watch_of(tmp_path, webhook=address)
    entries, _ = go(watch)
    assert [g["entry"]["step"] for g in got] == [2]
    assert "step 2" in got[0]["text"]
    go(watch)
    assert len(got) == 1
    Ledger(watch.to, watch.what()).add(dataclasses.replace(entries[1], announced=False))  # as a kill before telling leaves it
    go(watch)
    assert len(got) == 2
    save(tmp_path / "train", 3, 0.8)
    _, said = go(dataclasses.replace(watch, webhook="http://127.0.0.1:9/"))
    assert any("the webhook could not be told" in line for line in said)


def test_one_watch_a_folder(tmp_path: Path) -> None:
    save(tmp_path / "train", 1, 0.1)
    (tmp_path / "watch").mkdir()
    lease = try_lease(tmp_path / "watch" / ".watch.claim")
    assert lease is not None
    with lease, pytest.raises(UsageError, match="another watch"):
        go(watch_of(tmp_path))


def test_exit_code_and_json(cli: Cli, tmp_path: Path) -> None:
    save(tmp_path / "train", 1, 0.1)
    save(tmp_path / "train", 2, 0.7)
    watch_of(tmp_path)
    asked = (
        "watch", tmp_path / "train", "--model", f"python:{tmp_path / 'toy.py'}:toy", "--task", "box", "--limit", "4", "--once",
        "-q", "--settle", "0", "--against", "best", "--ledger", tmp_path / "w", "--out", tmp_path / "runs",
    )  # fmt: skip
    ended = cli(*asked, "--json")
    assert ended.code == 3, ended.err
    told = json.loads(ended.out)
    assert (told["worse"], [c["step"] for c in told["checkpoints"]]) == (True, [1, 2])
    shown = cli(*asked)
    assert "WORSE on demo" in shown.out
    assert cli("runs", "rm", told["checkpoints"][0]["paths"][0], "--runs", tmp_path / "runs").code == 2  # the ledger cites it
    for wrong, says in (
        (("--metric", "iou_tpo"), "iou_top"),
        (("--task", "edge"), "another watch"),  # what runs of edges are compared by, there is now
        (("--webhook", "ftp://x"), "http://"),
    ):
        ended = cli(*asked, *wrong)
        assert (ended.code, says in ended.err) == (2, True), ended.err
    assert cli("watch", tmp_path / "nowhere", "--model", "sam_nano", "--once", "--ledger", tmp_path / "w2").code == 2


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step_100.pth", 100), ("epoch=3-step=1200.ckpt", 1200), ("checkpoint-500/model.safetensors", 500), ("last.ckpt", None),
        ("sam2/checkpoint_7.pt", 7), ("run/last.ckpt", None),
    ],
)  # fmt: skip
def test_steps(name: str, step: int | None) -> None:
    if name.startswith("sam2/"):  # the folder's number goes before the file's: a folder a step is how trainers number
        step = 2
    assert step_of(name) == step


def test_which_are_chosen(tmp_path: Path) -> None:
    for name in ("step_10.pth", "step_20.pth", "step_25.pth", "step_30.pth", "checkpoint-40/optimizer.pt", ".tmp/step_50.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = checkpoints_in(tmp_path)

    def steps(**how: Any) -> list[int | None]:
        return [c.step for c in chosen(found, **{"every": None, "newest": False, **how})]

    assert steps() == [10, 20, 25, 30]
    assert steps(every=10) == [10, 20, 30]
    assert steps(every=15) == [10, 25]
    assert steps(newest=True) == [30]
    assert steps(every=10, done={5}) == [20, 30]  # its file is gone, and it was evaluated
