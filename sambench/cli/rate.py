"""`sambench rate`: jobs of a rating study for people to do, and what their ratings say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sambench.cli.console import echo, quoted
from sambench.cli.options import Datasets, Devices, Json, Models, Options, Precision, Quiet, Root, SubsetOpt, Workers, refuse
from sambench.cli.requests import asked_for
from sambench.cli.rescore import MAX_RESAMPLES
from sambench.cli.tables import TEXT, Format, chosen, show_all
from sambench.text import counted

if TYPE_CHECKING:
    from sambench.cli.progress import Reporter
    from sambench.layout import Table
    from sambench.rating.jobs import Made

app = typer.Typer(help="A rating study: masks for people to judge, and statistics of their ratings.", no_args_is_help=True,
                  rich_markup_mode=None)  # fmt: skip

_FORMS = "jpg, png or webp (without loss), or sharp: without loss where boundaries are judged."
_KEY = "key.csv of `sambench rate make`: what the job ids stand for."
_RATINGS = "Of `rate serve` (SQLite or postgresql://...), or CSV or Parquet: rater, item, model, dataset, score, ..."
_MODELS = "The only models that may occur, comma-separated."


@app.command()
def stats(
    file: Annotated[str, typer.Argument(metavar="DATABASE|FILE", help=_RATINGS)],
    a: Annotated[str | None, typer.Option("--a", metavar="MODEL", help="A of the difference A - B.")] = None,
    b: Annotated[str | None, typer.Option("--b", metavar="MODEL", help="B of it.")] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help=_KEY)] = None,
    table: Annotated[
        list[str], typer.Option("--table", metavar="NAME", help="means, differences, histogram, agreement or raters; default all.")
    ] = [],  # noqa: B006 - typer copies it
    models: Annotated[list[str], typer.Option("--models", metavar="NAMES", help=_MODELS)] = [],  # noqa: B006
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Leave out inputs that are not rated for all models.")] = False,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.9999, help="Of the interval of A - B.")] = 0.99,
    resamples: Annotated[int, typer.Option("--resamples", min=100, max=MAX_RESAMPLES, help="Of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    form: Format = TEXT,
    as_json: Json = False,
) -> None:
    """Means with 95 % intervals, A - B with t-test, 99 % bootstrap interval and mixed model, histograms, agreement, raters."""
    from sambench.errors import UsageError, unknown_name
    from sambench.rating import tables as rating_tables
    from sambench.rating.statistics import read_ratings
    from sambench.sources.datasets import split_names

    form = chosen(form, as_json)
    names = split_names(table)
    for name in names:
        if name not in (*rating_tables.TABLES, "differences"):
            raise unknown_name("table", name, ["differences", *rating_tables.TABLES], where="--table")
    if (a is None) != (b is None) or ("differences" in names and a is None):
        raise UsageError("a difference needs two models", where="--a and --b", expected="both", found=repr(a or b))
    ratings = read_ratings(file, key=key, models=split_names(models), allow_missing=incomplete)
    wanted = names or ["means", *(["differences"] if a else []), "histogram", "agreement", "raters"]
    found = []
    for name in wanted:
        if name == "differences" and a and b:
            found.append(rating_tables.differences_table(ratings, a, b, level=level, n_resamples=resamples, seed=seed))
        else:
            found.append(rating_tables.TABLES[name](ratings))
    _print(dict(zip(wanted, found, strict=True)), form)


def _print(tables: dict[str, Table], form: str) -> None:
    """Tables in one form. A note that several of them carry is shown once, with the first."""
    import json
    from dataclasses import replace

    from sambench.layout import to_json

    said: set[str] = set()
    for name, table in tables.items():
        tables[name] = replace(table, notes=tuple(n for n in table.notes if n not in said))
        said |= set(table.notes)
    if form == "json" and len(tables) > 1:
        echo(json.dumps({name: json.loads(to_json(t)) for name, t in tables.items()}, indent=2, ensure_ascii=False))
    else:
        show_all(list(tables.items()), form)


@app.command()
def make(
    ctx: typer.Context,
    half: Annotated[str | None, typer.Option("--half", metavar="NAME", help="The paper's: points (seven sets) or boxes.")] = None,
    datasets: Datasets = [],  # noqa: B006 - typer copies it
    model: Models = [],  # noqa: B006
    option: Options = [],  # noqa: B006
    masks: Annotated[
        list[str], typer.Option("--masks", metavar="NAME=FILE", help="Masks of a model that ran elsewhere (JSON). May be repeated.")
    ] = [],  # noqa: B006
    prompt: Annotated[str, typer.Option("--prompt", metavar="NAME", help="point or box.")] = "point",
    per_dataset: Annotated[int, typer.Option("--per-dataset", metavar="N", min=1, help="Objects of each dataset.")] = 1000,
    truth_only: Annotated[
        list[str], typer.Option("--truth-only", metavar="NAME=N", help="A dataset of which only the ground truth is rated.")
    ] = [],  # noqa: B006
    controls: Annotated[int, typer.Option("--controls", metavar="N", min=0, help="Wrong masks per dataset, to test raters.")] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the draw and the order.")] = 0,
    min_area: Annotated[int, typer.Option("--min-area", metavar="PX", min=1, help="Smallest mask, in pixels.")] = 576,
    max_side: Annotated[int, typer.Option("--max-side", metavar="PX", min=64, help="Longer side at which models run.")] = 2000,
    view_px: Annotated[int, typer.Option("--view-px", metavar="PX", min=128, max=4096, help="Longer side of the views.")] = 1024,
    image_format: Annotated[str, typer.Option("--image-format", metavar="NAME", help=_FORMS)] = "jpg",
    prompts_only: Annotated[bool, typer.Option("--prompts-only", help="Draw the objects, write their prompts, and stop.")] = False,
    subset: SubsetOpt = "paper",
    root: Root = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the study goes.")] = Path("rating"),
    devices: Devices = "auto",
    workers: Workers = None,
    precision: Precision = "fp32",
    quiet: Quiet = False,
) -> None:
    """Draw objects, predict them with every model, and write shuffled, blinded jobs with five views each. Resumable."""
    from functools import partial

    from sambench.cli.console import err
    from sambench.cli.progress import Reporter
    from sambench.engine.run import run_cell
    from sambench.errors import UsageError, unknown_name
    from sambench.rating.items import Drawing
    from sambench.rating.jobs import HALVES, Study
    from sambench.rating.jobs import make as make_study
    from sambench.rating.render import FORMS

    for flag, value, known in (
        ("--half", half, (None, *HALVES)),
        ("--prompt", prompt, ("point", "box")),
        ("--image-format", image_format, tuple(FORMS)),
    ):
        if value not in known:
            raise unknown_name("value", str(value), [k for k in known if k], where=flag)
    if half and datasets:
        raise UsageError(
            "--half names the datasets itself", where="--datasets", found=", ".join(datasets), remedy="give one of the two"
        )
    if half:
        refuse(ctx, ["prompt"], "--half names the prompt itself", remedy="name the datasets in place of the half")
    if not half and not datasets:
        raise UsageError("no dataset is named", expected="--datasets NAMES, or --half points or boxes")
    asked = asked_for(
        datasets=HALVES[half]["datasets"] if half else datasets,
        model=model,
        option=option,
        subset=subset,
        root=root,
        out=str(out),
        devices=devices,
        workers=workers,
        precision=precision,
    )
    if not asked["models"] and not masks and not prompts_only:
        raise UsageError(
            "no model is named", expected="--model NAME or --masks NAME=FILE", remedy="ground truth is always rated with them"
        )
    truth = {n: _count(n, v) for n, v in _pairs(truth_only, "--truth-only", "NAME=N").items()}
    study = Study(
        **asked,
        prompt=HALVES[half]["prompt"] if half else "box" if prompt == "box" else "point",
        masks={n: Path(f).expanduser() for n, f in _pairs(masks, "--masks", "NAME=FILE").items()},
        truth_only={**(HALVES[half]["truth_only"] if half else {}), **truth},
        drawing=Drawing(n=per_dataset, min_area_px=min_area, max_side_px=max_side, seed=seed),
        controls=controls,
        view_px=view_px,
        view_format=cast("Any", image_format),
        prompts_only=prompts_only,
        absent_ok=half is not None,
    )
    try:
        with Reporter(quiet=quiet) as reporter:
            made = make_study(study, partial(run_cell, reporter.on_event), _Progress(reporter).step)
    except KeyboardInterrupt:
        err().print("interrupted: what is done is kept; issue the same command again to go on")
        raise typer.Exit(130) from None
    _tell(made)


class _Progress:
    """Says how far a long step is: every few seconds, and at its end."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.said: dict[str, float] = {}

    def step(self, what: str, done: int, total: int) -> None:
        import time

        now = time.monotonic()
        last = self.said.setdefault(what, now)
        if now - last > 5.0 or (done == total and last != now):
            self.said[what] = now
            self.reporter.say(f"{what}, {done} of {total}")


def _pairs(values: list[str], flag: str, form: str) -> dict[str, str]:
    from sambench.errors import UsageError

    out: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not name or not equals or not rest or name in out:
            raise UsageError(f"{flag} does not fit", expected=f"{form}, each name once", found=value)
        out[name] = rest
    return out


def _count(name: str, text: str) -> int:
    from sambench.errors import UsageError

    if not text.isdigit() or int(text) < 1:
        raise UsageError("--truth-only does not fit", expected=f"{name}=N with a number from 1 on", found=f"{name}={text}")
    return int(text)


def _tell(made: Made) -> None:
    from sambench.cli.console import err
    from sambench.text import human_bytes

    notes = err()
    for note in made.notes:
        notes.print(note, soft_wrap=True)
    for missing in made.missing:
        notes.print(f"not here: {missing.name}: {missing.why} (sambench show dataset {quoted(missing.name)})", soft_wrap=True)
    if made.jobs is None:
        echo(str(made.prompts))
        return
    for dataset, n in made.n_by_dataset.items():
        echo(f"{dataset}: {counted(n, 'job')}")
    echo(f"for the raters: {made.jobs.parent} ({counted(made.n_jobs, 'job')}, {human_bytes(made.view_bytes)} of views)")
    echo(f"the key, not for them: {made.key}")
    notes.print(f"next: sambench rate serve {quoted(made.jobs.parent.parent)}", soft_wrap=True)
    notes.print(f"or, with ratings in a file: sambench rate stats RATINGS.csv --key {quoted(made.key)}", soft_wrap=True)
