"""SA-1B's files, as they are published and as `sambench masks` writes them: read again as a dataset and as proposals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import sambench
from sambench.errors import DataError, RunError, SambenchError
from sambench.loaders.sa1b import read_mask_file
from sambench.sources import datasets, models
from sambench.sources.data.path import recognised
from sambench.sources.proposals import ProposalFolder
from sambench.tasks.prompted import Context
from sambench.tasks.proposals import ProposalTask
from sambench.tasks.settings.proposals import ProposalSettings
from tests.helpers.inprocess import Cli

# The fields of README.md of github.com/facebookresearch/segment-anything, "Dataset".
IMAGE_FIELDS = {"image_id", "width", "height", "file_name"}
ANNOTATION_FIELDS = {
    "id", "segmentation", "bbox", "area", "predicted_iou", "stability_score", "crop_box", "point_coords",
}  # fmt: skip


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capsys)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    opened = sambench.dataset("demo")
    for sample in list(opened.samples())[:2]:
        Image.fromarray(sample.image[:240, :320]).save(folder / f"{sample.image_id}.png")
    return folder


def published(folder: Path, n: int, masks: list[np.ndarray[Any, Any]]) -> Path:
    """A picture and its file, as SA-1B has them: sa_N.jpg and sa_N.json in one folder."""
    height, width = masks[0].shape
    annotations = []
    for i, mask in enumerate(masks):
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotations.append({
            "id": 500 + i, "segmentation": {"size": [height, width], "counts": rle["counts"].decode()},
            "bbox": coco_mask.toBbox(rle).tolist(), "area": int(mask.sum()), "predicted_iou": 0.9 + 0.01 * i,
            "stability_score": 0.99 - 0.03 * i, "crop_box": [0, 0, width, height], "point_coords": [[3.0, 4.0]],
        })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (40, 80, 120)).save(folder / f"sa_{n}.jpg")
    image = {"image_id": n, "width": width, "height": height, "file_name": f"sa_{n}.jpg"}
    (folder / f"sa_{n}.json").write_text(json.dumps({"image": image, "annotations": annotations}))
    return folder


def two_masks() -> list[np.ndarray[Any, Any]]:
    outer, inner = np.zeros((2, 30, 40), bool)
    outer[2:20, 4:30] = inner[5:9, 6:12] = True
    return [outer, inner]


def test_the_published_layout_is_recognised_and_read(tmp_path: Path) -> None:
    for part, n in (("sa_000000", 1), ("sa_000000", 22), ("sa_000001", 3)):
        published(tmp_path / "sa" / part, n, two_masks())
    assert recognised(tmp_path / "sa") == f"sa1b:{tmp_path / 'sa'}"
    found = datasets.build(datasets.resolve(f"sa1b:{tmp_path / 'sa'}"))
    assert [r.image_id for r in found.index()] == ["sa_000000/sa_1", "sa_000000/sa_22", "sa_000001/sa_3"]
    assert {r.n_masks for r in found.index()} == {2}
    sample = found.load("sa_000000/sa_22")
    assert [i.object_id for i in sample.instances] == ["500", "501"]
    for instance, mask in zip(sample.instances, two_masks(), strict=True):
        assert np.array_equal(coco_mask.decode(instance.region.rle()).astype(bool), mask)
    assert sample.image.shape == (30, 40, 3)


def test_proposals_are_ranked_by_the_mean_and_found_by_names(tmp_path: Path) -> None:
    folder = published(tmp_path, 7, two_masks())
    shutil.move(folder / "sa_7.json", folder / "000000000042_masks.json")
    held = ProposalFolder(folder)
    found = held.proposals("42", (30, 40), 10)
    assert found.scores.tolist() == pytest.approx([(0.9 + 0.99) / 2, (0.91 + 0.96) / 2])
    assert [int(coco_mask.area(dict(r))) for r in found.rles] == [18 * 26, 4 * 6]
    assert held.proposals("000000000042", (30, 40), 1).scores.size == 1
    assert held.proposals("43", (30, 40), 1).scores.size == 0
    with pytest.raises(DataError, match="500"):
        held.proposals("42", (40, 30), 10)
    raw = json.loads((folder / "000000000042_masks.json").read_text())
    raw["annotations"][0]["stability_score"] = None  # of a model without logits: then the predicted IoU ranks alone
    (folder / "000000000042_masks.json").write_text(json.dumps(raw))
    with pytest.raises(RunError, match="changed while it was in use"):
        held.proposals("42", (30, 40), 10)
    assert ProposalFolder(folder).proposals("42", (30, 40), 10).scores.tolist() == pytest.approx([0.91, 0.9])
    assert ProposalFolder(folder).identity != held.identity


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("image"), "another form"),
        (lambda d: d["image"].pop("file_name"), "file_name"),
        (lambda d: d["annotations"][1].update(id=500), "two masks have the same id"),
        (lambda d: d["annotations"][0].pop("segmentation"), "no mask"),
    ],
)
def test_broken_files_name_what_is_wrong(tmp_path: Path, change: Any, said: str) -> None:
    path = published(tmp_path, 1, two_masks()) / "sa_1.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError) as e:
        read_mask_file(path)
    assert said in f"{e.value.message} {e.value.expected} {e.value.where}"
    assert str(path) in str(e.value)


def test_masks_of_a_folder_round_trip(cli: Cli, pictures: Path) -> None:
    flags = ("--model", "sam_nano", "--grid", "4", "--stability", "0", "--pred-iou", "0", "--nms-iou", "0.9")
    ended = cli("masks", pictures, "--out", "found", *flags)
    assert ended.code == 0, ended.err
    files = sorted(Path("found").glob("*.json"))
    assert len(files) == 2
    raw = json.loads(files[0].read_text())
    assert set(raw["image"]) >= IMAGE_FIELDS
    assert {frozenset(a) for a in raw["annotations"]} == {frozenset(ANNOTATION_FIELDS)}
    before = [p.stat().st_mtime_ns for p in files]
    again = cli("masks", pictures, "--out", "found", *flags)
    assert (again.code, again.err.count("there already")) == (0, 2)
    assert [p.stat().st_mtime_ns for p in files] == before
    raw["made_by"]["settings"]["nms_iou"] = 0.8  # of other settings, it is made anew
    files[0].write_text(json.dumps(raw))
    assert cli("masks", pictures, "--out", "found", *flags).err.count("there already") == 1
    # Of a model's own masks as the truth its proposals find every one, read from the files or made anew, at the same ranks.
    opened = datasets.build(datasets.resolve(f"sa1b:found,{pictures}"))
    task = ProposalTask(ProposalSettings(grid=4, rank="iou"))
    nano = models.build(models.resolve("sam_nano", {}, device="cpu", precision="fp32").spec)
    found = ProposalFolder(Path("found"))
    for record in opened.index():
        sample = opened.load(record.image_id)
        stored, anew = ([r["ranks_all"] for r in task.rows(sample, m, Context(save_masks="none"))] for m in (found, nano))
        assert stored == anew
        assert len(stored) == record.n_masks
        assert min(map(min, stored)) >= 0


def test_pictures_that_are_elsewhere_and_files_of_others(pictures: Path, tmp_path: Path) -> None:
    folder = published(tmp_path / "deep" / "found", 1, two_masks())
    (folder / "sa_1.jpg").unlink()
    with pytest.raises(DataError, match="images of an annotation file are not found"):
        datasets.resolve(f"sa1b:{folder}")
    opened = datasets.build(datasets.resolve(f"sa1b:{folder},{pictures}"))
    with pytest.raises(SambenchError, match="_found is missing"):
        opened.load("sa_1")
    (folder / "elsewhere").mkdir()
    Image.new("RGB", (40, 30)).save(folder / "elsewhere" / "sa_1.jpg")
    opened = datasets.build(datasets.resolve(f"sa1b:{folder},{folder / 'elsewhere'}"))
    assert len(opened.load("sa_1").instances) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.json").write_text("{}")
    with pytest.raises(DataError, match="holds no files of masks"):
        datasets.resolve(f"sa1b:{tmp_path / 'other'}")
    with pytest.raises(DataError, match="is of other images than the dataset"):
        ProposalFolder(folder).check(opened, ["another", "and another"])
    assert "1 of 2 images have no file" in ProposalFolder(folder).check(opened, ["sa_1", "another"])[0]
