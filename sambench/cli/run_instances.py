"""`sambench run instances`: a detector's boxes, the model's masks, and their average precision."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.running import (
    Config,
    Datasets,
    Devices,
    DryRun,
    Fresh,
    Limit,
    Models,
    OnError,
    Options,
    Out,
    Precision,
    Quiet,
    Root,
    SaveMasks,
    SubsetOpt,
    Workers,
    request_of,
    run,
)

if TYPE_CHECKING:
    from sambench.engine.run import Outcome

DATASET = "coco_2017_val"
_BOXES = "The detector's results: a COCO results file, or vitdet_coco, vitdet_lvis."
_VARIANT = "refine: best mask fed back once; no_refine; single: the single output throughout."
_AREAS = "What AP by size goes by: official, as COCO's evaluator loads the file; own, the mask's or box's own (instances@1)."
_RESULTS = "Also write the masks as a COCO results file, as evaluation servers take it (one dataset and model)."


def instances(
    datasets: Datasets = [],  # noqa: B006 - typer copies it
    model: Models = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    boxes: Annotated[
        str, typer.Option("--boxes", "-b", metavar="FILE|NAME", help=_BOXES)
    ] = "",
    variant: Annotated[str, typer.Option("--variant", metavar="NAME", help=_VARIANT)] = "refine",
    max_dets: Annotated[
        int | None, typer.Option("--max-dets", metavar="N", help="Detections an image (default: COCO 100, LVIS 300).")
    ] = None,
    boundary: Annotated[bool, typer.Option("--boundary", help="Boundary AP too (Cheng et al. 2021).")] = False,
    box_format: Annotated[
        str, typer.Option("--box-format", metavar="NAME", help="Of the file: xywh (COCO's) or xyxy; auto refuses what looks wrong.")
    ] = "auto",
    areas: Annotated[str, typer.Option("--areas", metavar="NAME", help=_AREAS)] = "official",
    extra: Annotated[
        str, typer.Option("--extra", metavar="NAME", help="Detections of images or categories not in the dataset: refuse or drop.")
    ] = "refuse",
    results: Annotated[Path | None, typer.Option("--results", metavar="FILE", help=_RESULTS)] = None,
    subset: SubsetOpt = "paper",
    limit: Limit = None,
    out: Out = "runs",
    devices: Devices = "auto",
    workers: Workers = None,
    precision: Precision = "fp32",
    root: Root = None,
    save_masks: SaveMasks = "scored",
    on_error: OnError = "record",
    fresh: Fresh = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """A detector's boxes: mask AP, by size and (LVIS) by frequency. --model detections scores the file's own masks."""
    from sambench.errors import UsageError

    if not boxes:
        raise UsageError(
            "the instance task needs a detector's boxes",
            where="--boxes",
            expected="a COCO results file, or the name of boxes that others distribute (vitdet_coco, vitdet_lvis)",
            remedy="sambench run instances --datasets coco_2017_val --boxes FILE --model sam_vit_h",
        )
    if results is not None and save_masks == "none":
        raise UsageError("a results file needs masks", where="--results", found="--save-masks none", remedy="leave that out")
    settings = {"boxes": boxes, "variant": variant, "max_dets": max_dets, "boundary": boundary}
    settings |= {"box_format": box_format, "areas": areas, "extra": extra}
    flags = {**locals(), "datasets": datasets or [DATASET]}
    request = request_of("instances", flags, settings)
    _check(request.datasets, model, boxes, results)
    after = None if results is None else partial(_write, path=results)
    run(request, model, dry_run=dry_run, quiet=quiet, after=after)


def _check(datasets: tuple[str, ...], models: list[str], boxes: str, results: Path | None) -> None:
    """What can be said before anything is planned."""
    from sambench.errors import UsageError
    from sambench.getting.boxes import boxes_file
    from sambench.loaders.coco_results import read_results
    from sambench.sources.datasets import split_names

    named = split_names(models)
    if results is not None and (len(named) > 1 or len(datasets) > 1):
        found = f"{len(datasets)} datasets, {max(len(named), 1)} models"
        raise UsageError("one results file for several runs", where="--results", expected="one dataset and one model", found=found)
    if "detections" in named and not read_results(boxes_file(boxes)).n_masks:
        raise UsageError(
            "the file has no masks of its own to be scored",
            where="--model detections",
            expected="entries with `segmentation`",
            found=f"boxes alone in {boxes}",
            remedy="leave that model out, or give the detector's results with masks",
        )


def _write(outcome: Outcome, path: Path) -> None:
    """The masks of a run's one cell as a results file, and what must be said of it."""
    from sambench.cli.console import err
    from sambench.results.coco_file import write_results
    from sambench.store.views import read_cell

    for cell_dir in outcome.records:
        cell = read_cell(cell_dir)
        n = write_results(cell, path)
        err().print(f"results: {n:,} masks in {path}", soft_wrap=True)
        for reason in cell.partial_reasons():
            err().print(f"results: PARTIAL: {reason}", soft_wrap=True)
