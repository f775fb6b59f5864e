"""Runs of the proposal task: results files, bad input, resuming, and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import sambench
from sambench.cli.app import app
from sambench.errors import DataError, UsageError
from sambench.results.compare import compare_cells
from sambench.results.measures import object_values
from sambench.results.rescore import rescore
from sambench.results.tables import result_table
from sambench.store.lookup import find_cells
from sambench.store.metric_rows import scalar_columns
from sambench.tasks.prompted import Context
from sambench.tasks.proposals import ProposalTask
from sambench.types import Proposals
from tests import helpers
from tests.helpers.proposal_worlds import H, W, official, rect, rle, sample, scene


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
    assert "1 detection of 1 image that the dataset does not have left out" in err
    assert "1 of 242 proposals in 6 images looked at are empty masks" in err
    assert "1 of 242 proposals in 6 images looked at stand there twice" in err
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
