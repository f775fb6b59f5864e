"""Reading ahead changes when files are read, and nothing else: same samples, notes, hashes, errors, and the same run."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import sambench
from sambench.engine import run as engine
from sambench.engine.ahead import Ahead
from sambench.engine.backends import local, processes
from sambench.engine.plan import scored, scored_on
from sambench.engine.worker import Job
from sambench.errors import DataError, RunError, UsageError
from sambench.files import content
from sambench.models.sam.nano import sam_nano
from sambench.notes import note, noting
from sambench.pixels.region import Region
from sambench.sources.models import ModelSpec, ResolvedModel
from sambench.tasks.prompted import encode
from sambench.types import ImageRecord, Instance, Sample, UInt8Array

CASE = Path(__file__).resolve().parents[1] / "cases" / "18-evaluate-stale-epoch"


class Files:
    """A dataset of files in a folder; says what it did, and in which thread."""

    name, variant = "files", "default"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.did: list[tuple[str, str, str]] = []
        for k in range(5):
            (root / f"{k}.txt").write_text(str(k))

    def index(self) -> list[ImageRecord]:
        return [ImageRecord(str(k), 1) for k in range(5)]

    def annotation_digest(self) -> str:
        return ""

    def load(self, image_id: str) -> Sample:
        self.did.append(("load", image_id, threading.current_thread().name))
        note(f"loading {image_id}")
        content.read_bytes(self.root / f"{image_id}.txt")
        if image_id == "3":
            raise DataError("no such image")
        region = () if image_id == "2" else (Instance("a", Region.from_array(np.ones((4, 6)))),)
        return Sample("files", image_id, 4, 6, region, lambda: self.picture(image_id))

    def picture(self, image_id: str) -> UInt8Array:
        self.did.append(("picture", image_id, threading.current_thread().name))
        note(f"image {image_id}")
        if image_id == "1":
            raise DataError("a broken image")
        return np.full((4, 6, 3), int(image_id), np.uint8)


def asked(dataset: Files, depth: int, ids: str = "01234") -> list[Any]:
    """What comes of every image: the picture's first value or the error, and the notes and files of each step."""
    out: list[Any] = []
    with closing(Ahead(dataset, None, depth)) as ahead:
        ahead.expect(list(ids))
        for image_id in ids:
            with content.reading() as read, noting() as notes:
                try:
                    sample = ahead.load(image_id)
                    before = list(notes)
                    value = int(sample.image[0, 0, 0]) if sample.instances else None
                except DataError as e:
                    before, value = list(notes), e.message
            out.append((image_id, value, before, list(notes), sorted(read)))
    return out


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_what_is_read_ahead_comes_out_as_if_it_were_read_in_its_turn(tmp_path: Path, depth: int) -> None:
    plain, ahead = Files(tmp_path), Files(tmp_path)
    assert asked(ahead, depth) == asked(plain, 0)
    assert sorted(d[:2] for d in ahead.did) == sorted(d[:2] for d in plain.did)  # each once
    assert {d[2] for d in plain.did} == {threading.current_thread().name}
    assert {d[2].partition("_")[0] for d in ahead.did} == {"reading-ahead"}


def test_the_next_images_are_read_while_one_is_at_work(tmp_path: Path) -> None:
    dataset = Files(tmp_path)
    with closing(Ahead(dataset, None, 2)) as ahead:
        ahead.expect(list("0142"))
        ahead.load("0")
        assert ahead._reader is not None
        ahead._reader.submit(int).result(timeout=10)  # all that was asked of it before is done
        assert [d[1] for d in dataset.did if d[0] == "load"] == ["0", "1", "4"]
        ahead.load("4")  # 1 is passed over
        ahead._reader.submit(int).result(timeout=10)
        assert [d[1] for d in dataset.did if d[0] == "load"] == ["0", "1", "4", "2"]


def test_an_image_that_nobody_expected_is_read(tmp_path: Path) -> None:
    with closing(Ahead(Files(tmp_path), None, 2)) as ahead:
        ahead.expect(["0"])
        assert ahead.load("4").image_id == "4"


def test_a_model_prepares_the_next_picture_and_its_numbers_stay(tmp_path: Path) -> None:
    model = sam_nano()
    threads: list[str] = []
    prepare = model.prepare

    def watched(image: UInt8Array) -> Any:
        threads.append(threading.current_thread().name)
        return prepare(image)

    model.prepare = watched  # type: ignore[method-assign]
    dataset = Files(tmp_path)
    with closing(Ahead(dataset, model, 1)) as ahead:
        ahead.expect(["0", "4"])
        for image_id in ("0", "4"):
            sample = ahead.load(image_id)
            sample.image  # noqa: B018
            threads.append("encode")
            state = encode(model, sample).state
            plain = encode(sam_nano(), dataset.load(image_id)).state
            assert np.array_equal(state.embedding.numpy(), plain.embedding.numpy())
    assert sorted(threads) == ["encode"] * 2 + ["reading-ahead_0"] * 2


class Fails:
    """What it cannot prepare it says where it is asked to encode."""

    def prepare(self, image: UInt8Array) -> None:
        raise ValueError("not this one")

    def encode(self, image: UInt8Array) -> Any:
        return image.sum()

    def decode(self, state: Any, prompts: list[Any]) -> list[Any]:
        return [sambench.Prediction(np.ones((1, 4, 6), np.bool_), np.ones(1, np.float32)) for _ in prompts]


def test_a_picture_that_cannot_be_prepared_is_encoded_whole(tmp_path: Path) -> None:
    with closing(Ahead(Files(tmp_path), model := Fails(), 1)) as ahead:
        assert encode(model, ahead.load("4")).state == 4 * 4 * 6 * 3


def rows_of(results: Any) -> pd.DataFrame:
    frames = [pd.read_parquet(p) for path in results.paths for p in sorted(path.glob("shards/*.parquet"))]
    frame = pd.concat(frames).drop(columns=["encode_ms", "decode_ms"])
    return frame.sort_values(["image_id", "object_id", "k"]).reset_index(drop=True)


def test_a_run_that_reads_ahead_and_one_scored_in_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process; the second run reads ahead as a GPU's does, the third is scored where a GPU's is."""
    request = {"datasets": str(CASE / "card.toml"), "root": str(CASE)}
    plain = sambench.evaluate(sam_nano(), out=tmp_path / "plain", **request)
    made = engine._job
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_job", lambda *a: replace(made(*a), ahead=2))
        ahead = sambench.evaluate(sam_nano(), out=tmp_path / "ahead", **request)
    scored = sambench.evaluate(sam_nano(), out=tmp_path / "scored", scoring="device", **request)
    assert ahead.paths[0].relative_to(tmp_path / "ahead") == plain.paths[0].relative_to(tmp_path / "plain")
    pd.testing.assert_frame_equal(rows_of(ahead), rows_of(plain))
    assert scored.paths[0].parent.name != plain.paths[0].parent.name  # another run
    a, b = rows_of(scored).drop(columns="cell_id"), rows_of(plain).drop(columns="cell_id")
    assert [list(v) for v in a["clicks_xy"]] == [list(v) for v in b["clicks_xy"]]
    assert abs(a["iou_top"].mean() - b["iou_top"].mean()) < 1e-6


def test_an_unknown_place_for_scoring_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown value 'gpu'"):
        engine.plan(engine.Request("point", scoring="gpu", out=str(tmp_path / "runs")))


def test_gpus_score_where_they_are_and_read_ahead() -> None:
    def model(kind: str) -> ResolvedModel:
        return ResolvedModel(ModelSpec("m", {}, kind, "fp32"), "m", "m", {"precision": "fp32", "device_kind": kind})

    assert (scored_on("cpu"), scored_on("cuda")) == ("host", "device")
    for kind, asked_for, named in (("cpu", "auto", None), ("cpu", "host", None), ("cpu", "device", "device"),
                                   ("cuda", "auto", None), ("cuda", "device", None), ("cuda", "host", "host")):  # fmt: skip
        assert scored(model(kind), asked_for).identity.get("scoring") == named


class Gone:
    """A process that was killed."""

    returncode, pid = -9, 0

    def poll(self) -> int:
        return self.returncode


def test_a_process_that_dies_while_it_reads_ahead_is_no_death_of_the_image_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been the next image, in the reading thread: the one in its place reads none ahead, and then deaths count."""
    started: list[Any] = []

    def start(job: Any, device: str, log_dir: Path, inbox: Any) -> Any:
        started.append(processes.WorkerProcess(Gone(), tmp_path / "log", device, inbox, job.ahead))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(local, "start", start)
    events: list[dict[str, Any]] = []
    job = Job(ModelSpec("m", {}, "cuda:0", "fp32"), (), "", device_kind="cuda", ahead=2)
    workers = local.LocalWorkers(job, tmp_path, events.append)
    workers.begin("cuda:0")
    for image, ahead, deaths in (("a", 2, 0), ("b", 0, 1), ("b", 0, 2)):
        assert started[-1].ahead == ahead
        started[-1].at = ("cell", image)
        workers._handle(started[-1], None)
        assert workers.deaths["cell", image] == deaths
    assert "read ahead" in events[0]["text"]
    assert list(workers.job.deadly["cell"]) == ["b"]
    assert len(started) == 4


class Short:
    """A GPU's memory does not suffice for the first `times` images that it is asked for."""

    def __init__(self, times: int) -> None:
        self.times, self.asked, self.identity = times, 0, {"short": times}

    def encode(self, image: UInt8Array) -> Any:
        self.asked += 1
        if self.asked <= self.times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return image.shape[:2]

    def decode(self, state: Any, prompts: list[Any]) -> list[Any]:
        return [sambench.Prediction(np.ones((1, *state), np.bool_), np.ones(1, np.float32)) for _ in prompts]


def test_memory_that_was_short_for_a_moment_costs_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.engine.worker.SHORT_OF_MEMORY_S", (0.0, 0.0))
    request = {"datasets": str(CASE / "card.toml"), "root": str(CASE), "out": tmp_path}
    model = Short(2)
    assert sambench.evaluate(model, "box", **request).cells[0].record.counts.n_images_done == 1  # type: ignore[arg-type]
    assert model.asked == 3
    with pytest.raises(RunError, match="OutOfMemoryError: CUDA out of memory"):
        sambench.evaluate(Short(3), "box", **request)  # type: ignore[arg-type]
