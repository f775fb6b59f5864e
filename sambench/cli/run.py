"""`sambench run TASK`: one command a task."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli import task_commands
from sambench.cli.running import (
    Config,
    Datasets,
    Devices,
    DryRun,
    EdgeModels,
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

EDGE_DATASET, EDGE_MODEL = "bsds500", "canny"

app = typer.Typer(
    cls=task_commands.Group,
    help="Evaluate models on datasets. Re-issue a command to resume it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def point(
    datasets: Datasets = [],  # noqa: B006 - typer copies it
    model: Models = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    prompt: Annotated[str, typer.Option("--prompt", metavar="NAME", help="First click: center or random.")] = "center",
    clicks: Annotated[str, typer.Option("--clicks", metavar="N,N,...", help="Click counts to report.")] = "1,2,3,5,9",
    noc: Annotated[bool, typer.Option("--noc", help="Number of clicks to 80, 85, 90 and 95 % IoU, up to --max-clicks.")] = False,
    clicks_until: Annotated[
        float | None, typer.Option("--clicks-until", metavar="IOU", help="NoC run that leaves an object at this IoU.")
    ] = None,
    max_clicks: Annotated[int, typer.Option("--max-clicks", metavar="N", help="Most clicks of a NoC run.")] = 20,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the random first click.")] = 0,
    mask_feedback: Annotated[bool, typer.Option(help="Give the model its previous mask.")] = True,
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
    """Simulated clicks: mIoU after 1, 2, 3, 5 and 9, the oracle at 1, boundary IoU, number of clicks."""
    from dataclasses import asdict

    from sambench.errors import unknown_name
    from sambench.tasks.point import PointSettings, noc_settings

    if prompt not in ("center", "random"):
        raise unknown_name("first click", prompt, ["center", "random"], where="--prompt")
    settings = PointSettings(
        prompt="random" if prompt == "random" else "center", clicks=_numbers(clicks), seed=seed, mask_feedback=mask_feedback
    )
    if noc or clicks_until is not None:
        settings = noc_settings(settings, until=clicks_until, max_clicks=max_clicks)
    request = request_of("point", locals(), asdict(settings))
    run(request, model, dry_run=dry_run, quiet=quiet)


@app.command()
def box(
    datasets: Datasets = [],  # noqa: B006
    model: Models = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    multimask: Annotated[bool, typer.Option(help="Ask for all candidates, not for the single output.")] = False,
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
    """Ground-truth boxes: mIoU and boundary mIoU at 2 % and 1 % of the diagonal."""
    run(request_of("box", locals(), {"multimask": multimask}), model, dry_run=dry_run, quiet=quiet)


@app.command()
def edge(
    datasets: Datasets = [],  # noqa: B006
    model: EdgeModels = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    nms: Annotated[str, typer.Option("--nms", metavar="NAME", help="Segmenters: canny, dollar or none.")] = "canny",
    grid: Annotated[int, typer.Option("--grid", metavar="N", help="Segmenters: points a side.")] = 16,
    nms_iou: Annotated[float, typer.Option("--nms-iou", metavar="IOU", help="Segmenters: box suppression.")] = 0.7,
    thresholds: Annotated[int, typer.Option("--thresholds", metavar="N", help="Of the benchmark.")] = 99,
    max_dist: Annotated[
        float | None, typer.Option("--max-dist", metavar="X", help="Tolerance, of the diagonal (default: the dataset's).")
    ] = None,
    subset: SubsetOpt = "paper",
    limit: Limit = None,
    out: Out = "runs",
    devices: Devices = "auto",
    workers: Workers = None,
    precision: Precision = "fp32",
    root: Root = None,
    save_maps: Annotated[bool, typer.Option(help="Keep the edge maps, for pictures.")] = True,
    on_error: OnError = "record",
    fresh: Fresh = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Edges: ODS, OIS, AP and R50 of the BSDS500 benchmark, for detectors, segmenters and folders of maps."""
    settings = {"nms": nms, "grid": grid, "nms_iou": nms_iou, "thresholds": thresholds, "max_dist": max_dist}
    flags = {**locals(), "save_masks": "scored" if save_maps else "none", "datasets": datasets or [EDGE_DATASET]}
    run(request_of("edge", {**flags, "model": model or [EDGE_MODEL]}, settings), model, dry_run=dry_run, quiet=quiet)


def _numbers(text: str) -> tuple[int, ...]:
    from sambench.errors import UsageError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as e:
        raise UsageError("click counts are not numbers", where="--clicks", expected="as in 1,2,3,5,9", found=text) from e
