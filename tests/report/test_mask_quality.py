"""Section 5: shares of pairs of masks above an IoU, from two files; and figure 13 from the ledger of a watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sambench.errors import DataError, UsageError
from sambench.metrics.quality import mask_quality
from sambench.report.mask_pairs import mask_pairs
from sambench.watch.ledger import Entry, Ledger, entries_of
from tests.helpers.cells import flat, point_cell
from tests.helpers.inprocess import Cli

SIDE = 200


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capsys)


def rectangle(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + height, x : x + width] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [SIDE, SIDE], "counts": rle["counts"].decode()}


def coco_file(path: Path, masks: dict[tuple[int, int], Any], size: int | None = SIDE) -> Path:
    """masks: segmentation by (image id, annotation id)."""
    images = [{"id": i, "file_name": f"{i}.jpg"} | ({"height": size, "width": size} if size else {}) for i in {k[0] for k in masks}]
    annotations = [{"id": n, "image_id": i, "category_id": 1, "segmentation": s, "iscrowd": 0} for (i, n), s in masks.items()]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}))
    return path


# Whole rectangles against a part of them: IoUs of 1, .95, .9 and .5, of areas 400, 2,000, 1,000 and 10,000 px.
WHOLE = {(1, 10): (20, 20), (1, 11): (100, 20), (2, 12): (100, 10), (2, 13): (100, 100)}
PART = {(1, 10): (20, 20), (1, 11): (95, 20), (2, 12): (90, 10), (2, 13): (50, 100)}


def two_files(folder: Path) -> tuple[Path, Path]:
    parts = {key: rectangle(0, 0, *size) for key, size in PART.items()}
    wholes = {key: rectangle(0, 0, *size) for key, size in WHOLE.items()}
    parts[1, 99] = rectangle(5, 5, 9, 9)  # thrown away by whoever corrected
    return coco_file(folder / "automatic.json", parts), coco_file(folder / "corrected.json", wholes)


def test_ious_and_shares_of_known_pairs(tmp_path: Path) -> None:
    pairs = mask_pairs(*two_files(tmp_path))
    assert dict(zip(pairs.object_ids, pairs.ious.tolist(), strict=True)) == {"10": 1.0, "11": 0.95, "12": 0.9, "13": 0.5}
    assert pairs.areas_px.tolist() == [400, 2000, 1000, 10000]
    assert pairs.notes == ("1 mask of automatic.json without a partner in the other",)
    found = {q.group: q for q in mask_quality(pairs.ious, pairs.areas_px, pairs.image_ids)}
    assert found["all"].mean[0] == pytest.approx((1 + 0.95 + 0.9 + 0.5) / 4)
    assert found["all"].above[0.9][0] == 0.5  # greater than .9, which the third is not
    assert found["all"].above[0.75][0] == 0.75
    assert (found["small"].n, found["medium"].n, found["large"].n) == (2, 1, 1)
    assert found["large"].above[0.75][0] == 0.0
    assert np.isnan(found["large"].mean[1])  # of one image nothing is known of how images vary


def test_the_interval_covers_the_share_and_keeps_images_together() -> None:
    rng = np.random.default_rng(0)
    per_image = np.repeat(rng.random(60) < 0.94, 50)  # whole images are good or bad
    ious, labels = np.where(per_image, 0.95, 0.6), np.repeat(np.arange(60), 50)
    (found, *_) = mask_quality(ious, np.full(3000, 5000.0), labels)
    apart = mask_quality(ious, np.full(3000, 5000.0))[0]
    share, low, high = found.above[0.9]
    assert share == pytest.approx(per_image.mean())
    assert low < 0.94 < high
    assert high - low > 3 * (apart.above[0.9][2] - apart.above[0.9][1])
    with pytest.raises(ValueError, match="one length"):
        mask_quality([0.5], [1, 2])


def test_the_report_and_what_is_refused(cli: Cli, tmp_path: Path) -> None:
    automatic, corrected = two_files(tmp_path)
    ended = cli("report", "quality", "--automatic", automatic, "--corrected", corrected, "--format", "md,csv,png", "--out", "q")
    assert ended.code == 0, ended.err
    text = Path("q/quality.md").read_text()
    assert "| automatic.json against corrected.json: all | 4 | 2 | 83.8 |" in text
    assert "*94.0*" in text
    assert "1 mask of automatic.json without a partner" in text
    assert Path("q/figures/quality_iou.png").stat().st_size > 5000
    lines = Path("q/figures/quality_iou.csv").read_text().splitlines()
    assert sum(int(line.split(",")[2]) for line in lines[1:]) == 4
    assert "pairs of masks take two files" in cli("report", "quality", "--automatic", automatic).err
    assert "Not measured: no pairs" in cli("report", "quality", "--out", "none").err
    other = coco_file(tmp_path / "other.json", {(1, 10): rectangle(0, 0, 5, 5)}, size=100)
    with pytest.raises(DataError, match="another size of one image"):
        mask_pairs(automatic, other)
    with pytest.raises(DataError, match="no mask in common"):
        mask_pairs(automatic, coco_file(tmp_path / "ids.json", {(1, 77): rectangle(0, 0, 5, 5)}))
    with pytest.raises(DataError, match="size is in neither"):
        mask_pairs(*(coco_file(tmp_path / f"bare{i}.json", {(1, 1): rectangle(0, 0, 5, 5)}, size=None) for i in (1, 2)))


def test_figure_13_of_a_watch(cli: Cli, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "watch", {"task": "point"})
    for step, iou in ((30, 0.7), (10, 0.5), (20, 0.6)):
        cell = point_cell(tmp_path / f"runs{step}", "ppdls", "mine", flat(iou), gap=0.1)
        paths = (str(cell.path.resolve()),)
        ledger.add(Entry(f"{step}.pth", step, 1, step, "2026-01-01", "mine", (cell.record.cell_id,), paths, iou))
    ledger.add(Entry("40.pth", 40, 1, 40, "2026-01-01", error="cannot be loaded"))
    assert [e.step for e in entries_of(tmp_path / "watch")] == [10, 20, 30, 40]
    ended = cli("report", "fig13", "--series", "watch", "--format", "csv", "--out", "f")
    assert ended.code == 0, ended.err
    rows = [line.split(",") for line in Path("f/figures/fig13.csv").read_text().splitlines()[1:]]
    assert [(r[0], r[1], round(float(r[2]))) for r in rows if r[1] == "top"] == [
        ("10", "top", 50), ("20", "top", 60), ("30", "top", 70),
    ]  # fmt: skip
    assert [round(float(r[2])) for r in rows if r[1] == "oracle"] == [60, 70, 80]
    (tmp_path / "nothing").mkdir()
    assert "there is no ledger of a watch" in cli("report", "fig13", "--series", "nothing").err
    with pytest.raises(UsageError):
        entries_of(tmp_path / "absent")
