"""A rating study: objects drawn, predicted, shuffled, blinded and rendered (docs/protocol.md; appendix E).

<out>/for_raters/jobs.csv, README.txt, views/<job id>/1_image.jpg ... 6_plain.jpg    nothing here names a model
<out>/key.csv                                                                         what each job id stands for
<out>/study.json                                                                      what was asked for, and with which versions
<out>/work/                                                                           objects, predictions; kept for resuming

Job ids are hashes of what they stand for, so that a study that goes on after a crash, or is given another model, keeps the views
and ratings that it has. jobs.csv and key.csv are written when everything else is there.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sambench import provenance
from sambench.errors import DataMissingError, UsageError
from sambench.files.writing import write_aside, write_csv
from sambench.pixels.region import RLE, Region
from sambench.prompts import box_prompt, center_click
from sambench.rating.items import Drawing, Drawn, Progress, draw
from sambench.rating.masks import MasksOf, Run, given_masks, objects_of, place, predict
from sambench.rating.render import Picture, render, view_names
from sambench.rating.scale import AMBIGUITY, BANDS, QUESTIONS
from sambench.rating.statistics import CONTROL, GROUND_TRUTH
from sambench.rating.views import ALL_VIEWS, REVISION, ShownPrompt
from sambench.sources.datasets import Missing, Target, check_names, find_targets
from sambench.types import Instance, Sample

# Appendix E: the points half on seven sets; the boxes half on LVIS v1, with 794 ground-truth masks of COCO beside it (figure 11).
SEVEN_SETS = ("lvis_v05", "visor", "dram", "ibd", "ndd20", "ovis", "ishape")
HALVES: dict[str, dict[str, Any]] = {
    "points": {"datasets": SEVEN_SETS, "prompt": "point", "truth_only": {}},
    "boxes": {"datasets": ("lvis_v1_val",), "prompt": "box", "truth_only": {"coco_2017_val": 794}},
}
JOB_COLUMNS = ("shown_order", "job_id", "prompt", *ALL_VIEWS)
KEY_COLUMNS = (
    "job_id", "dataset", "model", "image_id", "object_id", "prompt", "mask_digest", "is_control", "shown_order", "iou", "area_px",
)  # fmt: skip

_SCALE = "\n".join(f"  {band.scores:<7}{band.long}" for band in BANDS)
README = f"""How to rate a mask
==================

Every job shows one mask in five pictures: the image, the mask's outline, the mask filled in, the mask cut out, and a zoom. The
prompt is drawn in white: a ring marks a point on the object that was asked for, a dashed box goes round it. A sixth picture is the
zoom without the mask, for comparing.

Ask three things. {" ".join(QUESTIONS)}

{_SCALE}

{AMBIGUITY}

The easiest way to collect ratings is `sambench rate serve`. Without it: write them into a CSV file with the columns job_id, rater,
score, seconds, started_at, one line per job; the score is a whole number from 1 to 10. jobs.csv lists the jobs in the order in
which they are to be shown.
"""


@dataclass(frozen=True)
class Study:
    """What is asked for. models: (name, options) pairs that are run here; masks: name -> file, of models that ran elsewhere.

    truth_only: datasets whose ground truth alone is rated -> how many masks. controls: wrong masks a dataset, to find raters who do
    not look. views: longer side in pixels, and file format. absent_ok: datasets that are not here are listed, not raised.
    """

    datasets: tuple[str, ...]
    prompt: Literal["point", "box"] = "point"
    models: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    masks: Mapping[str, Path] = field(default_factory=dict)
    truth_only: Mapping[str, int] = field(default_factory=dict)
    drawing: Drawing = field(default_factory=Drawing)
    controls: int = 0
    view_px: int = 1024
    view_format: Literal["jpg", "png", "webp", "sharp"] = "jpg"
    subset: str = "paper"
    root: str | None = None
    out: str = "rating"
    devices: tuple[str, ...] = ("auto",)
    workers: int | None = None
    precision: str = "fp32"
    prompts_only: bool = False
    absent_ok: bool = False


@dataclass(frozen=True)
class Made:
    """What came of it. jobs: jobs.csv, None if prompts alone were wanted; view_bytes: what the views take on disk."""

    jobs: Path | None
    key: Path | None
    prompts: Path
    n_jobs: int
    n_by_dataset: Mapping[str, int]
    view_bytes: int
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One mask to rate; `shown` is the same for all models of an object."""

    job_id: str
    drawn: Drawn
    model: str
    image_id: str
    object_id: str
    prompt: str
    shown: ShownPrompt
    mask: RLE
    mask_digest: str
    area_px: int
    iou: float
    is_control: bool


def make(study: Study, run: Run, on_progress: Progress) -> Made:
    """Do what is missing of a study. Re-issued, it goes on; Ctrl-C and errors keep what is done.

    run: evaluates a model (`sambench.engine.run.run_cell` with its `on_event`). on_progress: hears of the drawing.

    Raises UsageError (another study is in `out`, nothing to rate, masks that do not fit), DataError, ModelError, RunError.
    """
    out = Path(study.out)
    drawn, missing = _drawn(study, out / "work" / "objects", on_progress)
    prompts = _write_prompts(drawn, study, out / "work" / "prompts.csv")
    notes = tuple(d.note for d in drawn if d.note)
    if study.prompts_only:
        return Made(None, None, prompts, 0, {}, 0, missing, notes)
    predicted = _masks(study, [d for d in drawn if d.dataset not in study.truth_only], out / "work" / "runs", run)
    jobs = _shuffled([job for d in drawn for job in _jobs(d, study, predicted)], study.drawing.seed)
    _refuse_another(out, jobs)
    views = out / "for_raters" / "views"
    pictures = [Picture(j.job_id, j.drawn.card, j.image_id, j.shown, j.mask) for j in jobs]
    render(pictures, views, side_px=study.view_px, form=study.view_format, workers=study.workers, on_progress=on_progress)
    _drop_stale(views, {j.job_id for j in jobs})
    _write_study(out, study, jobs)
    by_dataset = {d.dataset: sum(j.drawn is d for j in jobs) for d in drawn}
    return Made(out / "for_raters" / "jobs.csv", out / "key.csv", prompts, len(jobs), by_dataset, disk_use(views), missing, notes)


def _drawn(study: Study, folder: Path, on_progress: Progress) -> tuple[list[Drawn], tuple[Missing, ...]]:
    wanted = [(n, study.drawing) for n in study.datasets] + [(n, replace(study.drawing, n=k)) for n, k in study.truth_only.items()]
    if study.root and len(wanted) > 1:
        raise UsageError("one root for several datasets", where="--root", found=study.root, remedy="use `sambench data adopt`")
    found: dict[str, tuple[Target, Drawing]] = {}
    missing: list[Missing] = []
    for name, drawing in wanted:
        try:
            targets, absent, _ = find_targets([name], subset=study.subset, root=study.root)
        except DataMissingError as e:
            if not study.absent_ok:
                raise
            targets, absent = [], [Missing(name, e.message)]
        missing += absent
        for target in targets:
            if target.card.mask_kind == "boundary":
                raise UsageError("a set of boundaries has no masks to rate", where="--datasets", found=target.card.id)
            label = "-".join(filter(None, [target.card.id, target.variant]))
            check_names(found.setdefault(label, (target, drawing))[0], target)
    if not found:
        raise DataMissingError(
            "none of the study's datasets is on this machine",
            found=f"absent: {', '.join(m.name for m in missing)}",
            remedy="`sambench show dataset NAME` says how to get each; SAMBENCH_DATA says where they are looked for",
        )
    return [draw(t, d, folder / label, on_progress) for label, (t, d) in found.items()], tuple(missing)


# --- jobs


def _masks(study: Study, drawn: Sequence[Drawn], runs: Path, run: Run) -> dict[tuple[str, str], MasksOf]:
    placing = {"devices": study.devices, "workers": study.workers, "precision": study.precision}
    found = predict(study.prompt, study.models, drawn, runs, run, **placing)
    for name, file in study.masks.items():
        found |= {(d.dataset, name): masks for d, masks in given_masks(name, file, drawn)}
    return found


def _shown(sample: Sample, instance: Instance, prompt: str) -> ShownPrompt:
    if prompt == "box":
        return ShownPrompt(box_xyxy=box_prompt(instance.region))
    click = center_click(instance.region, sample.ignore)
    return ShownPrompt(point_xy=(float(click.x), float(click.y)))


def _jobs(d: Drawn, study: Study, predicted: Mapping[tuple[str, str], MasksOf]) -> Iterator[Job]:
    """A job for every object and model, the ground truth among them; then the control items."""
    models = [m for name, m in predicted if name == d.dataset]
    controls = 0
    for sample, instance in objects_of(d):
        at, shown = place(sample.image_id, instance.object_id), _shown(sample, instance, study.prompt)
        masks = {GROUND_TRUTH: instance.region.rle()} | {m: predicted[d.dataset, m][at] for m in models}
        for model, mask in masks.items():
            yield _job(d, study, sample, instance, model, mask, shown)
        wrong = _moved(instance.region, shown) if controls < study.controls else None
        if wrong is not None:
            controls += 1
            yield _job(d, study, sample, instance, CONTROL, wrong.rle(), shown)


def _moved(region: Region, shown: ShownPrompt) -> Region | None:
    """The object's mask moved by half of the frame in both directions: a wrong one. None where it still holds the prompt."""
    rolled = np.roll(region.full(), (region.height // 2, region.width // 2), (0, 1))
    if shown.point_xy is not None and rolled[round(shown.point_xy[1]), round(shown.point_xy[0])]:
        return None
    moved = Region.from_array(rolled)
    return moved if region.iou(moved) < 0.1 else None


def _job(d: Drawn, study: Study, sample: Sample, instance: Instance, model: str, mask: RLE, shown: ShownPrompt) -> Job:
    region = Region.from_rle(mask)
    digest = hashlib.sha256(mask["counts"]).hexdigest()[:16]
    at = [d.dataset, sample.image_id, instance.object_id, study.prompt, model, digest, study.view_px, study.view_format, REVISION]
    return Job(
        job_id=provenance.digest(["rating job", study.drawing.seed, *at])[:12],
        drawn=d,
        model=model,
        image_id=sample.image_id,
        object_id=instance.object_id,
        prompt=study.prompt,
        shown=shown,
        mask=mask,
        mask_digest=digest,
        area_px=region.area,
        iou=region.iou(instance.region, sample.ignore),
        is_control=model == CONTROL,
    )


def _shuffled(jobs: Sequence[Job], seed: int) -> list[Job]:
    """One queue in random order, the same on every machine; another model does not change the order of those that were there."""
    return sorted(jobs, key=lambda j: (provenance.keyed_hash(f"rating order {seed}", j.job_id), j.job_id))


# --- files


def _refuse_another(out: Path, jobs: Sequence[Job]) -> None:
    """Raise UsageError if the study in `out` has jobs that this one lacks: people may be rating them."""
    try:
        with (out / "key.csv").open(encoding="utf-8", newline="") as f:
            before = {row["job_id"] for row in csv.DictReader(f)}
    except FileNotFoundError:
        return
    gone = before - {j.job_id for j in jobs}
    if gone:
        raise UsageError(
            "another rating study is in that folder",
            where=out,
            expected="the same datasets, models, prompt and seed as before, or more of them",
            found=f"{len(gone)} of its {len(before)} jobs are not in this study",
            remedy="choose another folder with --out, or remove that one",
        )


def disk_use(views: Path) -> int:
    """Bytes of all files of the views."""
    return sum(f.stat().st_size for job in os.scandir(views) if job.is_dir() for f in os.scandir(job.path))


def _drop_stale(views: Path, wanted: set[str]) -> None:
    for folder in views.iterdir():
        if folder.name not in wanted:
            shutil.rmtree(folder)


def _write_study(out: Path, study: Study, jobs: Sequence[Job]) -> None:
    names = view_names(study.view_format)
    rows = [[n, j.job_id, j.prompt, *(f"views/{j.job_id}/{f}" for f in names.values())] for n, j in enumerate(jobs, 1)]
    key = [
        [j.job_id, j.drawn.dataset, j.model, j.image_id, j.object_id, j.prompt, j.mask_digest, str(j.is_control).lower(), n,
        j.iou, j.area_px] for n, j in enumerate(jobs, 1)
    ]  # fmt: skip
    raters = out / "for_raters"
    write_aside(raters / "README.txt", lambda p: p.write_text(README, encoding="utf-8"))
    asked = {**asdict(study), "masks": {n: str(f) for n, f in study.masks.items()}}
    told = {"study": asked, "n_jobs": len(jobs), "environment": provenance.environment()}
    write_aside(out / "study.json", lambda p: p.write_text(json.dumps(told, indent=2, default=str), encoding="utf-8"))
    write_csv(out / "key.csv", KEY_COLUMNS, key)
    write_csv(raters / "jobs.csv", JOB_COLUMNS, rows)


def _write_prompts(drawn: Sequence[Drawn], study: Study, path: Path) -> Path:
    """What every model is asked, for those that run elsewhere: pixels of the rescaled image."""
    rows = []
    for d in drawn:
        if d.dataset in study.truth_only:
            continue
        for sample, o in objects_of(d):
            shown = _shown(sample, o, study.prompt)
            values = shown.point_xy or shown.box_xyxy or ()
            rows.append([d.dataset, sample.image_id, o.object_id, sample.height, sample.width, study.prompt, *values])
    names = ("x", "y") if study.prompt == "point" else ("x_min", "y_min", "x_max", "y_max")
    return write_csv(path, ("dataset", "image_id", "object_id", "height", "width", "prompt", *names), rows)
