"""The proposal task: matching against pycocotools, rows, shards and metrics, results files, bad input, and the command line."""

from __future__ import annotations

import contextlib
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

import sambench
from sambench import tasks
from sambench.cli.app import app
from sambench.errors import DataError, ModelError, UsageError
from sambench.metrics.proposals import SETS, AverageRecall, mask_ious, match_ranks, recalled, reference_sets
from sambench.pixels.region import Region
from sambench.results.compare import compare_cells
from sambench.results.measures import object_values
from sambench.results.rescore import rescore
from sambench.results.tables import result_table
from sambench.sources.proposals import ProposalFile
from sambench.store.metric_rows import scalar_columns
from sambench.store.views import find_cells
from sambench.tasks.prompted import Context
from sambench.tasks.proposals import ProposalTask
from sambench.tasks.settings.proposals import PRESETS, ProposalSettings, preset
from sambench.tasks.summary import Bootstrap
from sambench.types import Annotated, Annotation, Instance, Prediction, Proposals, Sample
from tests import helpers

H, W = 120, 160
AREA_NAMES = {"all": 0, "small": 1, "medium": 2, "large": 3}


def rect(y: float, x: float, h: float, w: float) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[int(y) : int(y + h), int(x) : int(x + w)] = 1
    return mask


def rle(mask: np.ndarray) -> dict[str, Any]:
    return coco_mask.encode(np.asfortranarray(mask))


def scene(rng: np.random.Generator, n_objects: int, n_proposals: int) -> tuple[list[Any], list[Any], list[float], np.ndarray]:
    """Objects, proposals by falling score, areas; some proposals are shifted objects, with ties of score and of IoU."""
    objects = []
    for k in range(n_objects):
        h, w = {0: (32, 32), 2: (110, 100)}.get(k, rng.integers(4, 80, 2))  # 32 x 32: on the border of small and medium
        y, x = rng.integers(0, H - 32), rng.integers(0, W - 32)
        objects.append(rect(min(y, H - h), min(x, W - w), h, w))
    if n_objects > 1:
        objects[1] = objects[0].copy()  # two objects of the same pixels: every IoU is a tie
    objects = [m for m in objects if m.any()]
    proposals = []
    for k in range(n_proposals):
        if k % 3:
            base = objects[rng.integers(len(objects))]
            proposals.append(np.roll(base, rng.integers(-6, 7, 2), axis=(0, 1)))
        else:
            proposals.append(rect(rng.integers(0, H - 4), rng.integers(0, W - 4), rng.integers(1, 60), rng.integers(1, 60)))
    scores = np.sort(np.round(rng.random(n_proposals), 2))[::-1]
    return [rle(m) for m in objects], [rle(m) for m in proposals], [float(m.sum()) for m in objects], scores


def official(
    images: list[tuple[list[Any], list[Any], list[float], np.ndarray]], max_dets: list[int]
) -> dict[tuple[str, int], float]:
    """pycocotools, class-agnostic: {(area, max_dets): AR}."""
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    results = []
    for i, (objects, proposals, areas, scores) in enumerate(images, 1):
        truth["images"].append({"id": i, "height": H, "width": W})
        for o, area in zip(objects, areas, strict=True):
            n = len(truth["annotations"]) + 1
            truth["annotations"].append({"id": n, "image_id": i, "category_id": 1, "iscrowd": 0, "area": area, "segmentation": o})
        results += [
            {"image_id": i, "category_id": 1, "segmentation": p, "score": float(s)} for p, s in zip(proposals, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(results), "segm")
        evaluator.params.maxDets = max_dets
        evaluator.params.useCats = 0
        evaluator.evaluate()
        evaluator.accumulate()
    recall = evaluator.eval["recall"]  # [T, 1, areas, max_dets]
    return {(name, k): float(recall[:, 0, a, j].mean()) for name, a in AREA_NAMES.items() for j, k in enumerate(max_dets)}


def test_average_recall_equals_pycocotools() -> None:
    """Ties of scores and IoUs, an object of exactly 32 x 32 pixels, more proposals than count."""
    rng = np.random.default_rng(0)
    images = [scene(rng, int(rng.integers(1, 12)), 150) for _ in range(25)]
    max_dets = [1, 10, 100]
    counted = AverageRecall(max_dets)
    for objects, proposals, areas, _ in images:
        counted.add(proposals, objects, areas)
    for (name, k), wanted in official(images, max_dets).items():
        assert counted.value(name, k) == pytest.approx(wanted, abs=1e-12), (name, k)
        assert 0 < wanted < 1 or k == 1
    assert np.isnan(counted.value("rare"))
    assert counted.n_objects["small"] + counted.n_objects["medium"] + counted.n_objects["large"] > counted.n_objects["all"]


def test_sets_are_matched_each_by_itself() -> None:
    """One proposal on a pair of overlapping objects: it finds the better one, or whichever a set has."""
    objects = [rle(rect(0, 0, 30, 30)), rle(rect(0, 0, 30, 36))]
    proposals = [rle(rect(0, 0, 30, 31))]
    sets = reference_sets([900, 1080], ["f", "r"])
    ranks = match_ranks(mask_ious(proposals, objects), sets)
    assert ranks["all"][0].tolist() == [0, -1]
    assert ranks["rare"][0].tolist() == [-1, 0]
    assert ranks["frequent"][0].tolist() == [0, -1]
    assert ranks["small"][0].tolist() == [0, -1]
    assert ranks["medium"][0].tolist() == [-1, 0]
    assert (ranks["common"] == -1).all()
    assert (ranks["large"] == -1).all()
    assert recalled(ranks["all"], 1).tolist() == [1.0, 0.0]  # IoU .968 reaches every threshold
    assert recalled(ranks["rare"], 1)[1] == pytest.approx(0.8)  # IoU .861


def test_nothing_to_match() -> None:
    sets = reference_sets([900], [None])
    assert (match_ranks(mask_ious([], [rle(rect(0, 0, 30, 30))]), sets)["all"] == -1).all()
    assert match_ranks(mask_ious([rle(rect(0, 0, 3, 3))], []), reference_sets([], []))["all"].shape == (10, 0)
    assert np.isnan(AverageRecall().value())


def test_memory_does_not_grow_with_images() -> None:
    rng = np.random.default_rng(0)
    objects, proposals, areas, _ = scene(rng, 8, 60)

    def peak(n: int) -> int:
        counted = AverageRecall()
        counted.add(proposals, objects, areas)  # compiled
        tracemalloc.start()
        for _ in range(n):
            counted.add(proposals, objects, areas)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(200) < peak(10) + (64 << 10)  # one image's IoUs alone are 4 kB


class Discs:
    """Three concentric discs about a click, as logits; scores fall with the size, and a second click point gives the same."""

    max_batch = 32

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        return image.shape[:2]

    def decode(self, state: tuple[int, int], prompts: list[Any]) -> list[Prediction]:
        from sambench.pixels.candidates import Geometry, LogitMasks

        height, width = state
        y, x = np.mgrid[:height, :width].astype(np.float32)
        out = []
        for p in prompts:
            px, py = p.points_xy[0]
            far = np.hypot(x - px, y - py)
            low = np.stack([r - far for r in (6, 14, 30)][: 3 if p.multimask else 1]).astype(np.float32)
            out.append(
                Prediction(LogitMasks(low, Geometry(low=state, size=state)), np.array([0.9, 0.8, 0.7], np.float32)[: len(low)])
            )
        return out


def sample(*rects: tuple[int, int, int, int], frequencies: str = "", annotated: bool = False) -> Sample:
    regions = [Region.from_array(rect(*r)) for r in rects]
    instances = tuple(Instance(str(k), r, category="thing" if annotated else "") for k, r in enumerate(regions))
    told = Annotated(
        tuple(Annotation(str(k), 1, "thing", frequencies[k], r, False, 5000.0 + k, (0, 0, 1, 1)) for k, r in enumerate(regions))
        if annotated
        else (),
        {1: "thing"},
    )
    image = np.zeros((H, W, 3), np.uint8)
    return Sample("made", "one", H, W, instances, lambda: image, annotated=(lambda: told) if annotated else None)


def test_rows_and_metrics_of_a_segmenter() -> None:
    task = ProposalTask(ProposalSettings(grid=6, max_dets=(1, 5, 20)))
    rows = task.rows(sample((20, 20, 40, 40), (60, 100, 20, 20)), Discs(), Context())
    proposals = [r for r in rows if r["kind"] == "proposal"]
    objects = [r for r in rows if r["kind"] == "object"]
    assert len(proposals) == 20
    assert [r["rank"] for r in proposals] == list(range(20))
    scores = [r["score"] for r in proposals]
    assert scores == sorted(scores, reverse=True)
    for r in proposals:
        assert r["score"] == pytest.approx((r["predicted_iou"] + r["stability"]) / 2)
        mask = coco_mask.decode({"size": [H, W], "counts": r["mask_rle"]})
        assert mask.sum() == r["area_px"]
    assert [r["object_id"] for r in objects] == ["0", "1"]
    assert all(r["n_proposals"] == 20 and len(r["ranks_all"]) == 10 for r in objects)
    assert "ranks_medium" in objects[0]
    assert "ranks_small" not in objects[0]
    assert "ranks_rare" not in objects[0]
    assert set(rows[0]) <= set(task.columns)
    assert set(objects[0]) <= set(task.columns)
    metrics = task.reduce(pd.DataFrame(rows, columns=list(task.columns)), Bootstrap(100))
    groups = {(m.get("group"), m["max_dets"]) for m in metrics}
    assert groups == {(g, k) for g in (None, "small", "medium") for k in (1, 5, 20)}  # no frequencies here: absent, not zero
    assert task.rows(sample(), Discs(), Context()) == []
    kept = task.rows(sample((20, 20, 40, 40)), Discs(), Context(save_masks="none"))
    assert [r["kind"] for r in kept] == ["object"]


class InParts:
    """Stored rows that are never there at once."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.whole = frame

    def frame(self) -> pd.DataFrame:
        raise AssertionError("all rows at once")

    def parts(self, columns: Any) -> Any:
        return (part[list(columns)] for _, part in self.whole.groupby("image_id"))


def test_metrics_are_made_in_parts_and_are_those_of_recalls_mean() -> None:
    rng, rows = np.random.default_rng(0), []
    for image in range(12):
        shared = {"image_id": f"i{image:02}", "cluster_id": f"c{image // 2}", "status": "ok"}
        rows += [{**shared, "kind": "proposal"} for _ in range(3)]
        for g in range(int(rng.integers(0, 6))):
            ranks = rng.integers(-1, 20, 10).astype(np.int32)
            rows.append({**shared, "kind": "object", "ranks_all": ranks, f"ranks_{('small', 'large')[g % 2]}": ranks})
    frame = pd.DataFrame(rows).assign(ranks_medium=None, ranks_frequent=None, ranks_common=None, ranks_rare=None)
    task = ProposalTask(ProposalSettings(max_dets=(1, 10)))
    found = task.reduce_stored(InParts(frame), Bootstrap())
    assert found == task.reduce(frame, Bootstrap())
    assert [(r.get("group", "all"), r["max_dets"]) for r in found] == [(s, k) for s in ("all", "small", "large") for k in (1, 10)]
    objects = frame[frame["kind"] == "object"]
    for row in found:
        here = objects[objects[f"ranks_{row.get('group', 'all')}"].notna()]
        hits = np.stack(here["ranks_all"].to_list())
        assert row["value"] == pytest.approx(((hits >= 0) & (hits < row["max_dets"])).mean(), abs=1e-12)
        assert (row["n_objects"], row["n_images"]) == (len(here), here["image_id"].nunique())
        assert row["n_clusters"] == here["cluster_id"].nunique()


def test_area_and_frequency_are_the_datasets_own() -> None:
    rows = ProposalTask(ProposalSettings(grid=4)).rows(
        sample((20, 20, 40, 40), (60, 100, 20, 20), frequencies="rf", annotated=True), Discs(), Context(save_masks="none")
    )
    assert [r["area"] for r in rows] == [5000.0, 5001.0]
    assert [r["area_px"] for r in rows] == [1600, 400]
    assert [r["frequency"] for r in rows] == ["r", "f"]
    assert "ranks_rare" in rows[0]
    assert "ranks_frequent" in rows[1]
    assert "ranks_medium" in rows[1]


def test_rankings() -> None:
    one = sample((20, 20, 40, 40))

    def ranked(**settings: Any) -> list[tuple[float, ...]]:
        task = ProposalTask(ProposalSettings(grid=5, max_dets=(10,), **settings))
        return [(*r["point_xy"], r["area_px"]) for r in task.rows(one, Discs(), Context()) if r["kind"] == "proposal"]

    assert ranked(rank="random", seed=1) == ranked(rank="random", seed=1) != ranked(rank="random", seed=2)
    assert ranked(rank="iou") != ranked()
    assert PRESETS["single"] == ProposalSettings(grid=128, multimask=False, nms_iou=0.95, rank="random")
    assert preset("paper", grid=8).nms_iou == 0.9


def test_identity_holds_what_moves_the_number() -> None:
    plain = ProposalTask().identity()
    assert plain["grid"] == 64
    assert plain["nms_iou"] == 0.9
    assert plain["rank"] == "mean"
    assert plain["max_dets"] == (1, 10, 100, 1000)
    assert "seed" not in plain
    assert "stability_offset" in plain
    drawn = ProposalTask(PRESETS["single"]).identity()
    assert drawn["seed"] == 0
    assert "stability_offset" not in drawn


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": "menn"},
        {"max_dets": ()},
        {"max_dets": (10, 1)},
        {"max_dets": (0,)},
        {"grid": 0},
        {"nms_iou": 1.5},
        {"stability": -1},
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ProposalSettings(**changes)


def test_models_without_logits_say_what_to_do() -> None:
    class Dense(Discs):
        def decode(self, state: Any, prompts: list[Any]) -> list[Prediction]:
            found = super().decode(state, prompts)
            return [Prediction(np.stack([f.masks.array(i) for i in range(len(f.masks))]), f.scores) for f in found]

    one = sample((20, 20, 40, 40))
    with pytest.raises(ModelError, match="stability") as told:
        ProposalTask(ProposalSettings(grid=4)).rows(one, Dense(), Context())
    assert "--rank iou" in str(told.value)
    assert ProposalTask(ProposalSettings(grid=4, rank="iou")).rows(one, Dense(), Context())


# On disk: a COCO dataset, a file of proposals, the command line.


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A COCO dataset of 6 images with frequencies, its card, and a file of proposals."""
    rng = np.random.default_rng(3)
    root = tmp_path / "data"
    root.mkdir()
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": k, "name": f"c{k}", "frequency": f} for k, f in enumerate("fcr", 1)]
    results = []
    for i in range(1, 7):
        objects, proposals, areas, scores = scene(rng, 5, 40)
        Image.fromarray(rng.integers(0, 255, (H, W, 3)).astype(np.uint8)).save(root / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "height": H, "width": W})
        for o, area in zip(objects, areas, strict=True):
            n = len(content["annotations"])
            content["annotations"].append(
                {"id": n + 1, "image_id": i, "category_id": 1 + n % 3, "area": area, "segmentation": plain(o)}
            )
        results += [{"image_id": i, "segmentation": plain(p), "score": float(s)} for p, s in zip(proposals, scores, strict=True)]
    (root / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "made.toml").write_text(
        'id = "made"\nname = "Made"\nreader = "sambench.loaders.coco:CocoJson"\n[options]\nimages = ""\n'
        '[access]\nstate = "manual"\nsteps = ["made here"]\n'
    )
    (tmp_path / "props.json").write_text(json.dumps(results))
    return tmp_path


def plain(mask: dict[str, Any]) -> dict[str, Any]:
    return {"size": list(mask["size"]), "counts": mask["counts"].decode()}


def run(world: Path, *args: str, code: int = 0, out: str = "runs") -> tuple[str, str]:
    done = helpers.sambench(
        "run", "proposals", "--datasets", str(world / "made.toml"), "--root", str(world / "data"), "--out", str(world / out),
        "--workers", "1", *args,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_a_file_of_proposals_from_run_to_plots(world: Path) -> None:
    model = f"proposals:{world / 'props.json'}"
    table, _ = run(world, "--model", model, "--max-dets", "1,10,30", "--limit", "3")
    assert "PARTIAL" in table
    table, err = run(world, "--model", model, "--max-dets", "1,10,30")
    assert "going on, 3 of 6" in err
    assert "AR@30" in table
    assert "rare" in table
    assert "At most 30 proposals per image; those of files by score (sha256 " in table
    assert "points on the whole image" not in table
    (cell,) = find_cells(str(world / "runs"))
    assert len(cell.record.model.proposals["file_sha256"]) == 64
    stored = json.loads((world / "props.json").read_text())
    truth = json.loads((world / "data" / "annotations.json").read_text())
    images = []
    for i in range(1, 7):
        mine = [r for r in stored if r["image_id"] == i]
        objects = [a for a in truth["annotations"] if a["image_id"] == i]
        masks = [a["segmentation"] for a in objects], [r["segmentation"] for r in mine]
        images.append((*masks, [a["area"] for a in objects], np.array([r["score"] for r in mine])))
    metrics = cell.metrics()
    wanted = official(images, [1, 10, 30])
    for row in metrics.to_dict("records"):
        if row["group_by"] != "frequency":
            name = row["group"] if isinstance(row["group"], str) else "all"
            assert row["value"] == pytest.approx(wanted[name, row["max_dets"]], abs=1e-12)
    again = pd.DataFrame(rescore(cell), columns=metrics.columns)
    assert again["value"].tolist() == metrics["value"].tolist()
    assert len(again) == 7 * 3
    # Metrics read the objects' rows alone, and without the masks.
    frame = cell.scored(scalar_columns(cell.task), ("kind", "object"))
    assert len(frame) == len(truth["annotations"])
    assert "mask_rle" not in frame
    by_category = rescore(cell, group_by="category")
    assert {r["group"] for r in by_category} == {"c1", "c2", "c3"}
    assert {r["group_by"] for r in by_category} == {"category"}
    plotted = CliRunner().invoke(app, ["plot", str(cell.path), "--to", str(world / "p"), "--root", str(world / "data")])
    assert plotted.exception is None
    assert {p.name for p in (world / "p").iterdir()} == {
        "recall.png", "recall.csv", "recall_by_group.png", "sheet_made-proposals_props.png",
    }  # fmt: skip
    curve = pd.read_csv(world / "p" / "recall.csv")
    last = curve[(curve["set"] == "all") & (curve["proposals"] == 30)]["average_recall"]
    assert last.tolist() == pytest.approx([wanted["all", 30]])
    values = object_values(cell, "ar@30")
    assert values["value"].mean() == pytest.approx(wanted["all", 30])
    with pytest.raises(UsageError, match="ar@10"):
        object_values(cell, "iou_top")


def test_two_files_are_compared_by_object(world: Path) -> None:
    results = json.loads((world / "props.json").read_text())
    (world / "half.json").write_text(json.dumps(results[::2]))
    a, b = (run_here(world, f"proposals:{world / name}.json", settings={"max_dets": (10, 30)}) for name in ("props", "half"))
    shown = CliRunner().invoke(app, ["compare", str(a.paths[0]), str(b.paths[0])])
    assert "ar@30" in shown.stdout
    (difference,) = compare_cells(a.cells, b.cells, metric="ar@10").differences
    means = [r.metrics().query("max_dets == 10 and group_by.isna()")["value"].item() for r in (a, b)]
    assert [difference.paired.mean_a, difference.paired.mean_b] == pytest.approx(means)
    found = result_table([*a.cells, *b.cells])
    assert [row.values["model"] for row in found.rows] == ["proposals_props", "proposals_half"]


def bad(world: Path, change: Any) -> str:
    """What is said of a changed file, before anything is computed."""
    results = json.loads((world / "props.json").read_text())
    (world / "bad.json").write_text(json.dumps(change(results)))
    with pytest.raises(DataError) as told:
        run_here(world, f"proposals:{world / 'bad.json'}")
    assert not (world / "bad").exists()
    return str(told.value)


def run_here(world: Path, model: str, **more: Any) -> sambench.api.Results:
    where = {"root": str(world / "data"), "out": str(world / "bad"), "workers": 1}
    return sambench.run("proposals", str(world / "made.toml"), model, **where, **more)


def test_bad_files_of_proposals(world: Path) -> None:
    assert "holds no detections" in bad(world, lambda r: [])
    assert "of other images than the dataset" in bad(world, lambda r: [{**x, "image_id": x["image_id"] + 900} for x in r])
    assert "score, a finite number" in bad(world, lambda r: [{k: v for k, v in x.items() if k != "score"} for x in r])
    said = bad(world, lambda r: [{"image_id": x["image_id"], "score": x["score"], "bbox": [1, 1, 5, 5]} for x in r])
    assert "proposals are masks" in said
    assert "sambench run instances" in said
    assert "not a list of detections" in bad(world, lambda r: {"annotations": r})
    turned = bad(world, lambda r: [{**x, "segmentation": {**x["segmentation"], "size": [W, H]}} for x in r])
    assert f"expected: size [{H}, {W}] (height, width), as the image" in turned
    broken = bad(world, lambda r: [*r[:-1], {**r[-1], "segmentation": {"size": [H, W], "counts": "0"}}])
    assert "broken RLE" in broken
    assert "entry 239" in broken


def test_files_with_flaws_that_are_said(world: Path) -> None:
    empty = plain(rle(np.zeros((H, W), np.uint8)))

    def flawed(results: list[Any]) -> list[Any]:
        extra = [{**results[0]}, {"image_id": 1, "segmentation": empty, "score": 0.99}, {**results[0], "image_id": 777}]
        return [*results, *extra]

    (world / "flawed.json").write_text(json.dumps(flawed(json.loads((world / "props.json").read_text()))))
    _, err = run(world, "--model", f"proposals:{world / 'flawed.json'}", out="bad")
    assert "1 detections of 1 images that the dataset does not have are left out" in err
    assert "1 of 242 proposals in 6 images looked at are empty masks" in err
    assert "stand there twice" in err
    (cell,) = find_cells(str(world / "bad"))
    rows = cell.scored(["image_id", "rank", "area_px", "mask_rle", "n_proposals"], ("kind", "proposal"))
    assert (rows["image_id"] == "1").sum() == 41  # the repeated one stays, the empty one goes
    assert "777" not in set(rows["image_id"])


def test_wrong_flags(world: Path) -> None:
    model = f"proposals:{world / 'props.json'}"
    for options, said in (
        ({"options": {"a": 1}}, "no options"),
        ({"precision": "bf16"}, "no precision"),
        ({"settings": {"grids": 3}}, "unknown setting"),
    ):
        with pytest.raises(UsageError, match=said):
            run_here(world, model, **options)
    with pytest.raises(DataError, match="cannot be read"):
        run_here(world, f"proposals:{world}/absent.json")
    with pytest.raises(UsageError, match="is not one for the proposals task"):
        run_here(world, "canny")
    with pytest.raises(UsageError, match="is not one for the point task"):
        sambench.run("point", "demo", model)
    assert "as in 1,10,100" in run(world, "--model", model, "--max-dets", "x", code=2)[1]


def test_a_segmenter_interrupted_and_resumed(world: Path) -> None:
    """In two steps or in one: the same rows and metrics."""
    args = ("--model", helpers.TOY_MODEL, "--grid", "6", "--rank", "iou", "--max-dets", "1,10")
    run(world, *args, "--limit", "2")
    run(world, *args)
    settings = {"grid": 6, "rank": "iou", "max_dets": (1, 10)}
    run_here(world, helpers.TOY_MODEL, settings=settings)
    (a,), (b,) = find_cells(str(world / "runs")), find_cells(str(world / "bad"))
    assert a.metrics().drop(columns="cell_id").equals(b.metrics().drop(columns="cell_id"))
    columns = ["image_id", "kind", "rank", "score", "mask_rle", "object_id"]
    assert a.rows(columns).equals(b.rows(columns))


def test_sources_of_ones_own(world: Path) -> None:
    class Mine:
        def proposals(self, image_id: str, size: tuple[int, int], most: int) -> Proposals:
            return Proposals([rle(rect(20, 20, 40, 40))], np.array([0.5]))

    rows = ProposalTask().rows(sample((20, 20, 40, 40)), Mine(), Context())
    assert rows[-1]["ranks_all"] == [0] * 10
    assert rows[0]["rank"] == 0


def test_task_is_found() -> None:
    task = tasks.build("proposals", {"max_dets": [1, 5]})
    assert task.protocol == "proposals@1"
    assert set(SETS) == {c.removeprefix("ranks_") for c in task.columns if c.startswith("ranks_")}
    with pytest.raises(DataError):
        ProposalFile(Path("absent.json"))
