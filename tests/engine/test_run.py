"""Runs end to end, in processes, as a user starts them: resuming, killing, sharing, failing, extending."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import ROOT, TOY_MODEL, sambench, write_nuclei
from tests.helpers.waiting import wait_until


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tmp_path with 20 images of generated nuclei as SAMBENCH_DATA."""
    write_nuclei(tmp_path / "data")
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    return tmp_path


def command(out: Path, *more: str) -> list[str]:
    return ["run", "point", "--datasets", "bbbc038v1", "--model", TOY_MODEL, "--out", str(out), *more]


def cell_of(out: Path) -> Path:
    (found,) = out.glob("point-*/bbbc038v1-*")
    return found


def result_of(out: Path) -> tuple[bytes, bytes]:
    cell = cell_of(out)
    return (cell / "metrics.csv").read_bytes(), (cell / "metrics.parquet").read_bytes()


def record_of(out: Path) -> dict:
    return json.loads((cell_of(out) / "cell.json").read_text())


def test_one_and_two_workers_agree_to_the_byte(world: Path) -> None:
    for n in ("1", "2"):
        done = sambench(*command(world / n, "--workers", n))
        assert done.returncode == 0, done.stderr
    assert result_of(world / "1") == result_of(world / "2")
    rec = record_of(world / "1")
    assert rec["status"] == "complete"
    counts = {"n_images_total": 20, "n_images_done": 20, "n_images_failed": 0, "n_objects": 80, "n_dropped": 0}
    assert rec["counts"] == {**counts, "left_out": {}}


def test_a_finished_cell_is_reused(world: Path) -> None:
    assert sambench(*command(world / "out")).returncode == 0
    before = {p: p.stat().st_mtime_ns for p in (world / "out").rglob("*.parquet")}
    again = sambench(*command(world / "out"))
    assert again.returncode == 0
    assert "nothing to compute" in again.stderr
    assert {p: p.stat().st_mtime_ns for p in (world / "out").rglob("*.parquet")} == before


def test_killed_again_and_again_it_ends_the_same(world: Path) -> None:
    whole = sambench(*command(world / "whole", "--workers", "2"))
    assert whole.returncode == 0, whole.stderr
    rng = random.Random(1)
    slow = [sys.executable, "-m", "sambench", *command(world / "killed", "--workers", "2")]
    for _ in range(4):
        p = subprocess.Popen(slow, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(1.5, 3.5))
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
    last = sambench(*command(world / "killed", "--workers", "2"))
    assert last.returncode == 0, last.stderr
    assert result_of(world / "killed") == result_of(world / "whole")
    leftovers = [p.name for p in cell_of(world / "killed").joinpath("shards").iterdir() if p.suffix not in (".parquet", ".tmp")]
    assert leftovers == []




def has_results(out: Path) -> bool:
    return bool(list(out.glob("point-*/*/shards/*.parquet")))


def test_workers_end_with_their_parent(world: Path) -> None:
    args = command(world / "out", "--workers", "2", "-M", "slow_s=0.5")
    p = subprocess.Popen([sys.executable, "-m", "sambench", *args], cwd=ROOT, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: has_results(world / "out"))
    children = subprocess.run(["pgrep", "-P", str(p.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 2
    p.kill()
    p.wait()
    assert wait_until(lambda: not any(Path(f"/proc/{c}").exists() for c in children))


def test_ctrl_c_keeps_what_is_computed(world: Path) -> None:
    args = command(world / "out", "--workers", "1", "-M", "slow_s=0.4")
    p = subprocess.Popen(
        [sys.executable, "-m", "sambench", *args], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert wait_until(lambda: has_results(world / "out"))
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 130, err
    assert "interrupted: what is computed is kept" in err
    rec = record_of(world / "out")
    assert rec["status"] == "interrupted"
    assert 0 < rec["counts"]["n_images_done"] < 20
    assert not (cell_of(world / "out") / "metrics.csv").exists()
    again = sambench(*args)
    assert f"going on, {rec['counts']['n_images_done']} of 20 images are done" in again.stderr
    assert record_of(world / "out")["status"] == "complete"


def test_limit_is_extended_without_doing_anything_twice(world: Path) -> None:
    first = sambench(*command(world / "out", "--limit", "10"))
    assert first.returncode == 0, first.stderr
    assert record_of(world / "out")["status"] == "partial"
    assert "PARTIAL" in first.stdout
    csv = (cell_of(world / "out") / "metrics.csv").read_text()
    assert all(",True,True,measured" in line or ",True,False,measured" in line for line in csv.splitlines()[1:])
    rest = sambench(*command(world / "out"))
    assert "going on, 10 of 20 images are done" in rest.stderr
    assert sambench(*command(world / "whole")).returncode == 0
    assert result_of(world / "out") == result_of(world / "whole")


def test_two_commands_share_one_cell(world: Path) -> None:
    args = [sys.executable, "-m", "sambench", *command(world / "out", "--workers", "1", "-M", "slow_s=0.1")]
    both = [subprocess.Popen(args, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [p.communicate(timeout=120)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], errors
    import pyarrow.parquet as pq

    rows = [r for f in sorted((cell_of(world / "out") / "shards").glob("*.parquet")) for r in pq.ParquetFile(f).read().to_pylist()]
    keys = [(r["image_id"], r["object_id"], r["k"]) for r in rows]
    assert len(keys) == len(set(keys)) == 20 * 4 * 5


def test_a_worker_begins_the_next_dataset_while_another_holds_the_last_images(world: Path) -> None:
    from sambench.store.leases import try_lease

    args = ["run", "point", "-d", "bbbc038v1,demo", "-m", TOY_MODEL, "-o", str(world / "out"), "--limit", "2", "--workers", "1"]
    assert sambench(*args).returncode == 0
    held, free = cell_of(world / "out"), next((world / "out").glob("point-*/demo-*"))
    for cell in (held, free):
        (cell / "shards" / "000000.parquet").unlink()
    lease = try_lease(held / "shards" / "000000.claim")
    assert lease is not None
    with lease:
        process = subprocess.Popen([sys.executable, "-m", "sambench", *args], cwd=ROOT, stderr=subprocess.PIPE)
        end = time.monotonic() + 120
        while not (free / "shards" / "000000.parquet").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        assert not (held / "shards" / "000000.parquet").exists()
    assert process.communicate(timeout=120)
    assert process.returncode == 0
    assert (held / "shards" / "000000.parquet").exists()


def test_a_failing_image_is_recorded_and_tried_again(world: Path) -> None:
    broken = world / "data/bbbc038v1/stage1_train/image003/images/image003.png"
    good = broken.read_bytes()
    broken.write_bytes(good[: len(good) // 2])
    first = sambench(*command(world / "out"))
    assert first.returncode == 1, first.stderr
    assert "image003" in first.stderr
    assert "the same command tries it again" in first.stderr
    rec = record_of(world / "out")
    assert rec["status"] == "incomplete"
    assert rec["counts"]["n_images_failed"] == 1
    assert rec["failures"][0]["image_id"] == "image003"
    shutil.copy(broken, world / "kept.png")
    broken.write_bytes(good)
    again = sambench(*command(world / "out"))
    assert again.returncode == 0, again.stderr
    assert "going on, 19 of 20 images are done" in again.stderr
    assert record_of(world / "out")["status"] == "complete"
    assert sambench(*command(world / "whole")).returncode == 0
    assert result_of(world / "out") == result_of(world / "whole")


def test_a_model_that_raises_is_recorded_with_its_line(world: Path) -> None:
    done = sambench(*command(world / "out"), env={"TOY_FAILS_WITH": "3"})
    assert done.returncode == 1
    failures = record_of(world / "out")["failures"]
    assert failures
    assert all("the toy does not like this image (toy_model.py:" in f["error"] for f in failures)


def test_on_error_stop(world: Path) -> None:
    (world / "data/bbbc038v1/stage1_train/image003/images/image003.png").write_bytes(b"")
    done = sambench(*command(world / "out", "--on-error", "stop"))
    assert done.returncode == 2
    assert "image003" in done.stderr
    assert "Traceback" not in done.stderr
    assert record_of(world / "out")["status"] == "interrupted"


def test_a_changed_image_is_computed_anew(world: Path) -> None:
    assert sambench(*command(world / "out")).returncode == 0
    from PIL import Image

    path = world / "data/bbbc038v1/stage1_train/image005/images/image005.png"
    Image.new("RGB", (128, 96), (200, 10, 10)).save(path)
    again = sambench(*command(world / "out"))
    assert "going on, 19 of 20 images are done" in again.stderr


def test_dry_run_writes_nothing(world: Path) -> None:
    done = sambench(*command(world / "out", "--dry-run"))
    assert done.returncode == 0, done.stderr
    assert "bbbc038v1" in done.stdout
    assert not list((world / "out").glob("point-*"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--limit", "0"], "--limit"),
        (["--workers", "0"], "--workers"),
        (["--clicks", "3,1"], "ascending"),
        (["--clicks", "a"], "not numbers"),
        (["--prompt", "centre"], "center"),
        (["--precision", "fp8"], "fp32, tf32 or bf16"),
        (["--devices", "gpu"], "cuda"),
        (["--save-masks", "all"], "scored"),
        (["--subset", "papr"], "paper"),
        (["--datasets", "bbbc038"], "bbbc038v1"),
        (["--model", "grabcat"], "grabcut"),
        (["-M", "nonsense"], "key=value"),
        (["--clicks-until", "1.5"], "0 < x <= 1"),
    ],
)
def test_wrong_flags_are_explained(world: Path, more: list[str], says: str) -> None:
    base = ["run", "point", "--out", str(world / "out")]
    given = [] if "--datasets" in more else ["--datasets", "bbbc038v1"]
    given += [] if "--model" in more else ["--model", TOY_MODEL]
    done = sambench(*base, *given, *more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((world / "out").glob("point-*"))


def test_a_read_only_directory_is_explained(world: Path) -> None:
    (world / "file").write_text("")
    done = sambench(*command(world / "file" / "out"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
