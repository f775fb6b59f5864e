"""`sambench run proposals`."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.running import (
    Config,
    Datasets,
    Devices,
    DryRun,
    Fresh,
    Limit,
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

_MODEL = "A name, a card's path, python:file.py:factory, or proposals:FILE (a COCO results file with masks). May be repeated."
_PRESET = "paper; or single, for models with one output: 128 points a side, NMS .95, random ranking."

ProposalModels = Annotated[
    list[str], typer.Option("--model", "-m", metavar="NAME", help=_MODEL)
]


def proposals(
    datasets: Datasets = [],  # noqa: B006 - typer copies it
    model: ProposalModels = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    preset: Annotated[str, typer.Option("--preset", metavar="NAME", help=_PRESET)] = "paper",
    max_dets: Annotated[str, typer.Option("--max-dets", metavar="N,N,...", help="Numbers of proposals.")] = "1,10,100,1000",
    grid: Annotated[int | None, typer.Option("--grid", metavar="N", help="Points a side (64).")] = None,
    nms_iou: Annotated[float | None, typer.Option("--nms-iou", metavar="IOU", help="Box suppression (.9).")] = None,
    pred_iou: Annotated[float | None, typer.Option("--pred-iou", metavar="X", help="Least predicted IoU (none).")] = None,
    stability: Annotated[float | None, typer.Option("--stability", metavar="X", help="Least stability (none).")] = None,
    stability_offset: Annotated[
        float | None, typer.Option("--stability-offset", metavar="X", help="Logits compared for stability (1).")
    ] = None,
    multimask: Annotated[
        bool | None, typer.Option("--multimask/--no-multimask", help="All candidates, or the single output.")
    ] = None,
    rank: Annotated[
        str | None, typer.Option("--rank", metavar="NAME", help="mean (of predicted IoU and stability), iou or random.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Of the random ranking (0).")] = None,
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
    """Object proposals: average recall at 1, 10, 100 and 1000, by area and by frequency, class-agnostic."""
    from dataclasses import asdict

    from sambench.tasks.proposals import preset as preset_of

    flags = locals()
    names = ("grid", "nms_iou", "pred_iou", "stability", "stability_offset", "multimask", "rank", "seed")
    given = {k: flags[k] for k in names if flags[k] is not None}
    settings = preset_of(preset, max_dets=_numbers(max_dets), **given)
    run(request_of("proposals", flags, asdict(settings)), model, dry_run=dry_run, quiet=quiet)


def _numbers(text: str) -> tuple[int, ...]:
    from sambench.errors import UsageError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as e:
        raise UsageError("numbers of proposals are not numbers", where="--max-dets", expected="as in 1,10,100", found=text) from e
