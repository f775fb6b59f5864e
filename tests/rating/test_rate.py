"""Rating jobs: what is drawn, what raters and the key see, views, going on after an interruption, and wrong requests."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sambench import cards
from sambench.engine.run import run_cell
from sambench.errors import DataError, DataMissingError, UsageError
from sambench.loaders.open import open_dataset
from sambench.loaders.rated import rescaled, rescaled_region, rescaled_size
from sambench.pixels.region import Region
from sambench.prompts import center_click
from sambench.rating import jobs as rating_jobs
from sambench.rating import render as rating_render
from sambench.rating.items import Drawing
from sambench.rating.jobs import HALVES, Study, make
from sambench.rating.render import FORMS, encoded, view_names
from sambench.rating.statistics import read_ratings
from sambench.rating.views import ALL_VIEWS, GROUND_RGB, MASK_RGB, Scene, ShownPrompt, zoom_window
from sambench.types import Window
from tests.helpers import TOY_MODEL, sambench, write_nuclei

AREA = 150  # the toy discs have 113 to 530 pixels


def _ignore(*_: Any) -> None:
    return


RUN = partial(run_cell, _ignore)


def rating_views(image: np.ndarray, mask: Region, prompt: ShownPrompt, side_px: int = 1024) -> dict[str, np.ndarray]:
    return Scene.of(image, side_px).views(mask, prompt)

@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nuclei(tmp_path_factory.mktemp("data"), n_images=8)


@pytest.fixture(autouse=True)
def _found(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(data))


def _study(out: Path, **more: Any) -> Study:
    given = {"models": ((TOY_MODEL, {"level": 100}),), "drawing": Drawing(n=10, min_area_px=AREA), "view_px": 160, "workers": 1}
    return Study(datasets=("bbbc038v1",), out=str(out), **(given | more))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 10 objects, one model and the ground truth, with 2 controls."""
    with pytest.MonkeyPatch.context() as m:
        m.setenv("SAMBENCH_DATA", str(data))
        m.setenv("SAMBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        out = tmp_path_factory.mktemp("study") / "s"
        found = make(_study(out, controls=2), RUN, _ignore)
    assert found.n_jobs == 22
    return out


def test_every_object_has_a_job_for_each_model_and_the_ground_truth(made: Path) -> None:
    key = pd.DataFrame(_rows(made / "key.csv"))
    scored = key[key["is_control"] == "false"]
    per_object = scored.groupby(["image_id", "object_id"])["model"].agg(sorted)
    assert len(per_object) == 10
    models = {tuple(m) for m in per_object}
    assert len(models) == 1
    assert "ground_truth" in next(iter(models))
    assert len(next(iter(models))) == 2
    truth = scored[scored["model"] == "ground_truth"]
    assert (truth["iou"].astype(float) == 1).all()
    assert (truth["area_px"].astype(int) >= AREA).all()
    assert set(key.loc[key["is_control"] == "true", "model"]) == {"control"}
    assert key["job_id"].is_unique
    assert (key["shown_order"].astype(int) == np.arange(1, 23)).all()


def test_raters_see_no_model_no_image_name_and_a_shuffled_queue(made: Path) -> None:
    raters = made / "for_raters"
    key = _rows(made / "key.csv")
    jobs = _rows(raters / "jobs.csv")
    assert [j["job_id"] for j in jobs] == [k["job_id"] for k in key]
    names = " ".join(str(p.relative_to(raters)) for p in raters.rglob("*")) + (raters / "jobs.csv").read_text()
    for secret in {k["model"] for k in key} | {k["image_id"] for k in key} | {"bbbc"}:
        assert secret not in names
    order = [k["model"] for k in key]
    assert order != sorted(order)
    assert [(k["image_id"], k["object_id"]) for k in key] != sorted((k["image_id"], k["object_id"]) for k in key)
    assert not any(p.suffix not in (".jpg", ".csv", ".txt") for p in raters.rglob("*") if p.is_file())


def test_every_job_has_its_five_views(made: Path) -> None:
    for job in _rows(made / "for_raters" / "jobs.csv"):
        for view in ALL_VIEWS:
            with Image.open(made / "for_raters" / job[view]) as image:
                assert max(image.size) == 160
                assert image.mode == "RGB"
                assert not image.getexif()


def test_ratings_of_the_jobs_are_read_with_the_key(made: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"job_id": j["job_id"], "rater": f"r{rng.integers(2)}", "score": rng.integers(1, 11)} for j in _rows(made / "key.csv")]
    pd.DataFrame(rows).to_csv(tmp_path / "r.csv", index=False)
    got = read_ratings(tmp_path / "r.csv", key=made / "key.csv")
    assert got.notes == ()
    assert len(got.scored) == 20
    assert set(got.frame["dataset"]) == {"bbbc038v1"}


def test_the_same_objects_are_drawn_whatever_the_models_and_a_prefix_for_fewer(made: Path, tmp_path: Path) -> None:
    def objects(study: Study) -> set[tuple[str, str]]:
        return {(p["image_id"], p["object_id"]) for p in _rows(make(study, RUN, _ignore).prompts)}

    ten = objects(_study(tmp_path / "a", models=(), prompts_only=True))
    assert ten == {(k["image_id"], k["object_id"]) for k in _rows(made / "key.csv")}
    four = objects(_study(tmp_path / "b", prompts_only=True, drawing=Drawing(n=4, min_area_px=AREA)))
    assert len(four) == 4
    assert four < ten
    other = objects(_study(tmp_path / "c", prompts_only=True, drawing=Drawing(n=10, min_area_px=AREA, seed=1)))
    assert other != ten


def test_prompts_are_the_ground_truths_center(made: Path) -> None:
    folder = made / "work" / "objects" / "bbbc038v1"
    dataset = open_dataset(cards.dataset_card(str(folder / "card.toml")), root=folder)
    for row in _rows(made / "work" / "prompts.csv"):
        sample = dataset.load(row["image_id"])
        o = next(o for o in sample.instances if o.object_id == row["object_id"])
        click = center_click(o.region, sample.ignore)
        assert (float(row["x"]), float(row["y"])) == (click.x, click.y)


def test_too_few_objects_are_all_taken_and_said(tmp_path: Path) -> None:
    found = make(_study(tmp_path / "s", prompts_only=True, drawing=Drawing(n=1000, min_area_px=1)), RUN, _ignore)
    assert "bbbc038v1: only 32 of 32 objects can be rated; all are taken" in found.notes[0]
    with pytest.raises(DataError, match=r"(?s)no object that can be rated.*32 masks, all smaller"):
        make(_study(tmp_path / "t", prompts_only=True, drawing=Drawing(min_area_px=10_000)), RUN, _ignore)


def test_box_half_prompts_with_boxes_and_another_sets_ground_truth_alone(data: Path, tmp_path: Path) -> None:
    study = _study(tmp_path / "s", prompt="box", truth_only={"demo": 5}, view_px=200)
    found = make(study, RUN, _ignore)
    assert found.n_by_dataset == {"bbbc038v1": 20, "demo": 5}
    key = _rows(tmp_path / "s" / "key.csv")
    assert {k["model"] for k in key if k["dataset"] == "demo"} == {"ground_truth"}
    assert {k["prompt"] for k in key} == {"box"}
    assert {p["dataset"] for p in _rows(found.prompts)} == {"bbbc038v1"}
    assert HALVES["boxes"]["truth_only"] == {"coco_2017_val": 794}
    assert len(HALVES["points"]["datasets"]) == 7
    for name in (*HALVES["points"]["datasets"], *HALVES["boxes"]["datasets"], *HALVES["boxes"]["truth_only"]):
        cards.dataset_card(name)


def test_images_are_rescaled_before_prediction(tmp_path: Path) -> None:
    found = make(_study(tmp_path / "s", drawing=Drawing(n=3, min_area_px=AREA, max_side_px=64)), RUN, _ignore)
    prompts = _rows(found.prompts)
    assert {(p["height"], p["width"]) for p in prompts} == {("48", "64")}
    assert all(float(p["x"]) < 64 and float(p["y"]) < 48 for p in prompts)
    rows = pd.concat(pd.read_parquet(p) for p in (tmp_path / "s" / "work" / "runs").glob("*/*/shards/*.parquet"))
    assert set(rows["width"]) == {64}
    assert (rows["area_px"] < AREA).any()  # the limit is on the mask as annotated


def test_rescaling_keeps_small_images_and_half_covered_pixels(data: Path) -> None:
    assert rescaled_size(1000, 2000, 2000) == (1000, 2000)
    assert rescaled_size(3000, 4001, 2000) == (1500, 2000)
    mask = np.zeros((8, 8), bool)
    mask[0:2, 0:2] = mask[2, 2:4] = mask[4, 4] = True  # 4, 2 and 1 of 4 pixels of three blocks
    small = rescaled_region(Region.from_array(mask), 4, 4).full()
    assert np.argwhere(small).tolist() == [[0, 0], [1, 1]]
    dataset = open_dataset(cards.dataset_card("bbbc038v1"))
    sample = dataset.load("image000")
    assert rescaled(sample, 128) is sample
    half = rescaled(sample, 64)
    assert half.image.shape == (48, 64, 3)
    assert len(half.instances) == 4
    gone = rescaled(replace(sample, instances=(replace(sample.instances[0], region=Region.from_array(np.eye(96, 128) > 0)),)), 16)
    assert (gone.instances, gone.n_dropped) == ((), 1)


# --- going on


def test_a_second_call_computes_and_renders_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p: p.stat().st_mtime_ns for p in made.rglob("*.jpg")}
    monkeypatch.setattr(rating_render, "_render_image", lambda *a: pytest.fail("rendered again"))
    events: list[dict[str, Any]] = []
    make(_study(made, controls=2), partial(run_cell, events.append), _ignore)
    assert before == {p: p.stat().st_mtime_ns for p in made.rglob("*.jpg")}
    assert all(not e["missing"] for e in events if e["event"] == "begin")


def test_an_interrupted_study_has_no_jobs_file_and_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, n = tmp_path / "s", 0
    whole = Scene.views

    def dies(*args: Any, **options: Any) -> Any:
        nonlocal n
        n += 1
        if n == 5:
            raise KeyboardInterrupt
        return whole(*args, **options)

    monkeypatch.setattr(Scene, "views", dies)
    with pytest.raises(KeyboardInterrupt):
        make(_study(out), RUN, _ignore)
    assert not (out / "key.csv").exists()
    assert not (out / "for_raters" / "jobs.csv").exists()
    folders = list((out / "for_raters" / "views").iterdir())
    assert len(folders) == 4
    assert all(len(list(f.iterdir())) == 6 for f in folders)
    first = {p: p.stat().st_mtime_ns for p in out.rglob("*.jpg")}
    (out / "for_raters" / "views" / ".killed.123").mkdir()
    monkeypatch.setattr(Scene, "views", whole)
    assert make(_study(out), RUN, _ignore).n_jobs == 20
    assert first.items() <= {p: p.stat().st_mtime_ns for p in out.rglob("*.jpg")}.items()
    assert len(list((out / "for_raters" / "views").iterdir())) == 20


def test_another_model_is_added_and_another_study_refused(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    shutil.copytree(made, out)
    two = ((TOY_MODEL, {"level": 100}), (TOY_MODEL, {"level": 200}))
    before = [k["job_id"] for k in _rows(out / "key.csv")]
    assert make(_study(out, controls=2, models=two), RUN, _ignore).n_jobs == 32
    after = _rows(out / "key.csv")
    assert len({k["model"] for k in after}) == 4  # one model with two options has two names
    scored = {k["job_id"] for k in after if k["model"] in ("ground_truth", "control")}
    assert scored <= set(before)
    kept = (out / "key.csv").read_bytes()
    with pytest.raises(UsageError, match=r"(?s)another rating study.*of its 32 jobs.*--out"):
        make(_study(out, controls=2, drawing=Drawing(n=5, min_area_px=AREA)), RUN, _ignore)
    assert (out / "key.csv").read_bytes() == kept


def test_processes_render_the_same_pictures(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating_render, "_FEW", 0)
    out = tmp_path / "s"
    shutil.copytree(made, out)
    shutil.rmtree(out / "for_raters")
    os.unlink(out / "key.csv")
    # The cards' folders have moved: their objects are the same.
    make(_study(out, controls=2, workers=2), RUN, _ignore)
    for path in (made / "for_raters").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (out / path.relative_to(made)).read_bytes()


# --- masks of models that ran elsewhere


def _given(made: Path, **change: Any) -> list[dict[str, Any]]:
    folder = made / "work" / "objects" / "bbbc038v1"
    dataset = open_dataset(cards.dataset_card(str(folder / "card.toml")), root=folder)
    out = []
    for record in dataset.index():
        sample = dataset.load(record.image_id)
        for o in sample.instances:
            x0, y0, x1, y1 = o.box_xyxy
            box = [x0, y0, x1 + 1, y0, x1 + 1, y1 + 1, x0, y1 + 1]
            out.append({"image_id": sample.image_id, "object_id": o.object_id, "segmentation": [box]} | change)
    return out


def test_masks_of_another_program_are_rated_too(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps(_given(made)))
    found = make(_study(tmp_path / "s", masks={"boxes": file}), RUN, _ignore)
    assert found.n_jobs == 30
    boxes = [k for k in _rows(tmp_path / "s" / "key.csv") if k["model"] == "boxes"]
    assert all(0.6 < float(k["iou"]) < 0.95 for k in boxes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"object_id": "mask99"}, "(?s)10 of 10 objects of bbbc038v1 have no mask of 'boxes'.*--prompts-only"),
        ({"segmentation": {"size": [100, 100], "counts": "0"}}, "(?s)another shape.*entry 0"),
        ({"segmentation": None}, "entry|no mask"),
    ],
)
def test_masks_that_do_not_fit_are_refused(made: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps(_given(made, **change)))
    with pytest.raises(DataError, match=said):
        make(_study(tmp_path / "s", models=(), masks={"boxes": file}), RUN, _ignore)
    file.write_text('[{"image_id": 1}]')
    with pytest.raises(DataError, match=r"(?s)lacks keys.*entry 0.*segmentation"):
        make(_study(tmp_path / "s", models=(), masks={"boxes": file}), RUN, _ignore)
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        make(_study(tmp_path / "s", models=(), masks={"boxes": file}), RUN, _ignore)


# --- views


def _scene() -> tuple[np.ndarray, Region]:
    image = np.full((60, 80, 3), 90, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    return image, Region.from_array(mask)


def test_views_show_the_mask_and_not_more() -> None:
    image, region = _scene()
    views = rating_views(image, region, ShownPrompt(point_xy=(70, 10)), side_px=320)
    assert tuple(views) == ALL_VIEWS
    inside, outside, edge = (slice(90, 150), slice(130, 190)), (slice(200, 230), slice(20, 60)), (160 + 0, 160)
    assert (views["image"][inside] == 90).all()
    assert (views["outline"][inside] == 90).all()
    assert (views["overlay"][inside] != 90).any()
    assert (views["cutout"][inside] == 90).all()
    for name, ground in (("image", 90), ("outline", 90), ("overlay", 90), ("cutout", GROUND_RGB[0])):
        assert (views[name][outside] == ground).all(), name
    assert (views["outline"][edge] == MASK_RGB).all()  # one displayed pixel below the mask
    assert not (views["image"] == MASK_RGB).all(-1).any()


def test_the_prompt_is_in_every_view_and_the_zoom_holds_mask_and_prompt() -> None:
    image, region = _scene()
    for prompt in (ShownPrompt(point_xy=(70, 10)), ShownPrompt(box_xyxy=(28, 18, 52, 42))):
        for name, view in rating_views(image, region, prompt, side_px=320).items():
            assert (view > 200).all(-1).any(), name
    window = zoom_window(region, ShownPrompt(point_xy=(70, 10)))
    assert window.y0 <= 10
    assert window.x1 > 70
    assert (window.y0 <= 20, window.x0 <= 30, window.y1 >= 40, window.x1 >= 50) == (True,) * 4
    assert zoom_window(region, ShownPrompt(point_xy=(40, 30))) == Window(12, 16, 48, 64)  # at least 48 pixels, in the image's shape
    corner = Region.from_window(np.ones((4, 4), bool), 56, 76, 60, 80)
    assert zoom_window(corner, ShownPrompt(point_xy=(78, 58))) == Window(24, 32, 60, 80)


@pytest.mark.parametrize("shape", [(60, 80), (8, 500), (500, 8), (37, 41), (1, 1)])
def test_the_size_of_a_view_says_nothing_of_its_mask(shape: tuple[int, int]) -> None:
    rng, image = np.random.default_rng(0), np.full((*shape, 3), 90, np.uint8)
    sizes = set()
    for n in range(12):
        mask = np.zeros(shape, bool)
        y, x = rng.integers(shape[0]), rng.integers(shape[1])
        if n:
            mask[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = True
        views = rating_views(image, Region.from_array(mask), ShownPrompt(point_xy=(int(x), int(y))), side_px=200)
        sizes |= {view.shape for view in views.values()}
    assert len(sizes) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_views_form_does_not_depend_on_its_mask_and_boundaries_are_kept_where_it_says_so(form: str) -> None:
    image, region = _scene()
    views = rating_views(image, region, ShownPrompt(point_xy=(70, 10)), side_px=320)
    names = view_names(form)
    assert tuple(names) == ALL_VIEWS
    exact = {"png": ALL_VIEWS, "webp": ALL_VIEWS, "sharp": ("outline", "zoom", "plain"), "jpg": ()}[form]
    for view, pixels in views.items():
        with Image.open(io.BytesIO(encoded(pixels, FORMS[form][view]))) as read:
            again = np.asarray(read.convert("RGB"))
        assert names[view].endswith("jpg") == (view not in exact)
        assert again.shape == pixels.shape
        assert (again == pixels).all() == (view in exact), view


def test_views_of_an_empty_mask_and_of_the_whole_frame() -> None:
    image, _ = _scene()
    empty = rating_views(image, Region.from_array(np.zeros((60, 80), bool)), ShownPrompt(point_xy=(40, 30)), side_px=160)
    assert (empty["overlay"] == empty["image"]).all()
    assert (empty["cutout"][:20] == GROUND_RGB).all()
    whole = rating_views(image, Region.from_array(np.ones((60, 80), bool)), ShownPrompt(box_xyxy=(0, 0, 79, 59)), side_px=160)
    assert whole["zoom"].shape == whole["image"].shape == (120, 160, 3)
    with pytest.raises(ValueError, match="60 x 80"):
        rating_views(image[:50], Region.from_array(np.ones((60, 80), bool)), ShownPrompt())


# --- the command line


def test_rate_make_from_the_command_line_and_wrong_flags(data: Path, tmp_path: Path) -> None:
    env = {"SAMBENCH_DATA": str(data)}
    args = ["rate", "make", "-d", "bbbc038v1", "-m", TOY_MODEL, "-M", "level=100", "--per-dataset", "3", "--min-area", "1"]
    done = sambench(*args, "--view-px", "128", "--image-format", "png", "-o", str(tmp_path / "s"), env=env)
    assert done.returncode == 0, done.stderr
    assert "bbbc038v1: 6 jobs" in done.stdout
    assert "--key" in done.stderr
    assert len(list((tmp_path / "s" / "for_raters").rglob("*.png"))) == 36
    for wrong, said in (
        ([], "no dataset is named"),
        (["-d", "bbbc038v1"], "no model is named"),
        (["--half", "point"], "did you mean 'points'"),
        (["--half", "points", "-d", "demo"], "names the datasets itself"),
        (["-d", "demo", "-m", "grabcut", "--prompt", "boxes"], "did you mean 'box'"),
        (["-d", "demo", "-m", "grabcut", "--truth-only", "demo"], "expected: NAME=N"),
        (["-d", "demo", "-m", "grabcut", "--truth-only", "demo=x"], "a number from 1 on"),
        (["-d", "bsds500", "-m", "grabcut", "--prompts-only"], "bsds500"),
        (["-d", "dmeo", "-m", "grabcut"], "did you mean 'demo'"),
        (["-d", "bbbc038v1", "-m", "grabcutt", "--per-dataset", "2", "--min-area", "1"], "did you mean 'grabcut'"),
        (["--half", "points", "-m", "grabcut"], "none of the study's datasets"),
    ):
        done = sambench("rate", "make", *wrong, "-o", str(tmp_path / "w"), env=env)
        assert done.returncode == 2, (wrong, done.stdout, done.stderr)
        assert said in done.stderr, (wrong, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_dataset_that_is_not_here_is_an_error_unless_the_half_named_it(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="lvis_v05"):
        make(replace(_study(tmp_path / "s"), datasets=("lvis_v05",)), RUN, _ignore)
    study = replace(_study(tmp_path / "t", prompts_only=True), datasets=("lvis_v05", "bbbc038v1"), absent_ok=True)
    assert [m.name for m in rating_jobs.make(study, RUN, _ignore).missing] == ["lvis_v05"]
