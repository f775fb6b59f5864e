"""An image that takes long is gone on with where it was left: its finished batches are kept beside the lease."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sambench
from sambench.errors import RunError
from sambench.store import partial
from sambench.store.partial import PartialRows, forget
from sambench.store.shards import ShardStore
from tests.helpers import ROOT, write_nuclei
from tests.helpers.shards import row, store
from tests.helpers.waiting import wait_until

SLOW = """
import time
from pathlib import Path
import numpy as np
from sambench import Prediction

class Slow:
    max_batch = 1
    identity = {}
    def encode(self, image):
        return image.shape[:2]
    def decode(self, state, prompts):
        with Path(LOG).open("a") as f:
            f.write("asked\\n")
        time.sleep(SECONDS)
        return [Prediction(np.ones((1, *state), bool), np.ones(1)) for _ in prompts]
"""


def kept(s: ShardStore, picture: str = "p", image_id: str = "i2") -> PartialRows:
    return PartialRows(s, 1, image_id, lambda: picture)


def test_batches_come_back_exactly(tmp_path: Path) -> None:
    s = store(tmp_path)
    first = kept(s)
    first.put(0, [row("i2"), row("i2", k=2)])
    first.put(1, [])
    assert kept(s).get(0) is None  # not written yet
    first.flush()
    first.put(5, [row("i2", k=3)])
    first.flush()
    back = kept(s)
    assert [r["k"] for r in back.get(0) or ()] == [1, 2]
    assert (back.get(0) or [{}])[0]["ious"] == [0.25, 1 / 3]
    assert back.get(1) == []
    assert [r["k"] for r in back.get(5) or ()] == [3]
    assert back.get(2) is None
    assert not back.changed()
    s.write(1, sambench.store.shards.Shard({}, {}))
    assert kept(s, image_id="i3").get(0) is None
    forget(s, 1, ["i2"])
    assert kept(s).get(0) is None
    assert sorted(p.name for p in s.folder.iterdir()) == ["000001.parquet"]


def test_rows_of_another_picture_are_not_taken(tmp_path: Path) -> None:
    s = store(tmp_path)
    first = kept(s)
    first.put(0, [row("i2")])
    first.flush()
    assert kept(s, "other").get(0) is None
    now = ["p"]
    late = PartialRows(s, 1, "i2", lambda: now[0])
    assert not late.changed()
    now[0] = "other"
    assert late.changed()


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_part_is_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    s = store(tmp_path)
    first = kept(s)
    first.put(0, [row("i2")])
    first.flush()
    (path,) = (s.folder / "000001.parts").iterdir()
    path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    assert kept(s).get(0) is None


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    s = store(tmp_path)
    (s.folder / "000001.parts").write_text("in the way")
    first = kept(s)
    first.put(0, [row("i2")])
    with pytest.raises(RunError, match="cannot be written"):
        first.flush()


def test_a_killed_run_goes_on_within_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nuclei(tmp_path / "data", 1, 4)
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    log, model = tmp_path / "asked", tmp_path / "model" / "slow.py"
    model.parent.mkdir()  # apart: what it imports from its own folder is a part of it
    third = f"len(open({str(log)!r}).readlines()) == 3"
    model.write_text(SLOW.replace("LOG", repr(str(log))).replace("SECONDS", f"8 if {third} else 0"))
    args = ["run", "box", "-d", "bbbc038v1", "-m", f"python:{model}:Slow", "-o", str(tmp_path / "out"), "--workers", "1"]
    # The worker writes after every batch; so does one of the other command, which has nothing left to keep.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sambench.store.partial as p\np.FLUSH_S = 0.0\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])}
    p = subprocess.Popen([sys.executable, "-m", "sambench", *args], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: log.exists() and len(log.read_text().split()) == 3)
    time.sleep(0.5)
    p.send_signal(signal.SIGKILL)
    p.wait()
    (cell,) = (tmp_path / "out").glob("box-*/bbbc038v1-*")
    assert not list(cell.glob("shards/*.parquet"))
    assert len(list(cell.glob("shards/*.parts/*.part"))) == 2
    rows = sambench.run("box", "bbbc038v1", f"python:{model}:Slow", out=str(tmp_path / "out"), workers=1).rows()
    assert len(log.read_text().split()) == 5  # three, and the two that were not done
    assert sorted(rows["object_id"]) == [f"mask{j}" for j in range(4)]
    assert json.loads((cell / "cell.json").read_text())["status"] == "complete"
    assert not list(cell.glob("shards/*.parts"))
    log.unlink()
    whole = sambench.run("box", "bbbc038v1", f"python:{model}:Slow", out=str(tmp_path / "whole"), workers=1).rows()
    same: list[Any] = [c for c in rows.columns if not c.endswith("_ms")]
    assert rows[same].equals(whole[same])


def test_an_interrupted_image_keeps_what_took_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s = store(tmp_path)
    quick = kept(s)
    quick.put(0, [row("i2")])
    quick.interrupted()
    assert kept(s).get(0) is None
    monkeypatch.setattr(partial, "FLUSH_S", 0.0)
    time.sleep(0.01)
    quick.interrupted()
    assert kept(s).get(0) is not None
