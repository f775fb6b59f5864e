"""`sambench plan`: how long a run will take on GPUs that need not be here, from what was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.console import echo
from sambench.cli.options import Precision
from sambench.text import counted

GPUs = Annotated[str, typer.Option("--devices", metavar="NxGPU", help="As 8xh100, or h200.")]
Suite = Annotated[list[str], typer.Option("--datasets", "-d", metavar="NAMES", help="Names of datasets and suites, or all.")]


def plan(
    task: Annotated[str, typer.Argument(metavar="TASK", help="point: the one task that was measured.")],
    datasets: Suite = ["all"],  # noqa: B006 - typer copies it
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help="A model that was measured.")] = "sam_vit_h",
    devices: GPUs = "h100",
    precision: Precision = "fp32",
) -> None:
    """Time and memory of a run on GPUs: neither data, weights nor GPUs are needed. (`run --dry-run` looks at what is here.)

    Images and objects are the paper's numbers, as the datasets' cards have them.
    """
    from sambench.device.forecast import forecast, parse_gpus
    from sambench.errors import UsageError
    from sambench.sources.datasets import split_names

    if task != "point":
        raise UsageError(f"nothing was measured of the task {task!r}", where="TASK", expected="point", found=repr(task))
    names, images, objects, without = _counts(split_names(datasets))
    found = forecast(model, precision, devices, images, objects)
    n, gpu = parse_gpus(devices)
    sets = counted(len(names), "dataset")
    what = f"{counted(images, 'image')} with {counted(objects, 'object')} of {sets}"
    echo(f"point, {model}, {precision}, on {n} x {gpu.upper()}: {what}")
    least, most = found.seconds
    echo(f"time: {_time(least)} to {_time(most)}, of which {_time(images * found.encode_ms / 1e3 / n)} encode images")
    each = f"{found.workers} are begun on a GPU with 16 cores"
    echo(f"memory: about {found.worker_bytes / 2**30:.1f} GiB a worker process; {each}")
    for note in found.notes:
        echo(f"note: {note}")
    if without:
        echo(f"not counted, for their cards have no numbers: {', '.join(without)}")


def _counts(names: list[str]) -> tuple[list[str], int, int, list[str]]:
    """Datasets that are counted, their images and objects, and those whose cards have no numbers. Raises UsageError."""
    from sambench import cards
    from sambench.errors import UsageError

    members: list[str] = []
    for name in names:
        suite = cards.suite_card(name)
        members += suite.datasets if suite is not None else [cards.dataset_card(name).id]
    known = cards.dataset_cards()
    papers = {m: known[m].paper for m in dict.fromkeys(members) if m in known}
    counted = {m: p for m, p in papers.items() if p is not None}
    if not counted:
        expected = "datasets whose cards have the paper's numbers, as those of all"
        raise UsageError("nothing to plan with", where="--datasets", expected=expected, found=", ".join(names) or "none")
    images, objects = (sum(getattr(p, what) for p in counted.values()) for what in ("images", "masks"))
    return list(counted), images, objects, [m for m in dict.fromkeys(members) if m not in counted]


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes" if minutes >= 2 else f"{seconds:.0f} seconds"
