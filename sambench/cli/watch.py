"""`sambench watch`: a training folder's checkpoints, each evaluated once, and an exit code when one is worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sambench.cli.console import echo, echo_json, quoted
from sambench.cli.options import Datasets, Devices, Json, Limit, Options, Out, Precision, Quiet, Root, SubsetOpt, Workers
from sambench.cli.tables import TEXT, DataFormat, is_json

WORSE = 3  # the exit code

_AGAINST = "A run (by model, name or path), or best: the best checkpoint before."
_WORSE_BY = "Worse is a mean behind the reference's by more than this (0.01 is a point of IoU) ..."
_P = "... on a dataset, with a paired p (Holm's over datasets) below this."
_MODEL = "The model that the checkpoints are of: a card's id or path, or python:file.py:factory."
_PATTERN = "Names of checkpoint files (default: torch and safetensors files). May be repeated."
_SETTING = "A setting of the task, as clicks=[1,3]. May be repeated."


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder into which a training saves checkpoints.")],
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help=_MODEL)],
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task (`sambench list tasks`).")] = "point",
    datasets: Datasets = [],  # noqa: B006
    against: Annotated[str, typer.Option("--against", metavar="RUN", help=_AGAINST)] = "",
    option: Options = [],  # noqa: B006
    setting: Annotated[list[str], typer.Option("--setting", metavar="KEY=VALUE", help=_SETTING)] = [],  # noqa: B006
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="What is compared (default: the task's first).")] = "",
    k: Annotated[int | None, typer.Option("-k", metavar="N", help="At this click count (default: the fewest).")] = None,
    worse_by: Annotated[float, typer.Option("--worse-by", metavar="X", min=0.0, max=1.0, help=_WORSE_BY)] = 0.0,
    p: Annotated[float, typer.Option("--p", metavar="P", min=0.0, max=1.0, help=_P)] = 0.05,
    every: Annotated[int | None, typer.Option("--every", min=1, metavar="STEPS", help="At most one in so many steps.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Only the newest pending checkpoint.")] = False,
    pattern: Annotated[list[str], typer.Option("--pattern", metavar="GLOB", help=_PATTERN)] = [],  # noqa: B006
    weights_as: Annotated[str, typer.Option("--weights-as", metavar="NAME", help="The option that takes the file.")] = "weights",
    once: Annotated[bool, typer.Option("--once", help="Evaluate what is there, and end.")] = False,
    idle: Annotated[
        float | None, typer.Option("--idle", min=0.0, metavar="SECONDS", help="End when nothing came for so long.")
    ] = None,
    poll: Annotated[float, typer.Option("--poll", min=0.1, metavar="SECONDS", help="Between two looks.")] = 10.0,
    settle: Annotated[
        float, typer.Option("--settle", min=0.0, metavar="SECONDS", help="A file is whole if it did not change for so long.")
    ] = 10.0,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a checkpoint that is worse.")] = False,
    webhook: Annotated[str, typer.Option("--webhook", metavar="URL", help="Is told of what is worse: POST, JSON.")] = "",
    to: Annotated[Path, typer.Option("--ledger", metavar="DIR", help="Where the ledger and the curve go.")] = Path("watch"),
    subset: SubsetOpt = "paper",
    limit: Limit = None,
    out: Out = "runs",
    devices: Devices = "auto",
    workers: Workers = None,
    precision: Precision = "fp32",
    root: Root = None,
    quiet: Quiet = False,
    form: DataFormat = TEXT,
    as_json: Json = False,
) -> None:
    """Evaluate a training's checkpoints as they appear, each once; the same command again goes on. Exit code 3: one is worse."""
    from sambench.cli.console import err
    from sambench.cli.progress import Reporter
    from sambench.cli.requests import asked_for
    from sambench.engine.request import DEFAULT_DATASET, Request
    from sambench.errors import UsageError
    from sambench.sources.options import parse_options
    from sambench.watch.checkpoints import PATTERNS
    from sambench.watch.evaluate import Rule, Work
    from sambench.watch.loop import Watch
    from sambench.watch.loop import run as go

    as_json = is_json(form, as_json)
    settings = parse_options(setting, what="a setting", where="--setting")
    asked = asked_for(
        datasets=datasets or [DEFAULT_DATASET],
        model=[model],
        option=option,
        subset=subset,
        root=root,
        out=out,
        devices=devices,
        workers=workers,
        precision=precision,
    )
    if len(asked["models"]) > 1:
        raise UsageError("checkpoints are of one model", where="--model", expected="one name", found=model)
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    request = Request(**asked, task=task, settings=given, limit=limit)
    watched = Watch(
        folder=folder,
        to=to,
        work=Work(request, Rule(metric, k, worse_by, p), weights_as),
        against=against,
        every=every,
        newest=newest,
        patterns=tuple(pattern) or PATTERNS,
        settle_s=settle,
        poll_s=poll,
        once=once,
        idle_s=idle,
        stop=not keep_going,
        webhook=webhook,
    )
    console = err()
    with Reporter(quiet=quiet) as reporter:
        entries = go(watched, say=lambda text: console.print(text, soft_wrap=True), on_event=reporter.on_event)
    _print(entries, watched, as_json)
    if any(e.worse for e in entries):
        raise typer.Exit(WORSE)


def _print(entries: list[Any], asked: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from sambench.cli.tables import show
    from sambench.watch import picture
    from sambench.watch.loop import metric_of

    if as_json:
        echo_json({"checkpoints": [asdict(e) for e in entries], "worse": any(e.worse for e in entries)})
    elif not entries:
        echo(f"no checkpoint was evaluated in {asked.folder}")
    else:
        show(picture.table(entries, metric_of(asked)))
        echo(f"curve: {quoted(asked.to / 'curve.png')}")
